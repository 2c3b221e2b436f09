"""The application as a process serves it: the foundation, every capability's routes, wired to the container."""

from collections.abc import Mapping
from typing import Any

from flask import Flask
from sqlalchemy import Engine, text

from maas.container import Container
from maas.entrypoints.api.application import SocketNumbers, build_application
from maas.entrypoints.api.isolation import check_isolation
from maas.entrypoints.http import blueprints
from maas.entrypoints.http.app import HttpParts
from maas.entrypoints.http.client_address import TrustedProxies
from maas.entrypoints.http.draining import Draining
from maas.entrypoints.http.readiness import PartCheck, Readiness
from maas.entrypoints.http.sign_in import SignIn
from maas.entrypoints.websocket import capabilities


def assemble(container: Container, draining: Draining | None = None) -> Flask:
    """Return the application of this process. Wiring is global to the process: the newest container wins."""
    modules = [*blueprints.MODULES, *capabilities.MODULES]
    container.wire(modules=modules)
    settings = container.settings()
    parts = HttpParts(
        sign_in=SignIn(
            authenticate=container.authentication().authenticate,
            count_call=container.api_calls().count,
            record_call=container.api_calls().record,
            count_address=container.limits().count_address,
            proxies=TrustedProxies(settings.listed_proxies),
        ),
        readiness=Readiness(_checks(container)),
        idempotency=container.idempotency(),
        draining=draining or Draining(),
        most_streams=settings.most_streams,
    )
    return build_application(
        parts,
        [module.blueprint for module in blueprints.MODULES],
        [module.routes for module in capabilities.MODULES],
        SocketNumbers(most=settings.most_sockets, most_per_user=settings.max_websockets),
    )


def _checks(container: Container) -> Mapping[str, PartCheck]:
    return {
        "database": PartCheck(check=lambda: _check_database(container.engine())),
        "files": PartCheck(check=lambda: _check_files(container.file_store())),
        "isolation": PartCheck(check=check_isolation, needed=False),
    }


def _check_database(engine: Engine) -> None:
    with engine.connect().execution_options(maas_read_only=True) as connection:
        connection.execute(text("SELECT 1"))


def _check_files(store: Any) -> None:
    store.stage().discard()
