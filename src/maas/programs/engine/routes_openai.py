"""Text by OpenAI's protocol."""

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from maas.programs.engine import fields
from maas.programs.engine.failures import RequestInvalid, RequestRefused
from maas.programs.engine.generation import LENGTH, Finished, Generation, Token
from maas.programs.engine.http_server import Answer, EventStream, Request
from maas.programs.engine.sampling import SamplingParameters
from maas.programs.engine.text_service import TextService

_MOST_STOPS = 16
_MOST_TOP_LOGPROBS = 20
_MOST_MESSAGES = 2048
_MOST_PROMPTS = 16
_SEEDS = 2**63
_DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class _Reply:
    """An answer in the making: how it looks, apart from its text."""

    chat: bool
    model: str
    token_ids: bool
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def frame(self, choices: list[dict[str, Any]], *, chunk: bool) -> dict[str, Any]:
        kind = ("chat.completion" + (".chunk" if chunk else "")) if self.chat else "text_completion"
        name = f"{'chatcmpl' if self.chat else 'cmpl'}-{self.id}"
        return {
            "id": name,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "maas",
            "choices": choices,
        }

    def ids_of(self, tokens: Sequence[Token]) -> dict[str, list[int]]:
        return {"token_ids": [token.id for token in tokens]} if self.token_ids else {}


class OpenAiRoutes:
    """`/v1/chat/completions` and its kin."""

    def __init__(self, service: TextService) -> None:
        self._service = service

    def chat(self, request: Request) -> Answer | EventStream:
        body = fields.read_json(request.body)
        fields.refuse(body, "logit_bias", "functions")
        prompt = self._service.encode(self.rendered(body), special_tokens=False)
        top = fields.integer(body, "top_logprobs", 0, least=0, most=_MOST_TOP_LOGPROBS) or 0
        sampling = _sampling(body, logprobs=fields.flag(body, "logprobs"), top=top)
        return self._answer(request, body, [prompt], sampling, chat=True)

    def complete(self, request: Request) -> Answer | EventStream:
        body = fields.read_json(request.body)
        fields.refuse(body, "logit_bias", "echo", "suffix")
        top = fields.integer(body, "logprobs", None, least=0, most=_MOST_TOP_LOGPROBS)
        sampling = _sampling(body, logprobs=top is not None, top=top or 0)
        return self._answer(request, body, self._prompts(body.get("prompt")), sampling, chat=False)

    def models(self, _: Request) -> Answer:
        names = [self._service.model_name, *self._service.adapter_names()]
        entries = [{"id": name, "object": "model", "created": 0, "owned_by": "maas"} for name in names]
        return Answer(json.dumps({"object": "list", "data": entries}).encode())

    def rendered(self, body: fields.Body) -> str:
        """Return a chat request's prompt."""
        variables = fields.mapping(body, "chat_template_kwargs")
        return self._service.render(_messages(body.get("messages")), tools=body.get("tools") or None, variables=variables)

    def _answer(
        self, request: Request, body: fields.Body, prompts: list[list[int]], sampling: SamplingParameters, *, chat: bool
    ) -> Answer | EventStream:
        _check_format(body)
        stream = fields.flag(body, "stream")
        if stream and len(prompts) > 1:
            raise RequestInvalid("a stream answers one prompt")
        options = fields.mapping(body, "stream_options")
        usage, running = fields.flag(options, "include_usage"), fields.flag(options, "continuous_usage_stats")
        model = fields.text(body, "model") or self._service.model_name
        reply = _Reply(chat, model, token_ids=fields.flag(body, "return_token_ids"))
        generations = self._submit_all(body, prompts, sampling)
        if not stream:
            return self._whole(request, reply, generations)
        events = self._events(request, reply, generations[0], usage=usage, running=running)
        return EventStream(events, generations[0].cancel)

    def _submit_all(self, body: fields.Body, prompts: list[list[int]], sampling: SamplingParameters) -> list[Generation]:
        wanted = fields.integer(body, "max_completion_tokens", None, least=1)
        wanted = fields.integer(body, "max_tokens", None, least=1) if wanted is None else wanted
        lengths = [self._service.checked_length(prompt, wanted) for prompt in prompts]
        stops = fields.stop_strings(body.get("stop"), most=_MOST_STOPS)
        adapter, ignore_end = self._adapter(body), fields.flag(body, "ignore_eos")
        generations = [
            Generation(
                prompt=prompt, max_new_tokens=length, sampling=sampling, stops=stops, adapter=adapter, ignore_end=ignore_end
            )
            for prompt, length in zip(prompts, lengths, strict=True)
        ]
        try:
            for generation in generations:
                self._service.submit(generation)
        except RequestRefused:
            for generation in generations:
                generation.cancel()
            raise
        return generations

    def _adapter(self, body: fields.Body) -> str | None:
        """Return the adapter that a request names: by `adapter_id`, or by `model` where that is one's name."""
        named = fields.text(body, "adapter_id")
        if named is not None:
            return self._service.checked_adapter(named)
        model = fields.text(body, "model")
        return model if model in self._service.adapter_names() else None

    def _prompts(self, prompt: Any) -> list[list[int]]:
        if isinstance(prompt, str):
            return [self._service.encode(fields.well_formed(prompt, "prompt"))]
        if isinstance(prompt, list) and prompt and all(isinstance(entry, str) for entry in prompt):
            if len(prompt) > _MOST_PROMPTS:
                raise RequestInvalid(f"`prompt` must have at most {_MOST_PROMPTS} entries. Given: {len(prompt)}")
            return [self._service.encode(fields.well_formed(entry, "prompt")) for entry in prompt]
        if isinstance(prompt, list) and prompt and all(type(entry) is int for entry in prompt):
            return [prompt]
        raise RequestInvalid("`prompt` must be a string, a list of strings or a list of tokens")

    def _whole(self, request: Request, reply: _Reply, generations: Sequence[Generation]) -> Answer:
        choices, generated = [], 0
        try:
            for index, generation in enumerate(generations):
                events = list(self._service.follow(request, generation))
                generated += len(events)
                choices.append(self._choice(reply, index, [token for token, _ in events], events[-1][1], generation))
        finally:
            for generation in generations:
                generation.cancel()
        answer = reply.frame(choices, chunk=False)
        answer["usage"] = _usage(sum(len(generation.prompt) for generation in generations), generated)
        return Answer(json.dumps(answer).encode())

    def _choice(
        self, reply: _Reply, index: int, tokens: list[Token], end: Finished | None, generation: Generation
    ) -> dict[str, Any]:
        text = "".join(token.text for token in tokens)
        content = {"message": {"role": "assistant", "content": text}} if reply.chat else {"text": text}
        return {
            "index": index,
            **content,
            **reply.ids_of(tokens),
            "logprobs": self._logprobs(reply, tokens, generation),
            "finish_reason": _finish_reason(end),
        }

    def _events(self, request: Request, reply: _Reply, generation: Generation, *, usage: bool, running: bool) -> Iterator[bytes]:
        count = 0
        try:
            for token, end in self._service.follow(request, generation):
                count += 1
                if token.text or end or count == 1 or running or reply.token_ids or generation.sampling.logprobs:
                    chunk = reply.frame([self._delta(reply, token, end, generation)], chunk=True)
                    if running:
                        chunk["usage"] = _usage(len(generation.prompt), count)
                    yield _event(chunk)
            if usage:
                yield _event({**reply.frame([], chunk=True), "usage": _usage(len(generation.prompt), count)})
        except RequestRefused as error:
            yield _event({"error": str(error), "error_type": error.kind})
        yield _DONE

    def _delta(self, reply: _Reply, token: Token, end: Finished | None, generation: Generation) -> dict[str, Any]:
        content = {"delta": {"role": "assistant", "content": token.text}} if reply.chat else {"text": token.text}
        return {
            "index": 0,
            **content,
            **reply.ids_of([token]),
            "logprobs": self._logprobs(reply, [token], generation),
            "finish_reason": _finish_reason(end),
        }

    def _logprobs(self, reply: _Reply, tokens: list[Token], generation: Generation) -> dict[str, Any] | None:
        if not generation.sampling.logprobs:
            return None
        return {"content": [self._chat_logprob(token) for token in tokens]} if reply.chat else self._old_logprobs(tokens)

    def _chat_logprob(self, token: Token) -> dict[str, Any]:
        return {
            **self._named(token.id, token.logprob),
            "top_logprobs": [self._named(i, logprob) for i, logprob in token.top],
        }

    def _named(self, token: int, logprob: float | None) -> dict[str, Any]:
        text = self._service.codec.token_text(token)
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    def _old_logprobs(self, tokens: list[Token]) -> dict[str, Any]:
        codec = self._service.codec
        offsets, offset = [], 0
        for token in tokens:
            offsets.append(offset)
            offset += len(token.text)
        return {
            "tokens": [codec.token_text(token.id) for token in tokens],
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": [{codec.token_text(i): logprob for i, logprob in token.top} for token in tokens],
            "text_offset": offsets,
        }


def _sampling(body: fields.Body, *, logprobs: bool, top: int) -> SamplingParameters:
    if (fields.integer(body, "n", 1, least=1) or 1) > 1 or (fields.integer(body, "best_of", 1, least=1) or 1) > 1:
        raise RequestInvalid("`n` and `best_of` greater than 1 are not supported")
    top_k = fields.integer(body, "top_k", 0, least=-1) or 0
    seed = fields.integer(body, "seed", None, least=-_SEEDS, most=_SEEDS - 1)
    return SamplingParameters(
        temperature=fields.number(body, "temperature", 1.0, least=0.0, most=2.0),
        top_p=fields.number(body, "top_p", 1.0, above=0.0, most=1.0),
        top_k=max(0, top_k),
        seed=None if seed is None else seed % (2 * _SEEDS),
        repetition_penalty=fields.number(body, "repetition_penalty", 1.0, above=0.0, most=100.0),
        presence_penalty=fields.number(body, "presence_penalty", 0.0, least=-2.0, most=2.0),
        frequency_penalty=fields.number(body, "frequency_penalty", 0.0, least=-2.0, most=2.0),
        logprobs=logprobs,
        top_logprobs=top if logprobs else 0,
    )


def _messages(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        raise RequestInvalid("`messages` must be a list with at least one message")
    if len(value) > _MOST_MESSAGES:
        raise RequestInvalid(f"`messages` must have at most {_MOST_MESSAGES} entries. Given: {len(value)}")
    return [_message(entry) for entry in value]


def _message(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not isinstance(value.get("role"), str):
        raise RequestInvalid("each of `messages` must be an object with a `role`")
    content = value.get("content")
    if isinstance(content, list):
        content = "".join(_text_part(part) for part in content)
    if content is not None and not isinstance(content, str):
        raise RequestInvalid("the `content` of a message must be a string or a list of text parts")
    return {**value, "content": content or ""}


def _text_part(part: Any) -> str:
    if not isinstance(part, Mapping) or part.get("type") != "text" or not isinstance(part.get("text"), str):
        raise RequestInvalid("this model reads text only")
    return str(part["text"])


def _check_format(body: fields.Body) -> None:
    if fields.mapping(body, "response_format").get("type", "text") != "text":
        raise RequestInvalid("`response_format` other than text is not supported")


def _finish_reason(end: Finished | None) -> str | None:
    return None if end is None else "length" if end.reason == LENGTH else "stop"


def _usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def _event(value: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % json.dumps(value, ensure_ascii=False).encode()
