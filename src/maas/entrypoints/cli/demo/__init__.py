"""`maas demo`: a model learns something, is deployed and answers with it, all over the real API."""

from maas.entrypoints.cli.demo.command import run_demo

__all__ = ["run_demo"]
