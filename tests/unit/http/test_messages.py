"""Every sentence that the platform says, it says in Chinese too."""

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

import maas
from maas.domain import errors
from maas.entrypoints.http.messages import template_pattern, translate
from maas.entrypoints.http.messages_zh import MESSAGES_ZH
from maas.entrypoints.http.schemas import FORM_MESSAGES

SOURCE = Path(maas.__file__).parent
ERROR_NAMES = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.MaasError)}
# Sentences that no caller of the API ever reads.
PROGRAMS = SOURCE / "programs"


def named_errors() -> set[str]:
    """The names of all error classes of the source: those of the domain, and those that derive from them."""
    names = set(ERROR_NAMES)
    nodes = (node for path in SOURCE.rglob("*.py") for node in ast.walk(ast.parse(path.read_text())))
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    while True:
        more = {node.name for node in classes if node.name not in names and names & {name_of(base) for base in node.bases}}
        if not more:
            return names
        names |= more


def name_of(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def sentences() -> Iterator[tuple[str, str]]:
    """Yield each literal template with the place where it stands."""
    names = named_errors()
    for path in sorted(SOURCE.rglob("*.py")):
        if PROGRAMS in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield from ((text, f"{path.relative_to(SOURCE)}:{node.lineno}") for text in templates_of(node, names))


def templates_of(call: ast.Call, names: set[str]) -> Iterator[str]:
    called = name_of(call.func)
    if called in names | {"ValidationError", "BadRow", "_refuse"} and call.args:
        yield from literal(call.args[0])
    for keyword in call.keywords:
        if (called == "Problem" and keyword.arg == "template") or (called == "response" and keyword.arg == "message"):
            yield from literal(keyword.value)


def literal(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


DEFAULTS = ["there is no such thing, or it is not visible to you", "too many calls: try again in {retry_after_seconds} seconds"]
DEFAULTS += ["the range lies outside the file of {size} bytes"]


def test_there_are_sentences_to_look_at() -> None:
    assert len(list(sentences())) > 50


def test_every_sentence_has_a_chinese_twin() -> None:
    missing = {text: place for text, place in sentences() if text not in MESSAGES_ZH}
    missing |= {text: "default" for text in [*DEFAULTS, *FORM_MESSAGES] if text not in MESSAGES_ZH}

    assert not missing, "\n".join(f'"{text}": "",  # {place}' for text, place in missing.items())


@pytest.mark.parametrize("template", MESSAGES_ZH)
def test_the_twin_tells_the_same_values(template: str) -> None:
    assert placeholders(MESSAGES_ZH[template]) == placeholders(template)


def test_every_twin_is_chinese() -> None:
    assert [text for text in MESSAGES_ZH.values() if not any("\u4e00" <= letter <= "\u9fff" for letter in text)] == []


def test_a_sentence_is_filled_in_either_language() -> None:
    template = "the body is larger than the {limit} bytes allowed"

    assert translate(template, {"limit": 7}, "en") == "the body is larger than the 7 bytes allowed"
    assert "7" in translate(template, {"limit": 7}, "zh")


def test_a_sentence_is_traced_back_to_its_template() -> None:
    found = template_pattern("Must be one of: {choices}.").fullmatch("Must be one of: a, b.")

    assert found is not None
    assert found.groupdict() == {"choices": "a, b"}
