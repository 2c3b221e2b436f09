"""`maas bench --quick` measures, and says what it measured."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer

from maas.entrypoints.cli.bench import run_bench
from maas.entrypoints.cli.bench.run import ITEMS

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

FIGURE = {"name", "unit", "value", "reference", "reference_value", "ratio", "goal", "met", "pairs", "note"}


def measured(only: Sequence[str], folder: Path) -> dict[str, Any]:
    run_bench(list(only), folder, quick=True)
    report: dict[str, Any] = json.loads((folder / "bench.json").read_text(encoding="utf-8"))
    return report


def test_every_cheap_item_gives_figures_and_leaves_nothing_else_behind(tmp_path: Path) -> None:
    only = ["startup", "requests", "upload"]

    report = measured(only, tmp_path)

    assert list(report["items"]) == only
    assert report["quick"] is True
    assert report["machine"]["cores"] >= 1
    for item in report["items"].values():
        assert item["error"] is None
        assert item["figures"]
        for figure in item["figures"]:
            assert set(figure) == FIGURE
            # What the platform adds to a call is a difference, which so few calls may lose in the clock's grain.
            assert figure["value"] > 0 or (figure["unit"] == "µs of CPU" and math.isfinite(figure["value"]))
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]


def test_a_ratio_is_the_platform_over_its_reference_in_the_same_run(tmp_path: Path) -> None:
    upload = measured(["upload"], tmp_path)["items"]["upload"]["figures"][0]

    assert upload["reference"] == "cp && sync && sha256sum"
    assert upload["ratio"] == pytest.approx(upload["value"] / upload["reference_value"])
    assert upload["met"] is (upload["ratio"] >= 1.0)


def test_the_engine_and_its_adapters_are_measured_against_transformers(tmp_path: Path) -> None:
    items = measured(["engine", "adapters"], tmp_path)["items"]

    assert [item["error"] for item in items.values()] == [None, None]
    against_generate = [figure for figure in items["engine"]["figures"] if figure["reference"] == "generate, one at a time"]
    assert len(against_generate) == 6
    assert against_generate[0]["note"] == "3 of 3 answers the same, token by token"
    assert len(items["adapters"]["figures"]) == 10


def test_an_item_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter) as refused:
        run_bench(["speed"], tmp_path, quick=True)

    assert "speed" in str(refused.value)
    assert all(name in str(refused.value) for name in ITEMS)
