"""Options that say what the files say already, or what there is nothing to say of."""

import pytest

from anyscene.datasets.imports.export_options import ExportOptions, refuse
from anyscene.errors import DataError


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"depth_unit": 0.001}, "depth-unit"),
        ({"scale": 0.001}, "scale"),
        ({"walls": "keep"}, "walls"),
        ({"axes": "opengl"}, "axes"),
    ],
)
def test_an_option_that_the_files_make_needless_is_named(given, named):
    with pytest.raises(DataError, match=f"^leave out --{named}: metres are known$"):
        ExportOptions(**given).refuse("scale", "depth_unit", "walls", "axes", because="metres are known")
    ExportOptions(**given).refuse("up", because="metres are known")  # of another one nothing is said


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"source": "colmap"}, "from"),
        ({"mesh": "room.ply"}, "mesh"),
        ({"every": 2}, "every"),
        ({"options": ExportOptions(confidence=2)}, "confidence"),
        ({"options": ExportOptions(depth_model=object())}, "estimate-depth"),
        ({"options": ExportOptions(up="z")}, "up"),
    ],
)
def test_an_option_of_exports_is_refused_where_there_is_none(changed, named):
    nothing = {"source": None, "options": ExportOptions(), "mesh": None, "every": 1}
    refuse(**nothing, because="it is no export")
    with pytest.raises(DataError, match=f"^leave out --{named}: it is no export$"):
        refuse(**nothing | changed, because="it is no export")
