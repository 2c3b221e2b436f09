"""`python -m maas.programs.engine.chat_renderer`: renders chat templates, line by line, within limits.

A template is a program that came with a model: jinja's sandbox keeps it from reaching out, not from looping for ever. So it is
rendered by a process of its own, which its parent kills when it takes too long. The environment is the one that transformers
renders templates in. Imports neither transformers nor torch, so that a new one is there at once.
"""

import json
import math
import os
import resource
import sys
import threading
import time
from datetime import datetime
from queue import SimpleQueue
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from maas.programs.child import limit_resources

_MEMORY_BYTES = 512 * 2**20
_LONGEST_TEXT = 16 * 2**20
_SECONDS = 10
"""The engine ends this process long before. Where the engine itself is gone and a template keeps the interpreter, the system does."""


class _GenerationBlock(Extension):
    """`{% generation %}…{% endgeneration %}` marks answers for training; here it is only its content."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body).set_lineno(line)


def environment() -> ImmutableSandboxedEnvironment:
    """Return the sandbox that transformers' templates are written for."""
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, loopcontrols])
    made.filters["tojson"] = _to_json
    made.globals["raise_exception"] = _raise_exception
    made.globals["strftime_now"] = lambda form: datetime.now().strftime(form)  # noqa: DTZ005 (the templates want local time)
    return made


def main() -> None:
    """Answer `{"text"}` or `{"error"}` to each request on stdin."""
    limit_resources(memory_bytes=_MEMORY_BYTES)
    template = environment().from_string(json.loads(sys.stdin.readline()))
    conversations: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_read, args=(conversations,), daemon=True).start()
    while True:
        line = conversations.get()
        _allow_processor_seconds(_SECONDS)
        try:
            text = template.render(json.loads(line))
            answer = {"text": text} if len(text) <= _LONGEST_TEXT else {"error": "the rendered conversation is too long"}
        except (
            TemplateError,
            ArithmeticError,
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
            MemoryError,
            RecursionError,
        ) as error:
            answer = {"error": str(error) or type(error).__name__}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _read(conversations: "SimpleQueue[str]") -> None:
    """Take conversations while the engine lives; end with it even in the midst of a template."""
    for line in sys.stdin:
        conversations.put(line)
    os._exit(0)


def _allow_processor_seconds(seconds: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + seconds, hard))


def _to_json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 (templates may give it by position)
    indent: int | None = None,
    separators: Any = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


if __name__ == "__main__":
    main()
