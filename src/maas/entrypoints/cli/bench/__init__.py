"""`maas bench`: what the platform does, measured against its references in one run."""

from maas.entrypoints.cli.bench.run import run_bench

__all__ = ["run_bench"]
