"""Text by TGI's protocol."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from maas.programs.engine import fields
from maas.programs.engine.failures import RequestInvalid, RequestRefused
from maas.programs.engine.generation import Finished, Generation, Token
from maas.programs.engine.http_server import Answer, EventStream, Request
from maas.programs.engine.sampling import SamplingParameters
from maas.programs.engine.text_service import TextService

MOST_STOPS = 16
MOST_TOP_TOKENS = 20
DEFAULT_NEW_TOKENS = 1024
_LARGEST_SEED = 2**64 - 1


@dataclass(frozen=True)
class _Wish:
    """A request, read and checked."""

    text: str
    generation: Generation
    details: bool
    prompt_details: bool
    full_text: bool


class TgiRoutes:
    """`/generate` and its kin."""

    def __init__(self, service: TextService) -> None:
        self._service = service

    def compatible(self, request: Request) -> Answer | EventStream:
        """POST `/`: as `/generate` or `/generate_stream`, by `stream`."""
        body = fields.read_json(request.body)
        return self._stream(request, body) if fields.flag(body, "stream") else self._whole(request, body)

    def generate(self, request: Request) -> Answer | EventStream:
        return self._whole(request, fields.read_json(request.body))

    def generate_stream(self, request: Request) -> Answer | EventStream:
        return self._stream(request, fields.read_json(request.body))

    def tokenize(self, request: Request) -> Answer:
        body = fields.read_json(request.body)
        text = fields.text(body, "inputs")
        if text is None:
            raise RequestInvalid("`inputs` is missing")
        special = fields.flag(body, "add_special_tokens", default=True)
        return Answer(json.dumps(self._pieces(text, special_tokens=special)).encode())

    def _pieces(self, text: str, *, special_tokens: bool) -> list[dict[str, Any]]:
        pieces = self._service.codec.pieces(text, special_tokens=special_tokens)
        return [{"id": piece.id, "text": piece.text, "start": piece.start, "stop": piece.stop} for piece in pieces]

    def chat_tokenized(self, text: str) -> Answer:
        """Answer `/chat_tokenize` for a conversation that has been rendered."""
        answer = {"tokenize_response": self._pieces(text, special_tokens=False), "templated_text": text}
        return Answer(json.dumps(answer).encode())

    def _whole(self, request: Request, body: fields.Body) -> Answer:
        wish = self._read(body)
        events = list(self._service.follow(request, wish.generation))
        end = events[-1][1]
        tokens = [token for token, _ in events]
        text = "".join(token.text for token in tokens)
        answer: dict[str, Any] = {"generated_text": wish.text + text if wish.full_text else text}
        if wish.details and end is not None:
            answer["details"] = self._details(wish, tokens, end)
        return Answer(json.dumps(answer).encode())

    def _stream(self, request: Request, body: fields.Body) -> EventStream:
        wish = self._read(body)
        return EventStream(self._events(request, wish), wish.generation.cancel)

    def _events(self, request: Request, wish: _Wish) -> Iterator[bytes]:
        shown = [wish.text] if wish.full_text else []
        try:
            for index, (token, end) in enumerate(self._service.follow(request, wish.generation), start=1):
                shown.append(token.text)
                event: dict[str, Any] = {"index": index, "token": _token(token), "generated_text": None, "details": None}
                if wish.generation.sampling.top_logprobs:
                    event["top_tokens"] = self._top(token)
                if end is not None:
                    event["generated_text"] = "".join(shown)
                    event["details"] = self._stream_details(wish, index, end)
                yield b"data:%b\n\n" % json.dumps(event).encode()
        except RequestRefused as error:
            yield b"data:%b\n\n" % json.dumps({"error": str(error), "error_type": error.kind}).encode()

    def _read(self, body: fields.Body) -> _Wish:
        text = fields.text(body, "inputs")
        if text is None:
            raise RequestInvalid("`inputs` is missing")
        parameters = fields.mapping(body, "parameters")
        fields.refuse(parameters, "grammar", "typical_p", "watermark")
        if (fields.integer(parameters, "best_of", 1, least=1) or 1) > 1:
            raise RequestInvalid("`best_of` is not supported")
        prompt = self._service.encode(text)
        truncate = fields.integer(parameters, "truncate", None, least=1)
        prompt = prompt[-truncate:] if truncate else prompt
        wanted = fields.integer(parameters, "max_new_tokens", None, least=1)
        details = fields.flag(parameters, "details")
        prompt_details = fields.flag(parameters, "decoder_input_details")
        full_text = fields.flag(parameters, "return_full_text")
        generation = Generation(
            prompt=prompt,
            max_new_tokens=self._service.checked_length(prompt, wanted, default=DEFAULT_NEW_TOKENS),
            sampling=read_sampling(parameters),
            stops=fields.stop_strings(parameters.get("stop") or parameters.get("stop_sequences"), most=MOST_STOPS),
            adapter=self._service.checked_adapter(fields.text(parameters, "adapter_id")),
            ignore_end=fields.flag(parameters, "ignore_eos"),
        )
        return _Wish(text, self._service.submit(generation), details, prompt_details, full_text)

    def _details(self, wish: _Wish, tokens: list[Token], end: Finished) -> dict[str, Any]:
        codec, generation = self._service.codec, wish.generation
        prompt = generation.prompt if wish.prompt_details else []
        details: dict[str, Any] = {
            "finish_reason": end.reason,
            "generated_tokens": len(tokens),
            "input_length": len(generation.prompt),
            "seed": generation.sampling.seed,
            "prefill": [{"id": token, "text": codec.token_text(token), "logprob": None} for token in prompt],
            "tokens": [_token(token) for token in tokens],
        }
        if generation.sampling.top_logprobs:
            details["top_tokens"] = [self._top(token) for token in tokens]
        return details

    def _stream_details(self, wish: _Wish, count: int, end: Finished) -> dict[str, Any]:
        generation = wish.generation
        return {
            "finish_reason": end.reason,
            "generated_tokens": count,
            "input_length": len(generation.prompt),
            "seed": generation.sampling.seed,
        }

    def _top(self, token: Token) -> list[dict[str, Any]]:
        codec = self._service.codec
        return [
            {"id": i, "text": codec.token_text(i), "logprob": logprob, "special": codec.is_special(i)} for i, logprob in token.top
        ]


def read_sampling(parameters: fields.Body) -> SamplingParameters:
    """Read TGI's parameters: it samples where `do_sample` says so, or a temperature, top_k or top_p is set."""
    temperature = fields.number(parameters, "temperature", 1.0, least=0.0, most=100.0)
    top_p = fields.number(parameters, "top_p", 1.0, above=0.0, most=1.0)
    top_k = fields.integer(parameters, "top_k", 0, least=0) or 0
    samples = fields.flag(parameters, "do_sample") or temperature != 1.0 or top_p < 1.0 or top_k > 0
    top = fields.integer(parameters, "top_n_tokens", 0, least=0, most=MOST_TOP_TOKENS) or 0
    return SamplingParameters(
        temperature=temperature if samples else 0.0,
        top_p=top_p,
        top_k=top_k,
        seed=fields.integer(parameters, "seed", None, least=0, most=_LARGEST_SEED),
        repetition_penalty=fields.number(parameters, "repetition_penalty", 1.0, above=0.0, most=100.0),
        presence_penalty=fields.number(parameters, "presence_penalty", 0.0, least=-2.0, most=2.0),
        frequency_penalty=fields.number(parameters, "frequency_penalty", 0.0, least=-2.0, most=2.0),
        logprobs=True,
        top_logprobs=top,
    )


def _token(token: Token) -> dict[str, Any]:
    return {"id": token.id, "text": token.text, "logprob": token.logprob, "special": token.special}
