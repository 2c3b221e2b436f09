"""The engine for embeddings and for scores of text pairs: model, batches and routes put together."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import torch
from torch import Tensor

from maas.programs.engine import fields
from maas.programs.engine.client_watch import ClientWatch
from maas.programs.engine.encoder_model import EncodedText, EncoderModel
from maas.programs.engine.failures import ClientLeft, RequestInvalid, Unhealthy
from maas.programs.engine.http_server import Answer, Request
from maas.programs.engine.metrics import Metrics
from maas.programs.engine.precision import choose_device, dtype_name
from maas.programs.engine.routes import Route, Router
from maas.programs.engine.spec import EngineSpec
from maas.programs.engine.text_batcher import TextBatcher

MOST_TEXTS = 2048


class EmbeddingEngine:
    """One encoder."""

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._scores = spec.task == "text-ranking"
        device = choose_device(spec.device)
        self._model = EncoderModel(spec, scores=self._scores, device=device)
        self._dimension = self._model.run([self._model.encode("a")]).shape[1]
        self._metrics = Metrics()
        self._batcher = TextBatcher(self._model.run, self._metrics, max_queue=spec.max_queue)
        self._watch = ClientWatch()

    def description(self) -> dict[str, Any]:
        """Return what the parent is told when the engine is ready."""
        return {
            "parameters": self._model.parameters,
            "context": self._model.context,
            "dtype": dtype_name(self._model.dtype),
            "device": self._model.device.type,
            "tasks": [self._spec.task],
            "dimension": self._dimension,
        }

    def router(self) -> Router:
        """Return the routes of this task."""
        routes: dict[tuple[str, str], Route] = {
            ("GET", "/info"): self._info,
            ("GET", "/v1/models"): self._models,
            ("GET", "/health"): self._health,
            ("GET", "/"): self._health,
            ("GET", "/metrics"): self._exposition,
        }
        if self._scores:
            routes |= {("POST", "/rerank"): self._rerank, ("POST", "/"): self._rerank}
        else:
            routes |= {("POST", "/embed"): self._embed, ("POST", "/"): self._embed, ("POST", "/v1/embeddings"): self._openai}
        return Router(routes)

    def run(self) -> None:
        """Compute until drained."""
        self._batcher.run()

    def drain(self) -> None:
        self._batcher.drain()

    def obey(self, command: dict[str, Any]) -> dict[str, Any] | None:
        """Refuse adapters: encoders have none."""
        if command.get("type") not in ("load_adapter", "unload_adapter"):
            return None
        return {"type": "adapter_failed", "name": command.get("name"), "reason": "an embedding model takes no adapters"}

    def _embed(self, request: Request) -> Answer:
        """TEI's `/embed`, and what huggingface_hub sends to `/`: always a list of vectors."""
        body = fields.read_json(request.body)
        options = {**fields.mapping(body, "parameters"), **body}
        texts = self._encoded(_texts(body.get("inputs"), "inputs"), options)
        normalize = fields.flag(options, "normalize", default=self._model.files.normalize)
        return _answer(self._rows(request, texts, normalize=normalize))

    def _openai(self, request: Request) -> Answer:
        body = fields.read_json(request.body)
        dimensions = fields.integer(body, "dimensions", None, least=1)
        if dimensions is not None and dimensions != self._dimension:
            raise RequestInvalid(f"`dimensions` must be {self._dimension}, which is what this model gives")
        form = fields.text(body, "encoding_format") or "float"
        if form not in ("float", "base64"):
            raise RequestInvalid("`encoding_format` must be float or base64")
        texts = self._encoded(_texts(body.get("input"), "input"), body)
        rows = self._rows(request, texts, normalize=self._model.files.normalize)
        tokens = sum(len(text.ids) for text in texts)
        data = [
            {"object": "embedding", "index": index, "embedding": row if form == "float" else base64.b64encode(row).decode()}
            for index, row in enumerate(rows)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        model = fields.text(body, "model") or self._spec.model_name
        return _answer({"object": "list", "data": data, "model": model, "usage": usage})

    def _rerank(self, request: Request) -> Answer:
        """TEI's `/rerank`: texts by how well they answer the query."""
        body = fields.read_json(request.body)
        query = fields.text(body, "query")
        if query is None:
            raise RequestInvalid("`query` is missing")
        texts = _texts(body.get("texts"), "texts")
        pairs = [self._model.encode(query, text) for text in texts]
        scores = torch.from_numpy(self._rows(request, pairs, normalize=False))[:, -1]
        scores = scores if fields.flag(body, "raw_scores") else torch.sigmoid(scores)
        with_text = fields.flag(body, "return_text")
        ranked = sorted(enumerate(scores.tolist()), key=lambda entry: -entry[1])
        return _answer([{"index": i, "score": score, **({"text": texts[i]} if with_text else {})} for i, score in ranked])

    def _encoded(self, texts: Sequence[str], options: fields.Body) -> list[EncodedText]:
        prompt = self._prompt(fields.text(options, "prompt_name"))
        encoded = [self._model.encode(prompt + text) for text in texts]
        if not fields.flag(options, "truncate", default=True) and any(text.cut for text in encoded):
            raise RequestInvalid(f"`inputs` must have at most {self._model.context} tokens")
        return encoded

    def _prompt(self, name: str | None) -> str:
        files = self._model.files
        if name is None:
            return files.prompts.get(files.default_prompt, "") if files.default_prompt else ""
        if name not in files.prompts:
            raise RequestInvalid(f"this model has no prompt named {name[:60]!r}")
        return files.prompts[name]

    def _rows(self, request: Request, texts: Sequence[EncodedText], *, normalize: bool) -> "np.ndarray[Any, Any]":
        job = self._batcher.submit(texts)
        with self._watch.watching(request.client, lambda: job.end(ClientLeft())):
            job.done.wait()
        if job.error is not None:
            raise job.error
        rows = torch.stack([row for row in job.rows if row is not None])
        return _normalized(rows).numpy() if normalize else rows.numpy()

    def _info(self, _: Request) -> Answer:
        spec = self._spec
        info = {
            "model_id": spec.model_name,
            "model_pipeline_tag": spec.task,
            "model_dtype": dtype_name(self._model.dtype),
            "model_device_type": self._model.device.type,
            "max_concurrent_requests": spec.max_queue,
            "max_input_length": self._model.context,
            "max_client_batch_size": MOST_TEXTS,
            "router": "maas",
            "version": "1",
            "parameters": self._model.parameters,
            "dimension": self._dimension,
            "pooling": self._model.files.pooling,
            "chat": False,
            "adapters": [],
            "draining": self._batcher.draining,
            "load": {**self._metrics.load(), "queue": spec.max_queue},
        }
        return _answer(info)

    def _health(self, _: Request) -> Answer:
        if self._batcher.stuck:
            raise Unhealthy("a batch has not come back for long")
        return Answer(b"{}")

    def _models(self, _: Request) -> Answer:
        entry = {"id": self._spec.model_name, "object": "model", "created": 0, "owned_by": "maas"}
        return _answer({"object": "list", "data": [entry]})

    def _exposition(self, _: Request) -> Answer:
        return Answer(self._metrics.exposition(), content_type="text/plain; version=0.0.4; charset=utf-8")


def _texts(value: Any, name: str) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not values or not all(isinstance(entry, str) for entry in values):
        raise RequestInvalid(f"`{name}` must be a string or a list of strings, with at least one")
    if len(values) > MOST_TEXTS:
        raise RequestInvalid(f"`{name}` must have at most {MOST_TEXTS} texts. Given: {len(values)}")
    return [fields.well_formed(entry, name) for entry in values]


def _normalized(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows, dim=1)


def _answer(value: Any) -> Answer:
    return Answer(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))
