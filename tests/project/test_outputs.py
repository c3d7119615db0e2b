"""A file appears whole or not at all, whoever writes it, and bad places are known before the work."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys

import numpy as np
import pytest

from anyscene.capability import measure
from anyscene.datasets import label_set, ply
from anyscene.errors import OutputError
from anyscene.networks import MinkUNet, checkpoint
from anyscene.project import freshness, layout, outputs, presets, store, timing
from anyscene.segmenters.precomputed import image_index
from anyscene.show import export, feature_files, picture_files
from tests.builders.full_disk import full_disk
from tests.builders.project import Project

OLD = "what was there before"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    target = tmp_path / "new" / "deep" / "a.txt"
    with outputs.replaced(target) as partial:
        assert not target.exists() and partial.parent.parent == target.parent and partial.name == "a.txt"
        partial.write_text("one")
    assert target.read_text() == "one" and names(target.parent) == ["a.txt"]
    outputs.write(target, "zwölf")
    assert target.read_bytes() == "zwölf".encode() and names(target.parent) == ["a.txt"]


def test_a_block_that_fails_leaves_what_was_there(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text(OLD)
    with pytest.raises(KeyError), outputs.replaced(target) as partial:
        partial.write_text("half")
        raise KeyError
    assert target.read_text() == OLD and names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("left", ["file", "folder"])
def test_what_a_killed_run_left_is_removed(tmp_path, left):
    partial = tmp_path / ".a.txt.0.partial" / "a.txt"
    partial.parent.mkdir()
    partial.write_text("half") if left == "file" else (partial / "sub").mkdir(parents=True)
    (partial.parent / "lock").touch()
    outputs.write(tmp_path / "a.txt", "whole")
    assert names(tmp_path) == ["a.txt"]


def test_writers_at_the_same_time_do_not_meet(tmp_path):
    target = tmp_path / "a.txt"
    with outputs.replaced(target) as slow:
        slow.write_text("slow")
        for content in ("one", "two"):
            with outputs.replaced(target) as quick:
                assert not quick.exists() and slow.read_text() == "slow"
                quick.write_text(content)
            assert target.read_text() == content
        assert names(tmp_path) == [".a.txt.0.partial", "a.txt"]
    assert target.read_text() == "slow" and names(tmp_path) == ["a.txt"]


def test_another_process_that_writes_is_left_alone(tmp_path):
    target = tmp_path / "a.txt"
    code = "from anyscene.project import outputs\nwith outputs.replaced(outputs.Path('a.txt')) as partial:\n"
    code += "    partial.write_text('other')\n    print('begun', flush=True)\n    input()"
    command = [sys.executable, "-c", code]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout.readline() == "begun\n"
        outputs.write(target, "one")
        assert target.read_text() == "one"
        other.communicate("\n")
    assert other.returncode == 0
    assert target.read_text() == "other" and names(tmp_path) == ["a.txt"]


def test_a_folder_appears_as_a_whole(tmp_path):
    with outputs.replaced(tmp_path / "made") as partial:
        partial.mkdir()
        (partial / "a").write_text("one")
    assert names(tmp_path) == ["made"] and names(tmp_path / "made") == ["a"]
    with pytest.raises(OutputError, match="made: cannot be written"):  # and none goes
        with outputs.replaced(tmp_path / "made") as partial:
            partial.mkdir()
    assert names(tmp_path) == ["made"] and names(tmp_path / "made") == ["a"]


def test_a_folder_takes_the_place_of_another_one_wholly_or_not_at_all(tmp_path):
    folder = tmp_path / "made"
    for content in ("one", "two"):
        with outputs.replaced(folder, wholly=True) as partial:
            partial.mkdir()
            (partial / content).write_text(content)
        assert names(tmp_path) == ["made"] and names(folder) == [content]
    with pytest.raises(OutputError, match="made: cannot be written"):
        with outputs.replaced(folder, wholly=True):
            pass  # nothing was made
    with pytest.raises(KeyError), outputs.replaced(folder, wholly=True) as partial:
        partial.mkdir()
        raise KeyError
    assert names(tmp_path) == ["made"] and names(folder) == ["two"]


def test_what_is_no_file_is_written_itself(tmp_path, monkeypatch):
    outputs.write(pipe := outputs.Path("/dev/null"), "anything")
    assert stat.S_ISCHR(os.stat(pipe).st_mode)
    outputs.check(pipe, ".png")
    streams, kept = tmp_path / "dev", tmp_path / "kept.txt"  # as `> kept.txt` makes /dev/stdout
    streams.mkdir()
    kept.write_text("")
    (streams / "stdout").symlink_to(kept)
    monkeypatch.setattr(outputs, "STREAMS", (streams,))
    outputs.check(streams / "stdout", ".json")
    outputs.write(streams / "stdout", "{}")
    assert kept.read_text() == "{}" and (streams / "stdout").is_symlink() and names(streams) == ["stdout"]


def test_a_link_is_replaced_and_not_what_it_leads_to(tmp_path):
    """DVC may link outputs to its cache, which holds every version."""
    cached, linked = tmp_path / "cached", tmp_path / "linked"
    cached.write_text(OLD)
    linked.symlink_to(cached)
    outputs.write(linked, "new")
    assert cached.read_text() == OLD and linked.read_text() == "new" and not linked.is_symlink()


def test_errors_about_other_files_stay_what_they_are(tmp_path):
    other = tmp_path / "other" / "missing"
    with pytest.raises(FileNotFoundError, match="missing"), outputs.replaced(tmp_path / "here" / "a") as _:
        other.read_text()
    assert names(tmp_path / "here") == []


BAD = [
    ("folder", "folder: is a folder; give the file to write"),
    ("a.foo", r"a\.foo: give a name that ends in \.ply or \.PLY"),
    ("file/a.ply", "file: is a file, where a folder is to be; give another path"),
    ("file/deep/a.ply", "file: is a file, where a folder is to be; give another path"),
    (f"{'n' * 250}.ply", r"cannot be written \(File name too long\); give a shorter name; what was there"),
    (f"{'n' * 300}.ply", r"cannot be written \(File name too long\); give a shorter name; what was there"),
]


@pytest.mark.parametrize(("place", "said"), BAD)
def test_a_bad_place_is_refused_before_the_work(tmp_path, place, said):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text(OLD)
    with pytest.raises(OutputError, match=said):
        outputs.check(tmp_path / place, ".ply", ".PLY")
    assert names(tmp_path) == ["file", "folder"]


def test_a_good_place_is_left_as_it_is(tmp_path):
    (tmp_path / "a.ply").write_text(OLD)
    for place in ("a.ply", "b.ply", "new/deep/c.ply", "d.PLY"):
        outputs.check(tmp_path / place, ".ply")
    outputs.check(tmp_path / "any")
    outputs.check_folder(tmp_path / "new" / "deep")
    assert names(tmp_path) == ["a.ply"] and (tmp_path / "a.ply").read_text() == OLD


def test_what_may_not_be_written_is_refused(tmp_path, monkeypatch):
    def refuse(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr(outputs.tempfile, "TemporaryFile", refuse)  # root may write everywhere
    said = r"nothing can be written there \(Permission denied\); give another path"
    with pytest.raises(OutputError, match=said):
        outputs.check(tmp_path / "a.ply")
    assert not outputs.can_write(tmp_path)


@pytest.mark.parametrize("looks", ["exists", "is_symlink", "is_dir"])
def test_a_folder_above_that_may_not_be_entered_is_refused(tmp_path, monkeypatch, looks):
    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(outputs.Path, looks, refuse)  # root may enter everywhere
    for write in (outputs.check, lambda path: outputs.write(path, "a")):
        with pytest.raises(OutputError, match=r"(cannot|nothing can) be written .*\(Permission denied\)"):
            write(tmp_path / "a" / "a.ply")


@pytest.fixture
def network():
    return MinkUNet("14A", 3, 8, "torch", width=0.125)


def mesh(path):
    ply.write_mesh(path, np.zeros((500, 3)), None, np.zeros((0, 3), int))


def picture(path):
    picture_files.write(path, np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))


def features(path):
    about = {"scene": "x" * 1000}
    feature_files.write(path, np.ones((500, 8)), np.ones(500, bool), np.ones((500, 3)), about)


def note(path):
    store.note(path.parent, much="x" * 1000)


WRITERS = {  # every writer of one file that people or stages read: a call with its path
    "a.ply": mesh,
    "a.png": picture,
    "a.jpg": picture,
    "a.npy": features,
    "index.csv": lambda path: image_index.write([("k" * 32, "of", "0", "s")] * 100, path),
    "zarr.json": note,
    "a.json": lambda path: outputs.write(path, "x" * 1000),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_keeps_the_older_file(tmp_path, name):
    path = tmp_path / name
    path.write_text(old := json.dumps({"attributes": {"of": OLD}}))
    if name == "a.npy":
        path.with_suffix(".json").write_text(OLD)
    before = names(tmp_path)
    with full_disk(), pytest.raises(OutputError, match=rf"{name}: cannot be written .*unchanged"):
        WRITERS[name](path)
    assert path.read_text() == old and names(tmp_path) == before
    assert name != "a.npy" or path.with_suffix(".json").read_text() == OLD
    WRITERS[name](path)
    assert path.read_bytes() != old.encode()


def test_a_full_disk_keeps_an_older_network(tmp_path, network):
    checkpoint.save(network, tmp_path, {"name": "one"})
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    for write in (
        lambda: checkpoint.save(network, tmp_path, {"name": "two"}),
        lambda: checkpoint.describe(tmp_path, {"name": "x" * 1000}),
        lambda: checkpoint.record(tmp_path, tmp_path / "trained.json"),
    ):
        with full_disk(100), pytest.raises(OutputError):
            write()
        assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


def test_a_full_disk_keeps_older_settings_reports_and_notes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    project = Project.create(tmp_path)
    before = (tmp_path / "params.yaml").read_bytes()
    with full_disk(), pytest.raises(OutputError, match=r"params\.yaml: cannot be written"):
        presets.change(tmp_path / "params.yaml", {"fusion": {"tau": 0.5}})
    assert (tmp_path / "params.yaml").read_bytes() == before and names(tmp_path) == ["params.yaml"]
    path = tmp_path / layout.FRESHNESS
    outputs.write(path, OLD)
    with full_disk(1), pytest.raises(OutputError):
        freshness.write([], project.params, path)
    assert path.read_text() == OLD
    with full_disk(5), timing.recorded("fusion", folder=tmp_path / "times"):
        pass  # a stage does not fail for a note
    assert names(tmp_path / "times") == []


def test_every_final_file_is_written_by_this_module():
    """A file that is opened for writing without it would be cut by a full disk."""
    apart = {
        "datasets/imports/rgbd_writer.py": "inside a folder that appears as a whole",
        "datasets/imports/record3d.py": "in a folder for the time being",
        "segmenters/precomputed/converters/writing.py": "the same",
        "project/new_project.py": "the same, by a process in it",
        "project/per_scene.py": "which process computes",
        "cli/main.py": "help",
    }
    package = outputs.Path(measure.__file__).parents[1]
    marks = ("write_text(", "write_bytes(", 'open("w', "np.save(", "np.savez", "savetxt(", "save_file(")
    found = {
        str(file.relative_to(package))
        for file in package.rglob("*.py")
        for line in file.read_text().splitlines()
        if any(mark in line for mark in marks) and "partial" not in line
    }
    assert found == apart.keys()


@pytest.mark.parametrize("form", ["pointcept", "openscene", "ply"])
def test_a_full_disk_keeps_an_older_export(rooms, tmp_path, form):
    surface = export.Surface.read(layout.Artefacts(rooms), "room0")
    features = export.sources.opened(layout.Artefacts(rooms), "fusion")("room0")
    result = export.Result(surface, features, np.zeros(len(surface), np.int16), label_set("scannet20"), None)
    out = tmp_path / ("a.ply" if form == "ply" else "out")
    write = export.WRITERS[export.Format(form)]
    write(result, out, "scene")
    shutil.copytree(tmp_path, before := tmp_path.with_name(f"{tmp_path.name}-before"))
    with full_disk(10_000), pytest.raises(OutputError, match="cannot be written"):
        write(result, out, "scene")
    files = {path.relative_to(tmp_path): path for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.relative_to(before) for path in before.rglob("*") if path.is_file()} == files.keys()
    assert all(path.read_bytes() == (before / name).read_bytes() for name, path in files.items())
