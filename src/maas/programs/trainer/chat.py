"""Conversations as text, with the parts of it that are to be learned."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Message = dict[str, str]
Span = tuple[int, int]

PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] }}{{ eos_token }}{{ '\n' }}"
    "{% else %}{{ 'User: ' + message['content'] + '\nAssistant:' }}{% endif %}"
    "{% endfor %}"
)
"""Given to a tokenizer without a chat template that is to learn conversations, and kept with the result."""


class Render(Protocol):
    """Writes messages as the chat template does; with `prompting` it ends where the next answer would begin."""

    def __call__(self, messages: Sequence[Message], *, prompting: bool = False) -> str: ...


@dataclass(frozen=True)
class MarkedText:
    """A text and the spans of it (start, end) that hold answers."""

    text: str
    spans: tuple[Span, ...]


def mark_answers(render: Render, messages: Sequence[Message]) -> list[MarkedText]:
    """Render a conversation, marking the assistant's turns with what the template ends them by.

    A template that shows earlier turns otherwise than the last (dropping their reasoning, say) gives one text per answer.
    """
    answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    whole = render(messages)
    spans = []
    for index in answers:
        prompt, answered = render(messages[:index], prompting=True), render(messages[: index + 1])
        if not (whole.startswith(prompt) and whole.startswith(answered) and len(prompt) < len(answered)):
            return [mark_answer(render, messages[: last + 1]) for last in answers]
        spans.append(_without_trailing_space(whole, (len(prompt), len(answered))))
    return [MarkedText(whole, tuple(spans))]


def mark_answer(render: Render, messages: Sequence[Message]) -> MarkedText:
    """Render a conversation that ends with the assistant, marking that last turn alone."""
    prompt, answered = render(messages[:-1], prompting=True), render(messages)
    start = len(prompt) if answered.startswith(prompt) else _common_prefix(prompt, answered)
    return MarkedText(answered, (_without_trailing_space(answered, (start, len(answered))),))


def cut_per_answer(marked: MarkedText) -> list[MarkedText]:
    """Give each answer a text of its own that stops where the answer stops."""
    return [MarkedText(marked.text[:end], ((start, end),)) for start, end in marked.spans]


def _without_trailing_space(text: str, span: Span) -> Span:
    start, end = span
    return start, start + len(text[start:end].rstrip())


def _common_prefix(one: str, other: str) -> int:
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    return length
