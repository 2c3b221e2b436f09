"""Rows to learn from: the spellings that are taken, and the one that the trainer sees.

canonical rows, by type of the dataset:

    conversation  {"messages": [{"role", "content"}, …]}         roles: system, user, assistant, tool
    instruction   {"prompt", "completion", "system"?}
    text          {"text"}
    preference    {"prompt", "chosen", "rejected"}               prompt: text, or messages where there is more than one turn

Spellings: OpenAI (`messages`), ShareGPT (`conversations` of `from`/`value`, also `chosen` and `rejected` of that form), Alpaca
(`instruction`, `input`, `output`, `system`, `history`), `prompt`/`completion`, `question`/`answer`. Other columns are ignored.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

Row = dict[str, Any]

_ROLES = frozenset({"system", "user", "assistant", "tool"})
_SHAREGPT_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
    "tool": "tool",
    "observation": "tool",
}
_PAIRS = (("prompt", "completion"), ("question", "answer"), ("prompt", "response"))


class DatasetType(StrEnum):
    """What the rows are, and so how they are learned from."""

    CONVERSATION = "conversation"
    INSTRUCTION = "instruction"
    TEXT = "text"
    PREFERENCE = "preference"


class BadRow(Exception):
    """A row that cannot be learned from; `code` is VALIDATION_001 (missing) or VALIDATION_002 (wrong form)."""

    def __init__(self, template: str, /, *, code: str = "VALIDATION_002", **values: object) -> None:
        super().__init__(template, values)
        self.template = template
        self.code = code
        self.values = values


def canonical_row(dataset_type: DatasetType, value: object) -> Row:
    """Return the canonical form of a row as it stood in the file, or raise BadRow."""
    if not isinstance(value, Mapping):
        raise BadRow("a row must be an object with named columns")
    return _READERS[dataset_type](value)


def _conversation(row: Mapping[str, Any]) -> Row:
    messages = _messages_of(row)
    if not any(message["role"] == "assistant" for message in messages):
        raise BadRow("a conversation needs at least one answer of the assistant")
    if messages[0]["role"] == "assistant":
        raise BadRow("a conversation begins with a question, not with an answer")
    return {"messages": messages}


def _messages_of(row: Mapping[str, Any]) -> list[dict[str, str]]:
    if "messages" in row:
        messages = _messages(row["messages"], "messages", _openai_message)
    elif "conversations" in row:
        messages = _messages(row["conversations"], "conversations", _sharegpt_message)
    elif "conversation" in row:
        messages = _messages(row["conversation"], "conversation", _either_message)
    else:
        raise BadRow("the column {column} is missing", code="VALIDATION_001", column="messages")
    system = _optional_text(row, "system")
    if system is not None and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": system})
    for message in messages[1:]:
        if message["role"] == "system":
            raise BadRow("a system message stands only at the beginning")
    return messages


def _messages(value: object, column: str, read: Callable[[object, str], dict[str, str]]) -> list[dict[str, str]]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise BadRow("{column} must be a list of messages that is not empty", column=column)
    return [read(message, f"{column}.{index}") for index, message in enumerate(value)]


def _openai_message(value: object, place: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise BadRow("{place} must be an object with role and content", place=place)
    role = value.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise BadRow("{place}.role must be one of system, user, assistant, tool", place=place)
    return {"role": role, "content": _content(value, "content", place)}


def _sharegpt_message(value: object, place: str) -> dict[str, str]:
    if isinstance(value, Mapping) and "role" in value:
        return _openai_message(value, place)
    if not isinstance(value, Mapping):
        raise BadRow("{place} must be an object with from and value", place=place)
    sender = value.get("from")
    if not isinstance(sender, str) or sender not in _SHAREGPT_ROLES:
        raise BadRow("{place}.from must be one of human, gpt, system, observation", place=place)
    return {"role": _SHAREGPT_ROLES[sender], "content": _content(value, "value", place)}


_either_message = _sharegpt_message


def _content(message: Mapping[str, Any], column: str, place: str) -> str:
    content = message.get(column)
    if not isinstance(content, str):
        raise BadRow("{place} must be text", place=f"{place}.{column}")
    if not content.strip():
        raise BadRow("{place} is empty", place=f"{place}.{column}")
    return content


def _instruction(row: Mapping[str, Any]) -> Row:
    if "instruction" in row:
        canonical = _alpaca(row)
    else:
        prompt, completion = _pair_of(row)
        canonical = {"prompt": _text(row, prompt), "completion": _text(row, completion)}
    system = _optional_text(row, "system")
    return canonical if system is None else {**canonical, "system": system}


def _alpaca(row: Mapping[str, Any]) -> Row:
    prompt = _text(row, "instruction")
    context = _optional_text(row, "input")
    if context is not None:
        prompt = f"{prompt}\n{context}"
    earlier = _history(row)
    return {"prompt": "\n".join([*earlier, prompt]), "completion": _text(row, "output")}


def _history(row: Mapping[str, Any]) -> list[str]:
    """Return earlier questions and answers, which become the beginning of the prompt."""
    value = row.get("history")
    if value is None or value == "":
        return []
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise BadRow("history must be a list of pairs of texts")
    turns: list[str] = []
    for pair in value:
        if not isinstance(pair, Sequence) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise BadRow("history must be a list of pairs of texts")
        turns.extend(pair)
    return turns


def _pair_of(row: Mapping[str, Any]) -> tuple[str, str]:
    for question, answer in _PAIRS:
        if question in row and answer in row:
            return question, answer
    for question, answer in _PAIRS:
        if question in row:
            raise BadRow("the column {column} is missing", code="VALIDATION_001", column=answer)
    raise BadRow("the column {column} is missing", code="VALIDATION_001", column="prompt")


def _plain_text(row: Mapping[str, Any]) -> Row:
    return {"text": _text(row, "text")}


def _preference(row: Mapping[str, Any]) -> Row:
    prompt = _preference_prompt(row)
    chosen, rejected = _answer(row, "chosen"), _answer(row, "rejected")
    if chosen == rejected:
        raise BadRow("chosen and rejected are the same")
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def _preference_prompt(row: Mapping[str, Any]) -> str | list[dict[str, str]]:
    if "conversations" in row or "messages" in row:
        messages = _messages_of(row)
    elif "prompt" in row and not isinstance(row["prompt"], str):
        messages = _messages(row["prompt"], "prompt", _either_message)
    else:
        return _preference_text(row)
    if messages[-1]["role"] not in ("user", "tool"):
        raise BadRow("the last message before the answers must be the user's")
    return messages[0]["content"] if len(messages) == 1 else messages


def _preference_text(row: Mapping[str, Any]) -> str | list[dict[str, str]]:
    if "instruction" in row:
        prompt, context = _text(row, "instruction"), _optional_text(row, "input")
        prompt = prompt if context is None else f"{prompt}\n{context}"
    else:
        prompt = _text(row, "question" if "question" in row and "prompt" not in row else "prompt")
    system = _optional_text(row, "system")
    if system is None:
        return prompt
    return [{"role": "system", "content": system}, {"role": "user", "content": prompt}]


def _answer(row: Mapping[str, Any], column: str) -> str:
    """Read an answer: text, a message, or a list whose last message it is."""
    value = row.get(column)
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        value = value[-1]
    if not isinstance(value, Mapping):
        return _text(row, column)
    message = _either_message(value, column)
    if message["role"] != "assistant":
        raise BadRow("{column} must be an answer of the assistant", column=column)
    return message["content"]


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if value is None:
        raise BadRow("the column {column} is missing", code="VALIDATION_001", column=column)
    if not isinstance(value, str):
        raise BadRow("{place} must be text", place=column)
    if not value.strip():
        raise BadRow("{place} is empty", place=column)
    return value


def _optional_text(row: Mapping[str, Any], column: str) -> str | None:
    """Return the text, or None where the column is absent, null or blank."""
    value = row.get(column)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadRow("{place} must be text", place=column)
    return value if value.strip() else None


_READERS: dict[DatasetType, Callable[[Mapping[str, Any]], Row]] = {
    DatasetType.CONVERSATION: _conversation,
    DatasetType.INSTRUCTION: _instruction,
    DatasetType.TEXT: _plain_text,
    DatasetType.PREFERENCE: _preference,
}


def texts_of(row: Row) -> list[str]:
    """Return all texts of a canonical row."""
    texts: list[str] = []
    for value in row.values():
        if isinstance(value, str):
            texts.append(value)
        else:
            texts.extend(message["content"] for message in value)
    return texts
