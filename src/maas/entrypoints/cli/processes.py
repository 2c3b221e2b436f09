"""Commands that run the processes of the platform."""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maas.settings import Settings, markdown_table, table

if TYPE_CHECKING:
    from maas.container import Container

DataDir = Annotated[Path | None, typer.Option(help="The folder that everything is kept in. [MAAS_DATA_DIR]")]
_WORKER_PATIENCE_SECONDS = 20.0
_HOUSEKEEPING_SECONDS = 5.0
_ABANDONED_STATUS = 1


def serve(
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on. [MAAS_HOST]")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on; 0 takes a free one. [MAAS_PORT]")] = None,
) -> None:
    """Run the whole platform on this machine: everything starts, restarts what dies, and ends with SIGTERM or Ctrl-C."""
    from maas.entrypoints.logs import configure_logs
    from maas.entrypoints.supervisor.supervisor import Supervisor

    settings = Settings.load(data_dir=data_dir, host=host, port=port)
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
    configure_logs(settings.log_level)
    _name_process("maas serve")
    _migrate(settings)
    try:
        supervisor = Supervisor(settings)
    except OSError as error:
        sys.stderr.write(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; name another by --host and --port\n"
        )
        raise SystemExit(1) from error
    status = supervisor.run(lambda url: print(f"maas is ready at {url} (documentation: {url}/docs)", flush=True))
    raise SystemExit(status)


def api(
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on. [MAAS_HOST]")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on. [MAAS_PORT]")] = None,
    listen_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Answer HTTP and WebSockets."""
    settings = _begin("api", data_dir=data_dir, host=host, port=port)
    from maas.entrypoints.api.server import ServerOptions, run_api
    from maas.entrypoints.cli.api_process import make_app

    options = ServerOptions(
        host=settings.host,
        port=settings.port,
        listen_fd=listen_fd,
        workers=settings.api_workers,
        threads=settings.api_threads,
        tls_certificate=settings.tls_cert,
        tls_key=settings.tls_key,
        log_level=settings.log_level,
    )
    run_api(lambda: make_app(settings), options)


def worker(data_dir: DataDir = None) -> None:
    """Do leased work: trainings, imports, batches, and the reactions to events."""
    settings = _begin("worker", data_dir=data_dir)
    from datetime import timedelta

    from maas.entrypoints.usage_thread import start_usage_thread
    from maas.entrypoints.worker.loop import Worker, WorkerOptions

    container = _container(settings)
    start_usage_thread(container.usage_flush())
    ended = Worker(
        handlers=container.work_handlers(),
        reactions=container.reactions(),
        unit_of_work=container.unit_of_work(),
        broadcaster=container.broadcaster(),
        clock=container.clock(),
        options=WorkerOptions(
            long_threads=settings.work_threads,
            short_threads=settings.reaction_threads,
            lease=timedelta(seconds=settings.lease_seconds),
        ),
        ending=_ending(),
    ).run(_WORKER_PATIENCE_SECONDS)
    # Threads that did not put their work down must not keep the process: their leases pass on.
    os._exit(0 if ended else _ABANDONED_STATUS)


def controller(data_dir: DataDir = None) -> None:
    """Make deployments true: start, watch, replace and stop replicas; tidy up from time to time."""
    settings = _begin("controller", data_dir=data_dir)
    from maas.entrypoints.controller.housekeeping import Housekeeping
    from maas.entrypoints.controller.loop import ControllerLoop

    container = _container(settings)
    ending = _ending()
    housekeeping = Housekeeping(container.housekeeping(), period_seconds=_HOUSEKEEPING_SECONDS, ending=ending)
    threading.Thread(target=housekeeping.run, name="housekeeping", daemon=True).start()
    ControllerLoop(
        controller=container.deployment_controller(),
        broadcaster=container.broadcaster(),
        clock=container.clock(),
        ending=ending,
    ).run()
    os._exit(0)


def settings(*, markdown: Annotated[bool, typer.Option(help="As the table of the README.")] = False) -> None:
    """List all settings with their defaults and meanings."""
    if markdown:
        print(markdown_table())
        return
    for name, default, meaning in table():
        print(f"{name}={default}\n    {meaning}")


def _begin(role: str, **given: object) -> Settings:
    """Set up a process of the platform: tied to its supervisor, named, its logs in order."""
    from maas.entrypoints.lifeline import hold_on
    from maas.entrypoints.logs import configure_logs

    hold_on()
    _name_process(f"maas {role}")
    settings = Settings.load(**given)
    configure_logs(settings.log_level)
    return settings


def _name_process(title: str) -> None:
    from setproctitle import setproctitle

    setproctitle(title)


def _container(settings: Settings) -> "Container":
    from maas.container import Container

    return Container(settings=settings)


def _migrate(settings: Settings) -> None:
    from maas.container import migrate_database

    try:
        migrate_database(settings)
    except Exception as error:
        sys.stderr.write(f"the database cannot be brought to this release's schema: {error}\n")
        raise SystemExit(1) from error


def _ending() -> threading.Event:
    """Return what SIGTERM and SIGINT set."""
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: ending.set())
    return ending
