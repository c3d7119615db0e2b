"""What a person says of an export by options."""

import pytest
import typer
from typer.testing import CliRunner

from anyscene.cli.told import Told, export_options, with_told
from anyscene.errors import DataError


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_of_no_unit_is_refused(scale):
    said = rf"^--scale {scale:g}: must be 1e-09 to 1e\+09, the metres of a unit$"
    with pytest.raises(DataError, match=said):
        export_options(scale, None, None, "medium")


def test_options_are_those_of_the_library():
    told = export_options(0.001, "mm", "-y", "high")
    assert (told.scale, told.depth_unit, told.up.tolist(), told.confidence) == (0.001, 0.001, [0, -1, 0], 2)


@pytest.mark.parametrize(
    ("text", "metres"), [(None, None), ("m", 1.0), ("mm", 0.001), ("0.00025", 0.00025), ("1e-9", 1e-9)]
)
def test_the_unit_of_depth_by_name_or_in_metres(text, metres):
    assert export_options(None, text, None, "medium").depth_unit == metres


@pytest.mark.parametrize("text", ["cm", "", "0", "-0.001", "nan", "1e10"])
def test_a_unit_of_depth_that_is_none(text):
    with pytest.raises(DataError, match=rf"^--depth-unit {text}: give mm, m, or the metres of one step"):
        export_options(None, text, None, "medium")


@pytest.mark.parametrize("given", [{}, {"poses": "world-to-camera", "axes": "opengl", "walls": "keep"}])
def test_what_is_not_said_is_left_to_the_files(given):
    app, seen = typer.Typer(), []

    def main(told: Told) -> None:
        seen.append(told.options)

    app.command()(with_told(main))
    result = CliRunner().invoke(app, [word for name, said in given.items() for word in (f"--{name}", said)])
    assert result.exit_code == 0, result.output
    for name in ("poses", "axes", "walls", "depth_form"):
        assert getattr(seen[0], name) == given.get(name)
