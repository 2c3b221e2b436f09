"""What one API process serves."""

import structlog
from flask import Flask

from maas.container import Container
from maas.entrypoints.http.assembly import assemble
from maas.settings import Settings

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 1.0


def make_app(settings: Settings) -> Flask:
    """Build the application of this process, after any fork, and begin what goes on beside it."""
    container = Container(settings=settings)
    return assemble(container)
