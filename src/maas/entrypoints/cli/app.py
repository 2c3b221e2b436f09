"""The commands of `maas`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from maas.domain.errors import MaasError
from maas.entrypoints.cli import database, models, processes, users
from maas.settings import SettingsInvalid

app = typer.Typer(
    name="maas",
    help="Model as a Service on your own machines: models, fine-tuning, deployments and chat behind one API.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
user_app = typer.Typer(help="Accounts.", no_args_is_help=True)
db_app = typer.Typer(help="The database's schema.", no_args_is_help=True)
models_app = typer.Typer(help="Models.", no_args_is_help=True)

app.command("serve")(processes.serve)
app.command("api")(processes.api)
app.command("worker")(processes.worker)
app.command("controller")(processes.controller)
app.command("settings")(processes.settings)
user_app.command("create")(users.create)
db_app.command("upgrade")(database.upgrade)
db_app.command("downgrade")(database.downgrade)
db_app.command("status")(database.status)
models_app.command("import")(models.import_model)
app.add_typer(user_app, name="user")
app.add_typer(db_app, name="db")
app.add_typer(models_app, name="models")


@app.command()
def demo(
    model: Annotated[Path | None, typer.Option(help="A base model of your own, as a folder in Hugging Face's layout.")] = None,
    dataset: Annotated[Path | None, typer.Option(help="A dataset of your own: .jsonl, .json, .csv or .parquet.")] = None,
    dataset_type: Annotated[str, typer.Option(help="conversation, instruction, text or preference.")] = "conversation",
    ask: Annotated[list[str] | None, typer.Option(help="What to ask before and after; may be repeated.")] = None,
    *,
    keep: Annotated[bool, typer.Option(help="Leave the platform running at the end.")] = False,
    output: Annotated[Path, typer.Option(help="Where the data and the picture of the loss curve go.")] = Path("demo-output"),
) -> None:
    """Make a small model, fine-tune it, deploy it and talk to it, all over the real API; minutes, no network, no key."""
    from maas.entrypoints.cli.demo import run_demo

    run_demo(model=model, dataset=dataset, dataset_type=dataset_type, questions=ask or [], keep=keep, output=output)


@app.command()
def bench(
    only: Annotated[list[str] | None, typer.Option(help="An item to measure; may be repeated. All by default.")] = None,
    *,
    quick: Annotated[bool, typer.Option(help="Everything tiny and once: shows that it works, its figures mean nothing.")] = False,
    output: Annotated[Path, typer.Option(help="Where bench.json goes.")] = Path("bench-output"),
) -> None:
    """Measure the platform against its references in one run: ratios, as a table and as JSON. docs/benchmarks.md says what each means."""
    from maas.entrypoints.cli.bench.run import run_bench

    run_bench(only or [], output, quick=quick)


def main() -> None:
    """Run a command; an error that the operator can mend is one plain sentence and a status other than 0."""
    try:
        app()
    except (MaasError, SettingsInvalid) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from error
