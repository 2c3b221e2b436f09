"""`python -m maas.entrypoints.cli`, as the supervisor starts the others."""

from maas.entrypoints.cli.app import main

main()
