"""Commands about models."""

from pathlib import Path
from typing import Annotated

import typer


def import_model(
    source: Annotated[
        str, typer.Argument(help="A folder on the server that MAAS_IMPORT_FOLDERS lists, or a repository of the hub.")
    ],
    name: Annotated[str, typer.Option(help="What to call the model.")],
    url: Annotated[str, typer.Option(help="Where the platform is.")] = "http://127.0.0.1:8000",
    key: Annotated[str, typer.Option(help="An API key with model:create and model:read.", envvar="MAAS_API_KEY")] = "",
    model_type: Annotated[str, typer.Option("--type", help="llm, embedding or reranker.")] = "llm",
    revision: Annotated[str, typer.Option(help="The revision of a hub's repository.")] = "main",
) -> None:
    """Import a model from a folder of the server or from the hub, and wait until it is ready."""
    from maas.entrypoints.cli.client import Client, ClientError

    if Path(source).is_absolute():
        origin = {"type": "folder", "path": source}
    else:
        origin = {"type": "hub", "repository": source, "revision": revision}
    client = Client(url, key=key)
    try:
        model = client.import_model(name=name, model_type=model_type, source=origin)
        version = client.wait_for_version(model["id"])
    except ClientError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{name} is ready: model {model['id']}, version {version['version']}, {version['file_size']:,} bytes")
