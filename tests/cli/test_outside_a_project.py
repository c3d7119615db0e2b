"""Tools in a folder that holds no project: a scan by its path, a network by the path of its folder."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
import zarr
from plyfile import PlyData
from typer.testing import CliRunner

import anyscene
from anyscene.cli import export, features, predict, query, view
from anyscene.datasets import ply
from anyscene.library import feature_cloud
from anyscene.project import parameters
from anyscene.show.viewer import page as viewer_page
from tests.builders import coloured_room, miniature
from tests.builders.capture import write_scan
from tests.builders.clouds_of_other_tools import WRITERS
from tests.builders.polycam import write_export
from tests.builders.wall import rolled, views

pytestmark = pytest.mark.integration


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """The folder that one stands in; beside it lie a scan and a network."""
    write_scan(tmp_path, "scan")
    miniature.write_network(tmp_path, "mine", "mine", 0)
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for module in (predict, feature_cloud, view):
        monkeypatch.setattr(module, "load_text_encoder", lambda section: miniature.Spelling())
    return folder


def run(command, *arguments):
    return CliRunner().invoke(command.app, [str(argument) for argument in arguments])


def test_a_scan_is_asked(empty):
    result = run(query, "../scan", "a lamp", "--source", "../models/mine", "--json", "q.json")
    assert result.exit_code == 0, result.output
    record = json.loads((empty / "q.json").read_text())
    assert (record["scene"], record["source"]) == ("scan", "mine") and record["queries"][0]["matches"]


def test_a_scan_is_labelled(empty):
    result = run(predict, "../scan", "--model", "../models/mine")
    assert result.exit_code == 0 and "36 points -> labels.ply" in result.output, result.output
    assert len(PlyData.read(empty / "labels.ply")["vertex"]["label"]) == 36
    assert [file.name for file in empty.iterdir()] == ["labels.ply"]


def test_export_of_a_scan_says_what_writes_its_results(empty):
    result = run(export, "../scan", "--out", "labels.ply")
    assert result.exit_code == 1 and "../scan: a file or a folder" in result.output, result.output
    assert "`anyscene predict` writes the labels" in result.output
    result = run(export, "room9", "--out", "labels.ply")  # no path, so an id
    assert result.exit_code == 1 and "data/scenes: no such folder" in result.output, result.output


@pytest.fixture
def bare(empty):
    """The paths of what has no frames: a mesh, a folder with it alone, its points, and a scene alone."""
    scan = empty.parent / "scan"
    (empty.parent / "room").mkdir()
    shutil.copy(scan / "mesh.ply", empty.parent / "room/mesh.ply")
    xyz, rgb, _, _ = ply.read_mesh(scan / "mesh.ply")
    np.save(empty.parent / "points.npy", np.column_stack([xyz, rgb]))
    return {"mesh": "../scan/mesh.ply", "room": "../room", "points": "../points.npy"}


def test_a_mesh_and_a_cloud_are_labelled_as_the_scan_is(empty, bare):
    assert run(predict, "../scan", "--model", "../models/mine", "--out", "scan.ply").exit_code == 0
    expected = PlyData.read(empty / "scan.ply")["vertex"]["label"]
    for name, path in bare.items():
        result = run(predict, path, "--model", "../models/mine", "--out", f"{name}.ply")
        assert result.exit_code == 0, result.output
        assert np.array_equal(PlyData.read(empty / f"{name}.ply")["vertex"]["label"], expected)


@pytest.mark.parametrize("ending", [".glb", ".las", ".e57"])
def test_files_of_other_tools_are_labelled_asked_and_looked_at(empty, shown, ending):
    xyz, face = coloured_room.mesh(0.25)
    WRITERS[ending](empty.parent / f"room{ending}", xyz, coloured_room.colour(xyz), face)
    path, network = f"../room{ending}", "../models/mine"
    result = run(predict, path, "--model", network)
    assert result.exit_code == 0 and f"{len(xyz)} points -> labels.ply" in result.output, result.output
    vertex = PlyData.read(empty / "labels.ply")["vertex"]
    np.testing.assert_allclose(np.column_stack([vertex[axis] for axis in "xyz"]), xyz, atol=1e-4)
    result = run(query, path, "a lamp", "--source", network, "--json", "q.json")
    assert result.exit_code == 0 and json.loads((empty / "q.json").read_text())["scene"] == "room", (
        result.output
    )
    run(view, path, "--source", network)
    assert shown[0][0] == ["room"] and len(shown[0][1].xyz) == len(xyz)


@pytest.mark.parametrize(
    ("file", "module"),
    [("a.las", "laspy"), ("a.laz", "laspy"), ("a.laz", "lazrs"), ("a.e57", "pye57")],
)
def test_a_file_that_needs_an_extra_names_it(empty, monkeypatch, file, module):
    if module == "lazrs":
        pytest.importorskip("laspy")  # which is asked first
    monkeypatch.setitem(sys.modules, module, None)
    (empty / file).write_bytes(b"")
    for command, more in ((predict, ()), (query, ("a lamp",)), (view, ())):
        result = run(command, file, *more, "--source", "../models/mine")
        name = command.__name__.rpartition(".")[2]
        assert result.exit_code == 1
        assert result.output == f'anyscene {name} needs {module}: pip install "anyscene[clouds]"\n'


def test_what_a_file_lacks_is_said(empty):
    xyz, face = coloured_room.mesh(0.25)
    WRITERS[".stl"](empty / "room.stl", xyz, np.zeros(xyz.shape, np.uint8), face)
    result = run(predict, "room.stl", "--model", "../models/mine")
    assert result.exit_code == 0 and "room.stl has no colours: its points are grey" in result.output


def test_units_and_up_of_a_mesh_are_told(empty, bare):
    xyz, rgb, _, face = ply.read_mesh(empty.parent / "scan/mesh.ply")
    lying = 1000 * np.column_stack([xyz[:, 0], -xyz[:, 2], xyz[:, 1]])
    ply.write_mesh(empty / "mm.ply", lying, rgb, face)
    result = run(predict, "mm.ply", "--model", "../models/mine")
    assert result.exit_code == 1 and "mm.ply: its longest side would be 1000 m" in result.output
    result = run(predict, "mm.ply", "--model", "../models/mine", "--scale", 0.001, "--up", "-y")
    assert result.exit_code == 0, result.output
    vertex = PlyData.read(empty / "labels.ply")["vertex"]
    np.testing.assert_allclose(np.column_stack([vertex[axis] for axis in "xyz"]), xyz, atol=1e-6)
    result = run(predict, bare["room"], "--model", "../models/mine", "--every", 2)
    assert result.exit_code == 1 and "leave out --every: it has no images" in result.output


def test_a_folder_with_a_mesh_is_asked_by_its_name(bare, empty):
    result = run(query, "../room", "a lamp", "--source", "../models/mine", "--json", "q.json")
    assert result.exit_code == 0 and json.loads((empty / "q.json").read_text())["scene"] == "room"


@pytest.fixture
def shown(monkeypatch):
    """What pages show: the scenes, the first of them, the frames that see its middle."""
    found = []

    def page(scenes, scene, open_view, port, dark):
        view = open_view(scene)
        middle = np.linalg.norm(view.xyz - view.xyz.mean(0), axis=1).argmin()
        found.append((scenes, view, view.views(int(middle))))
        raise KeyboardInterrupt

    monkeypatch.setattr(viewer_page, "Page", page)
    return found


def test_a_scan_is_looked_at_with_its_frames(empty, shown):
    assert run(view, "../scan", "--source", "../models/mine").exit_code != 0  # by Ctrl+C
    scenes, seen, frames = shown[0]
    assert scenes == ["scan"] and len(seen.xyz) == 36 and {"mine", "superpoints"} <= set(seen.layers)
    assert len(frames) == 3 and frames[0].frame.color == empty.parent / "scan/color/0.png"
    assert list(empty.iterdir()) == []


def test_an_export_is_looked_at_with_its_frames(empty, shown):
    write_export(empty.parent / "export", views([rolled(yaw=yaw) for yaw in (-15, 0, 15)]))
    run(view, "../export", "--source", "../models/mine", "--every", 2)
    scenes, seen, frames = shown[0]
    assert scenes == ["export"] and len(seen.xyz) > 100 and frames


def test_what_has_no_frames_is_looked_at(empty, bare, shown):
    for path in bare.values():
        run(view, path, "--source", "../models/mine")
    assert [scenes for scenes, _, _ in shown] == [[name] for name in bare]
    assert all(len(seen.xyz) == 36 and not frames for _, seen, frames in shown)


def test_an_artefact_is_looked_at_in_its_project(empty, rooms, tmp_path, shown):
    miniature.copy(rooms, tmp_path / "project")
    for stage in ("scenes", "fusion", "projection/dense"):
        run(view, f"../project/data/{stage}/room0.zarr")
    assert [scenes for scenes, _, _ in shown] == 3 * [["room0", "room1"]]
    assert {seen.scene for _, seen, _ in shown} == {"room0"}
    assert [seen.source for _, seen, _ in shown] == ["ensembled", "fusion", "projection/dense"]
    shutil.copytree(tmp_path / "project/data/scenes/room0.zarr", empty / "alone.zarr")
    run(view, "alone.zarr", "--source", "../models/mine")
    assert shown[-1][0] == ["alone"] and np.array_equal(shown[-1][1].xyz, shown[0][1].xyz)
    result = run(view, "../project/data/scenes/room0.zarr", "--every", 2)
    assert result.exit_code == 1 and "room0.zarr is an artefact" in result.output


def test_features_as_an_array(empty, bare):
    cloud = anyscene.open("../scan", source="../models/mine", encoder=miniature.Spelling())
    for name, path in {"scan": "../scan", **bare}.items():
        result = run(features, path, "--source", "../models/mine", "--out", f"{name}.npy")
        assert result.exit_code == 0, result.output
        found = np.load(empty / f"{name}.npy")
        assert found.dtype == np.float32 and np.array_equal(found, cloud.features)
    assert json.loads((empty / "points.json").read_text()) == {
        "scene": "points",
        "source": "mine",
        "text_encoder": "minilm",
        "text_template": "a {} in a scene",
        "channels": miniature.WIDTH,
        "normalised": False,
        "xyz": "scene",
    }


def test_features_as_a_group(empty, rooms, tmp_path):
    miniature.copy(rooms, tmp_path / "project")
    scene = "../project/data/fusion/room0.zarr"
    assert run(features, scene, "--out", "f.zarr", "--half").exit_code == 0
    group, stored = zarr.open("f.zarr", mode="r"), anyscene.open_scene(scene)
    valid = stored["valid"][:]
    assert group["feature"].dtype == np.float16 and np.array_equal(group["valid"][:], valid)
    assert np.array_equal(group["feature"][:][valid], stored["feature"][:][valid])
    assert not group["feature"][:][~valid].any() and not valid.all()
    assert group["xyz"].shape == (len(valid), 3) and group.attrs["source"] == "fusion"
    result = run(features, scene, "--out", "f.zarr")
    assert result.exit_code == 1 and "f.zarr: is there already" in result.output
    assert sorted(path.name for path in empty.iterdir()) == ["f.zarr"]


@pytest.mark.parametrize(
    "out, wrong",
    [
        ("f.txt", "f.txt: give a name that ends in .npy or .zarr"),
        ("../scan/mesh.ply/f.npy", "mesh.ply: is a file, where a folder is to be"),
        ("there.npy", "there.npy: is a folder"),
    ],
)
def test_where_features_cannot_be_written(empty, out, wrong):
    (empty / "there.npy").mkdir()
    result = run(features, "../scan", "--source", "../models/mine", "--out", out)
    assert result.exit_code == 1 and wrong in result.output


def test_without_a_network_it_is_said_what_to_give(empty):
    for arguments in (
        (query, "../scan", "a lamp"),
        (predict, "../scan"),
        (view, "../scan"),
        (features, "../scan", "--out", "f.npy"),
    ):
        result = run(*arguments)
        assert result.exit_code == 1 and "models: no trained network" in result.output, result.output
        assert "give the folder of one by --source" in result.output
    result = run(predict, "../scan", "--model", "../models/other")
    assert result.exit_code == 1 and "../models/other: no network is in models; give the" in result.output


def test_without_a_network_a_scan_is_not_read_first(empty):
    for file in (empty.parent / "scan").rglob("*.txt"):
        file.write_text("no numbers")
    for arguments in (
        (query, "../scan", "a lamp"),
        (features, "../scan", "--out", "f.npy"),
        (predict, "../scan"),
    ):
        result = run(*arguments)
        assert result.exit_code == 1 and "models: no trained network" in result.output, result.output
        assert "models/demo/student of a clone" in result.output
        result = run(*arguments, "--source", "nothing")
        assert result.exit_code == 1 and "no features of nothing" in result.output, result.output
        result = run(*arguments, "--source", "../models/mine")
        assert result.exit_code == 1 and "scan/pose" in result.output, result.output
    result = run(view, "../scan", "--source", "nothing")
    assert result.exit_code == 1 and "no features of nothing" in result.output, result.output


def test_parameters_that_are_named_must_be_there(empty):
    result = run(query, "../scan", "a lamp", "--source", "../models/mine", "--params", "params.yaml")
    assert result.exit_code == 1 and "params.yaml: no such file" in result.output
    values = parameters.DEFAULTS.read_text().replace("label_set: scannet20", "label_set: nonsense")
    (empty / "params.yaml").write_text(values)
    result = run(predict, "../scan", "--model", "../models/mine")
    assert result.exit_code == 1 and "no label set 'nonsense'" in result.output
