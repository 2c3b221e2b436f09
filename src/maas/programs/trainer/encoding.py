"""Rows as tokens, each with whether it is learned."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from maas.programs.trainer.chat import PLAIN_TEMPLATE, MarkedText, Message, Span, cut_per_answer, mark_answer, mark_answers
from maas.programs.trainer.failures import TrainingImpossible
from maas.programs.trainer.spec import RowType


@dataclass(frozen=True)
class Encoded:
    """A sequence of tokens; `learned[i]` says that token i is to be predicted from those before it."""

    tokens: list[int]
    learned: list[bool]

    def cut(self, length: int) -> "Encoded":
        return Encoded(self.tokens[:length], self.learned[:length])


class RowEncoder:
    """Turns canonical rows of one type into sequences, as the model's tokenizer and chat template would show them.

    A row gives one sequence (more where the template shows earlier answers otherwise); a preference gives the chosen, then the rejected.
    """

    def __init__(self, tokenizer: Any, row_type: RowType, end_ids: Iterable[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._has_template = bool(getattr(tokenizer, "chat_template", None))
        self._encode = {
            RowType.CONVERSATION: self._conversation,
            RowType.INSTRUCTION: self._instruction,
            RowType.TEXT: self._text,
            RowType.PREFERENCE: self._preference,
        }[row_type]
        special = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
        self._ends = special | set(tokenizer.all_special_ids) | set(end_ids)
        self.learned_template = False

    def encode(self, row: dict[str, Any]) -> list[Encoded]:
        return self._encode(row)

    def _text(self, row: dict[str, Any]) -> list[Encoded]:
        tokens = self._opening(row["text"]) + self._end()
        return [Encoded(tokens, [False] + [True] * (len(tokens) - 1))]

    def _conversation(self, row: dict[str, Any]) -> list[Encoded]:
        self._adopt_template()
        return self._answers(row["messages"])

    def _instruction(self, row: dict[str, Any]) -> list[Encoded]:
        system = row.get("system")
        if not self._has_template:
            return [self._continuation(f"{system}\n\n{row['prompt']}" if system else row["prompt"], row["completion"])]
        opening = [{"role": "system", "content": system}] if system else []
        return self._answers(
            [*opening, {"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]
        )

    def _preference(self, row: dict[str, Any]) -> list[Encoded]:
        prompt = row["prompt"]
        if isinstance(prompt, str):
            if not self._has_template:
                return [self._continuation(prompt, row[answer]) for answer in ("chosen", "rejected")]
            prompt = [{"role": "user", "content": prompt}]
        self._adopt_template()
        return [self._last_answer([*prompt, {"role": "assistant", "content": row[answer]}]) for answer in ("chosen", "rejected")]

    def _adopt_template(self) -> None:
        if not self._has_template:
            self._tokenizer.chat_template = PLAIN_TEMPLATE
            self._has_template = self.learned_template = True

    def _answers(self, messages: Sequence[Message]) -> list[Encoded]:
        marked = mark_answers(self._render, messages)
        encoded = [self._tokenize(text) for text in marked]
        if all(self._is_ended(one) for one in encoded):
            return encoded
        return [self._ended(self._tokenize(part)) for text in marked for part in cut_per_answer(text)]

    def _last_answer(self, messages: Sequence[Message]) -> Encoded:
        encoded = self._tokenize(mark_answer(self._render, messages))
        if self._is_ended(encoded):
            return encoded
        return self._ended(self._tokenize(cut_per_answer(mark_answer(self._render, messages))[0]))

    def _render(self, messages: Sequence[Message], *, prompting: bool = False) -> str:
        if not messages:
            return ""
        try:
            return str(self._tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=prompting))
        except Exception as error:
            reason = f"the model's chat template does not take these messages: {error}"
            raise TrainingImpossible(reason[:500], field="dataset_id") from error

    def _tokenize(self, marked: MarkedText) -> Encoded:
        whole = self._tokenizer(marked.text, add_special_tokens=False, return_offsets_mapping=True)
        offsets: list[Span] = whole["offset_mapping"]
        boundaries = {boundary for span in marked.spans for boundary in span}
        if any(start < boundary < end for start, end in offsets for boundary in boundaries):
            return self._tokenize_apart(marked)
        learned = [any(first <= start < last for first, last in marked.spans) for start, _ in offsets]
        return Encoded(list(whole["input_ids"]), learned)

    def _tokenize_apart(self, marked: MarkedText) -> Encoded:
        """Tokenize answers and what lies between them one by one: a generating model sees the prompt end where it ends."""
        tokens: list[int] = []
        learned: list[bool] = []
        position = 0
        for start, end in [*marked.spans, (len(marked.text), len(marked.text))]:
            for part, is_answer in ((marked.text[position:start], False), (marked.text[start:end], True)):
                ids = self._tokenizer(part, add_special_tokens=False)["input_ids"] if part else []
                tokens += ids
                learned += [is_answer] * len(ids)
            position = end
        return Encoded(tokens, learned)

    def _continuation(self, prompt: str, completion: str) -> Encoded:
        opening = self._opening(prompt)
        answer = self._tokenizer(completion, add_special_tokens=False)["input_ids"] + self._end()
        return Encoded(opening + answer, [False] * len(opening) + [True] * len(answer))

    def _opening(self, text: str) -> list[int]:
        """Tokenize the start of a sequence as the model was taught it: with its beginning token, without its end token."""
        tokens = list(self._tokenizer(text)["input_ids"])
        return tokens[:-1] if tokens and tokens[-1] == self._tokenizer.eos_token_id else tokens

    def _end(self) -> list[int]:
        return [] if self._tokenizer.eos_token_id is None else [self._tokenizer.eos_token_id]

    def _is_ended(self, encoded: Encoded) -> bool:
        """Whether each answer's last learned token is one that ends a turn."""
        following = [*encoded.learned[1:], False]
        lasts = [token for token, now, after in zip(encoded.tokens, encoded.learned, following, strict=True) if now and not after]
        return bool(lasts) and all(token in self._ends for token in lasts)

    def _ended(self, encoded: Encoded) -> Encoded:
        end = self._end()
        return Encoded(encoded.tokens + end, encoded.learned + [True] * len(end))
