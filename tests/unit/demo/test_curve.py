"""The loss curve in a terminal, and as a picture."""

from xml.etree import ElementTree

from maas.entrypoints.cli.demo.curve import Curve


def falling(steps: int = 50, total: int = 100) -> Curve:
    curve = Curve(total_steps=total)
    for step in range(1, steps + 1):
        curve.add({"step": step, "loss": 5.0 / step, "eval_loss": None})
    return curve


def columns_with_dots(lines: list[str]) -> list[int]:
    return [column for column in range(len(lines[0])) if any(line[column] != "\u2800" for line in lines)]


def test_an_empty_curve_draws_nothing() -> None:
    lines = Curve().as_dots(20, 4)

    assert [len(line) for line in lines] == [20] * 4
    assert columns_with_dots(lines) == []


def test_a_run_that_is_half_done_fills_the_left_half() -> None:
    drawn = columns_with_dots(falling(steps=50, total=100).as_dots(40, 6))

    assert drawn == list(range(21))


def test_a_falling_loss_begins_at_the_top_and_ends_at_the_bottom() -> None:
    lines = falling(steps=100).as_dots(40, 6)

    assert lines[0][0] != "\u2800"
    assert lines[-1][-1] != "\u2800"
    assert lines[0][-1] == "\u2800"


def test_a_step_that_is_told_twice_counts_as_it_was_told_last() -> None:
    curve = Curve()
    curve.add({"step": 1, "loss": 4.0})
    curve.add({"step": 2, "loss": 3.0})
    curve.add({"step": 2, "loss": 2.0})

    assert curve.points() == [(1.0, 4.0), (2.0, 2.0)]
    assert (curve.first, curve.last) == (4.0, 2.0)


def test_points_without_a_loss_are_left_out() -> None:
    curve = Curve()
    curve.add({"step": 3, "loss": None, "eval_loss": 1.5})
    curve.add(None)

    assert curve.points() == []
    assert curve.points("eval_loss") == [(3.0, 1.5)]


def test_the_picture_is_well_formed_and_holds_a_line_for_each_loss() -> None:
    curve = falling()
    curve.add({"step": 10, "eval_loss": 2.0})
    curve.add({"step": 50, "eval_loss": 1.0})

    picture = ElementTree.fromstring(curve.as_svg("a < b & 灯塔"))

    lines = picture.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len((line.get("points") or "").split()) for line in lines] == [50, 2]
    assert "a < b & 灯塔" in [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
