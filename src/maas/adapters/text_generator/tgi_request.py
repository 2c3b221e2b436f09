"""How a request is said to an engine."""

from typing import Any

import orjson

from maas.domain.inference.conversation import ChatRequest, TextRequest
from maas.domain.inference.parameters import GenerationParameters

_SMALLEST_TOP_P = 1e-6
_STREAM = {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
_AS_THEY_ARE = ("temperature", "seed", "repetition_penalty", "presence_penalty", "frequency_penalty")


def call_of(request: TextRequest, adapter: str | None, *, max_tokens: int | None) -> tuple[str, bytes]:
    """Return path and body of the call."""
    parameters = request.parameters
    body: dict[str, Any] = {**_STREAM, **_sampling(parameters)}
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    if adapter is not None:
        # vLLM and TGI select it by `model`; for ours `adapter_id` says that the base will not do in its place.
        body["model"] = body["adapter_id"] = adapter
    if isinstance(request, ChatRequest):
        body["messages"] = [{"role": message.role.value, "content": message.content} for message in request.messages]
        if parameters.logprobs:
            body |= {"logprobs": True, "top_logprobs": parameters.top_logprobs or 0}
        return "/v1/chat/completions", orjson.dumps(body)
    body["prompt"] = list(request.prompt) if isinstance(request.prompt, tuple) else request.prompt
    if parameters.logprobs:
        body["logprobs"] = parameters.top_logprobs or 0
    return "/v1/completions", orjson.dumps(body)


def _sampling(parameters: GenerationParameters) -> dict[str, Any]:
    """Return what is set, leaving out what says nothing: TGI refuses a `top_p` of 1, vLLM a `top_k` of 0."""
    values = {name: getattr(parameters, name) for name in _AS_THEY_ARE}
    sampling = {name: value for name, value in values.items() if value is not None}
    if parameters.top_p is not None and parameters.top_p < 1:
        sampling["top_p"] = max(parameters.top_p, _SMALLEST_TOP_P)
    if parameters.top_k:
        sampling["top_k"] = parameters.top_k
    if parameters.stop:
        sampling["stop"] = list(parameters.stop)
    return sampling
