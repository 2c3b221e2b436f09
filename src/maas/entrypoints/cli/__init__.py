"""The command line. Commands import what they need when they run: `maas --help` is to be quick."""

from maas.entrypoints.cli.app import main

__all__ = ["main"]
