"""Files by their endings."""

from pathlib import Path

import numpy as np
import pytest

from anyscene.datasets import ply
from anyscene.datasets.geometry import formats
from anyscene.errors import DataError


@pytest.mark.parametrize("name", ["room.ply", "ROOM.PLY"])
def test_an_ending_in_any_case(tmp_path, name):
    ply.write_mesh(tmp_path / name, np.eye(3), np.zeros((3, 3), np.uint8), np.array([[0, 1, 2]]))
    assert formats.is_known(Path(name)) and len(formats.read(tmp_path / name).face) == 1


@pytest.mark.parametrize("name", ["room.fbx", "room", "room.ply.gz"])
def test_an_ending_that_is_not_known(tmp_path, name):
    assert not formats.is_known(Path(name))
    with pytest.raises(DataError, match=rf"{name}: no mesh or cloud that is known here: .ply, .obj"):
        formats.read(tmp_path / name)


@pytest.mark.parametrize("ending", formats.READERS)
def test_a_file_that_is_not_there(tmp_path, ending):
    with pytest.raises(DataError, match=f"room{ending}: no such file; check the path"):
        formats.read(tmp_path / f"room{ending}")


def test_colours_without_meaning_are_refused_by_name(tmp_path):
    (tmp_path / "a.obj").write_text("v 0 0 0 1e23 0 0\nv 1 0 0 1 0 0\nv 0 1 0 1 0 0\nf 1 2 3\n")
    with pytest.raises(DataError, match=r"a\.obj: colours from 0 to 1e\+23, .*; export it again"):
        formats.read(tmp_path / "a.obj")
