"""Every command's outputs: a place where nothing can be written is refused in a line, before the work."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from anyscene.cli import main

PNG = r"give a name that ends in \.png or \.jpg"
FILES = {  # the command up to the option's value, and what is wrong with another ending
    "query --out": (("query", "no_scene", "a chair", "--out"), r"give a name that ends in \.ply"),
    "query --png": (("query", "no_scene", "a chair", "--png"), PNG),
    "query --json": (("query", "no_scene", "a chair", "--json"), r"give a name that ends in \.json"),
    "predict": (("predict", "no_scan.ply", "--out"), r"give a name that ends in \.ply"),
    "features": (("features", "no_scene", "--out"), r"give a name that ends in \.npy or \.zarr"),
    "export": (("export", "room0", "--out"), r"give a name that ends in \.ply"),
    "instances": (("instances", "no_folder", "--out"), r"give a name that ends in \.json"),
    "inspect": (("inspect", "no.zarr", "--png"), PNG),
}
FOLDERS = {
    "export --format pointcept": ("export", "room0", "--format", "pointcept", "--out"),
    "export --format openscene": ("export", "room0", "--format", "openscene", "--out"),
    "export of several": ("export", "room0", "room1", "--out"),
    "import": ("import", "no_export", "--out"),
    "frames": ("frames", "--out"),
    "convert": ("convert", "no_folder", "--from", "tap", "--out"),
    "init": ("init",),
}


@pytest.fixture
def place(rooms, tmp_path, monkeypatch):
    """A folder with a file and a folder in it. The project is the current folder."""
    monkeypatch.chdir(rooms)
    (tmp_path / "file").write_text("what was there")
    (tmp_path / "folder").mkdir()
    return tmp_path


def refused(*arguments):
    """What a command says that fails before it begins."""
    done = CliRunner().invoke(main.app, [str(one) for one in arguments])
    assert done.exit_code == 1 and done.exception.__class__ is SystemExit, done.exception
    said = done.output.strip()
    assert said.count("\n") == 0, said
    return said


@pytest.mark.parametrize("command", FILES)
def test_a_file_cannot_be_there(place, command):
    words, ending = FILES[command]
    assert refused(*words, place / "folder").endswith("folder: is a folder; give the file to write")
    with pytest.raises(AssertionError, match=ending):
        raise AssertionError(refused(*words, place / "a.foo"))
    suffix = ".png" if "png" in command or command == "inspect" else ending[-3:].rjust(4, ".")
    suffix = {"features": ".npy", "query --json": ".json", "instances": ".json"}.get(command, suffix)
    said = refused(*words, place / "file" / f"a{suffix}")
    assert said == f"{place}/file: is a file, where a folder is to be; give another path"
    assert sorted(path.name for path in place.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("command", FOLDERS)
def test_a_folder_cannot_be_there(place, command):
    said = refused(*FOLDERS[command], place / "file" / "out")
    assert said == f"{place}/file: is a file, where a folder is to be; give another path"
    assert (place / "file").read_text() == "what was there"


def test_a_missing_folder_is_made(place):
    out = place / "new" / "deep" / "a.png"
    done = CliRunner().invoke(main.app, ["inspect", "data/fusion/room0.zarr", "--png", str(out)])
    assert done.exit_code == 0, done.output
    assert out.read_bytes()[:4] == b"\x89PNG"
