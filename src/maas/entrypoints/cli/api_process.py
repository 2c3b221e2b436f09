"""What one API process serves."""

from flask import Flask

from maas.container import Container
from maas.entrypoints.api.assembly import assemble
from maas.entrypoints.usage_thread import start_usage_thread
from maas.settings import Settings


def make_app(settings: Settings) -> Flask:
    """Build the application of this process, after any fork, and begin what goes on beside it."""
    container = Container(settings=settings)
    start_usage_thread(container.usage_flush())
    return assemble(container)
