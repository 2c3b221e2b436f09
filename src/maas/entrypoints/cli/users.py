"""Commands about accounts."""

from typing import Annotated

import typer

from maas.domain.identity import Role
from maas.entrypoints.cli.processes import DataDir
from maas.settings import Settings


def create(
    username: Annotated[str, typer.Option(help="3 to 64 letters, digits, '_', '-' or '.'.")],
    email: Annotated[str, typer.Option(help="The address to sign in with.")],
    password: Annotated[
        str, typer.Option(help="8 to 128 characters; asked for where it is not given.", prompt=True, hide_input=True)
    ],
    role: Annotated[Role, typer.Option(help="What the person may do.")] = Role.USER,
    data_dir: DataDir = None,
) -> None:
    """Make a verified account; the platform may be running."""
    from maas.container import Container, migrate_database

    settings = Settings.load(data_dir=data_dir)
    migrate_database(settings)
    user = Container(settings=settings).accounts().create(username=username, email=email, password=password, role=role)
    print(f"{user.username} ({role.value}) can sign in as {user.email}; the id is {user.id}")
