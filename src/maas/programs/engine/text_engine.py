"""The engine for text generation: model, scheduler and routes put together."""

import json
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from maas.programs.engine import fields
from maas.programs.engine.failures import EngineUnusable, Unhealthy
from maas.programs.engine.http_server import Answer, Request
from maas.programs.engine.loading import load_codec
from maas.programs.engine.metrics import Metrics
from maas.programs.engine.precision import choose_device, dtype_name
from maas.programs.engine.routes import Router
from maas.programs.engine.routes_openai import OpenAiRoutes
from maas.programs.engine.routes_tgi import MOST_STOPS, TgiRoutes
from maas.programs.engine.scheduler import Scheduler
from maas.programs.engine.spec import EngineSpec
from maas.programs.engine.text_model import TextModel
from maas.programs.engine.text_service import TextService
from maas.programs.model_loading import reason_of


class TextEngine:
    """One decoder-only model with its adapters."""

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._model = TextModel(spec, device=choose_device(spec.device))
        codec = load_codec(spec.model_dir)
        self._model.end_ids |= codec.end_ids
        for adapter in spec.adapters:
            self._model.adapters.load(adapter.name, adapter.path)
        self._metrics = Metrics()
        self._metrics.set("maas_engine_slots", spec.max_slots)
        self._scheduler = Scheduler(
            self._model,
            codec,
            self._metrics,
            max_slots=spec.max_slots,
            max_queue=spec.max_queue,
            prefill_token_budget=spec.prefill_token_budget,
            cache_tokens=self._model.cache_tokens,
        )
        self._service = TextService(
            self._scheduler,
            codec,
            self._model.adapters,
            context=self._model.context,
            vocabulary=self._model.vocabulary,
            model_name=spec.model_name,
        )
        self._tgi, self._openai = TgiRoutes(self._service), OpenAiRoutes(self._service)

    def description(self) -> dict[str, Any]:
        """Return what the parent is told when the engine is ready."""
        tasks = ["text-generation", "chat"] if self._service.can_chat else ["text-generation"]
        return {
            "parameters": self._model.parameters,
            "context": self._model.context,
            "dtype": dtype_name(self._model.dtype),
            "device": self._model.device.type,
            "tasks": tasks,
        }

    def router(self) -> Router:
        """Return the routes of this task."""
        tgi, openai = self._tgi, self._openai
        return Router(
            {
                ("POST", "/"): tgi.compatible,
                ("POST", "/generate"): tgi.generate,
                ("POST", "/generate_stream"): tgi.generate_stream,
                ("POST", "/tokenize"): tgi.tokenize,
                ("POST", "/chat_tokenize"): self._chat_tokenize,
                ("POST", "/v1/chat/completions"): openai.chat,
                ("POST", "/v1/completions"): openai.complete,
                ("GET", "/v1/models"): openai.models,
                ("GET", "/info"): self._info,
                ("GET", "/health"): self._health,
                ("GET", "/"): self._health,
                ("GET", "/metrics"): self._exposition,
            }
        )

    def run(self) -> None:
        """Compute until drained."""
        self._scheduler.run()

    def drain(self) -> None:
        self._scheduler.drain()

    def obey(self, command: dict[str, Any]) -> dict[str, Any] | None:
        """Load or unload an adapter; return the report that answers the command."""
        kind, name = command.get("type"), str(command.get("name"))
        if kind == "load_adapter":
            return self._load_adapter(name, Path(str(command["path"])))
        if kind == "unload_adapter":
            return self._unload_adapter(name)
        return None

    def _load_adapter(self, name: str, folder: Path) -> dict[str, Any]:
        adapters = self._model.adapters
        try:
            files = adapters.read(folder)
        except EngineUnusable as error:
            return {"type": "adapter_failed", "name": name, "reason": str(error)}
        failure = self._do_between_steps(lambda: adapters.add(name, files))
        if failure is not None:
            return {"type": "adapter_failed", "name": name, "reason": reason_of("the adapter could not be loaded", failure)}
        return {"type": "adapter_loaded", "name": name}

    def _unload_adapter(self, name: str) -> dict[str, Any]:
        """Refuse the adapter from now on; its weights go when the last request that uses it is answered."""
        adapters = self._model.adapters
        if name not in adapters.names():
            return {"type": "adapter_failed", "name": name, "reason": "there is no such adapter"}
        adapters.retire(name)

        def remove() -> None:
            if adapters.is_retired(name) and self._scheduler.uses(name):
                self._scheduler.between_steps(remove)
            elif adapters.is_retired(name):
                adapters.remove(name)

        self._scheduler.between_steps(remove)
        return {"type": "adapter_unloaded", "name": name}

    def _do_between_steps(self, errand: Callable[[], None]) -> Exception | None:
        """Wait until it is done, and return what went wrong with it."""
        ended: SimpleQueue[Exception | None] = SimpleQueue()

        def run() -> None:
            try:
                errand()
            except Exception as error:
                ended.put(error)
            else:
                ended.put(None)

        self._scheduler.between_steps(run)
        return ended.get()

    def _chat_tokenize(self, request: Request) -> Answer:
        return self._tgi.chat_tokenized(self._openai.rendered(fields.read_json(request.body)))

    def _info(self, _: Request) -> Answer:
        spec, context = self._spec, self._model.context
        info = {
            "model_id": spec.model_name,
            "model_pipeline_tag": "text-generation",
            "model_dtype": dtype_name(self._model.dtype),
            "model_device_type": self._model.device.type,
            "max_concurrent_requests": spec.max_slots + spec.max_queue,
            "max_batch_size": spec.max_slots,
            "max_stop_sequences": MOST_STOPS,
            "max_input_tokens": context - 1,
            "max_total_tokens": context,
            "router": "maas",
            "version": "1",
            "parameters": self._model.parameters,
            "chat": self._service.can_chat,
            "adapters": self._service.adapter_names(),
            "draining": self._scheduler.draining,
            "load": {**self._metrics.load(), "queue": spec.max_queue},
        }
        return Answer(json.dumps(info).encode())

    def _exposition(self, _: Request) -> Answer:
        return Answer(self._metrics.exposition(), content_type="text/plain; version=0.0.4; charset=utf-8")

    def _health(self, _: Request) -> Answer:
        if self._scheduler.stuck:
            raise Unhealthy("a step has not come back for long")
        return Answer(b"{}")
