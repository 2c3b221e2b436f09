"""`python -m maas.programs.engine`: reads a specification on stdin, loads a model, serves it on an inherited socket."""

import logging
import os
import socket
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from maas.programs.child import Child, leave_network, limit_resources
from maas.programs.walls import confine

_SECONDS_TO_END = 30.0


class Engine(Protocol):
    """What every task's engine offers."""

    def description(self) -> dict[str, Any]: ...

    def router(self) -> Any: ...

    def run(self) -> None: ...

    def drain(self) -> None: ...

    def obey(self, command: dict[str, Any]) -> dict[str, Any] | None:
        """Follow a command about adapters; return the report that answers it."""
        ...


def main() -> int:
    """Serve until drained; return 0 then, and 1 where the engine could not start."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    walls = {"network": leave_network()}
    limit_resources()
    child = Child.start("maas engine", before_threads=lambda spec: walls.update(files=_confine(spec)))
    child.report("confinement", **walls)
    try:
        engine = _load(child)
    except Exception as error:
        traceback.print_exc()
        child.report("failed", reason=_reason(error))
        return 1
    _serve(child, engine)
    return 0


def _confine(spec: Mapping[str, Any]) -> bool:
    """Leave in sight the model, its adapters and where more adapters may come from, and no other file of the platform."""
    adapters = [entry["path"] for entry in spec.get("adapters", ())]
    return confine(readable=[Path(path) for path in (spec["model_dir"], *adapters, *spec.get("readable", ()))], writable=[])


def _load(child: Child) -> Engine:
    # Torch is imported only now: the network must be left before any thread starts.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # Threads that wait for each other sleep. By default they spin, and a host with more work than cores comes to a standstill.
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    # Torch, and what it imports where it is installed (dill), ask for the folder of temporary files as they are imported. Within
    # walls there is none, and nothing is written: any name will do.
    tempfile.tempdir = "/dev"
    # Torch would make a folder in it, which only root may: it is given one that is there.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", "/dev")
    from maas.programs.engine.precision import set_threads
    from maas.programs.engine.spec import read_spec

    spec = read_spec(child.spec)
    set_threads(spec.threads)
    if spec.task == "text-generation":
        from maas.programs.engine.text_engine import TextEngine

        return TextEngine(spec)
    from maas.programs.engine.embedding_engine import EmbeddingEngine

    return EmbeddingEngine(spec)


def _serve(child: Child, engine: Engine) -> None:
    from maas.programs.engine.http_server import HttpServer

    def obey(command: dict[str, Any]) -> None:
        if command.get("type") == "drain":
            engine.drain()
            return
        report = engine.obey(command)
        if report is not None:
            child.report(report.pop("type"), **report)

    server = HttpServer(socket.socket(fileno=child.spec["socket_fd"]), engine.router())
    server.start()
    child.report("ready", **engine.description())
    child.on_command(obey)
    engine.run()
    server.wait_until_answered(_SECONDS_TO_END)


def _reason(error: Exception) -> str:
    from maas.programs.engine.failures import EngineUnusable
    from maas.programs.model_loading import reason_of

    if isinstance(error, EngineUnusable):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory to load the model"
    return reason_of("the model could not be loaded", error)


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # Threads that serve clients still stand: an orderly end of the interpreter would wait for what they hold.
    os._exit(status)
