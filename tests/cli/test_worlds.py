"""Results in the world of the user's own files: boxes, vertices and arrays, against the scene's moved."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr
from plyfile import PlyData
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

import anyscene
from anyscene.cli import export, features, predict, query
from anyscene.library import feature_cloud
from anyscene.project import store
from anyscene.scene import moved
from tests.builders import miniature
from tests.builders.capture import grid, write_scan

pytestmark = pytest.mark.integration

UTM = np.array([693000.25, 5337000.5, 520.125])
WORLD = np.eye(4)  # millimetres, y up, on a map
WORLD[:3, :3] = 1000 * Rotation.from_euler("xz", [90, 30], degrees=True).as_matrix()
WORLD[:3, 3] = 1000 * UTM
EXACT = {"rtol": 1e-12, "atol": 0}  # asked are 1e-6; a metre at a northing of UTM is 2e-7 of it


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worlds")
    miniature.write(folder, scenes=1, spacing=0.25, frames=False)
    store.note(folder / "data/scenes/room0.zarr", world=WORLD.tolist())
    return folder


@pytest.fixture(autouse=True)
def light_text(monkeypatch):
    for module in (export, feature_cloud, predict):
        monkeypatch.setattr(module, "load_text_encoder", lambda section: miniature.Spelling())


def run(command, *arguments):
    result = CliRunner().invoke(command.app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def asked(project, command, *arguments):
    return run(command, "room0", *arguments, "--source", "fusion", "--params", project / "params.yaml")


def vertices(path):
    vertex = PlyData.read(path)["vertex"]
    return np.column_stack([vertex[axis] for axis in "xyz"])


def test_boxes_are_those_of_the_moved_points(mapped, tmp_path):
    found = {}
    for world in ("scene", "source"):
        said = asked(mapped, query, "a bed", "a door", "--json", tmp_path / "q.json", "--world", world)
        record = json.loads((tmp_path / "q.json").read_text())
        assert record["world"] == world
        assert ("centre / m" in said) == (world == "scene")
        found[world] = [match for one in record["queries"] for match in one["matches"]]
    scene = store.open_scene(mapped / "data/scenes/room0.zarr")
    superpoint = store.open_scene(mapped / "data/superpoints/room0.zarr")["superpoint"][:]
    assert len(found["scene"]) == len(found["source"]) > 3
    for here, there in zip(found["scene"], found["source"], strict=True):
        for same in ("rank", "shows", "superpoints", "score", "points", "area"):
            assert here[same] == there[same]
        inside = scene["xyz"][:][np.isin(superpoint, here["superpoints"])]
        np.testing.assert_array_equal(here["box"], [inside.min(0), inside.max(0)])
        places = moved(inside, WORLD)
        np.testing.assert_allclose(there["box"], [places.min(0), places.max(0)], **EXACT)
        np.testing.assert_allclose(there["centre"], places.mean(0), **EXACT)
        np.testing.assert_allclose(there["extent"], np.ptp(places, axis=0), atol=1e-5)


def test_groups_of_the_library(mapped):
    cloud = anyscene.open("room0", project=mapped, source="fusion", encoder=miniature.Spelling())
    assert np.array_equal(cloud.world, WORLD)
    places = moved(cloud.points, WORLD)
    for here, there in zip(cloud.query("a bed"), cloud.query("a bed", world="source"), strict=True):
        assert np.array_equal(here.mask, there.mask) and here.box.dtype == np.float32
        inside = places[there.mask]
        assert there.box.dtype == there.centre.dtype == np.float64
        np.testing.assert_allclose(there.box, [inside.min(0), inside.max(0)], **EXACT)
        np.testing.assert_allclose(there.centre, inside.mean(0), **EXACT)


def test_files_hold_the_moved_points(mapped, tmp_path):
    scene = store.open_scene(mapped / "data/scenes/room0.zarr")
    places = {"scene": scene["xyz"][:], "source": moved(scene["xyz"][:], WORLD)}
    types = {"scene": np.float32, "source": np.float64}
    for world, expected in places.items():
        chosen = ("--world", world)
        asked(mapped, query, "a bed", "--out", tmp_path / "heat.ply", *chosen)
        asked(mapped, export, "--out", tmp_path / "labels.ply", *chosen)
        asked(mapped, export, "--out", tmp_path, "--format", "pointcept", *chosen)
        asked(mapped, features, "--out", tmp_path / f"{world}.zarr", *chosen)
        group = zarr.open_group(tmp_path / f"{world}.zarr", mode="r")
        assert group.attrs["xyz"] == world
        written = [vertices(tmp_path / "heat.ply"), vertices(tmp_path / "labels.ply"), group["xyz"][:]]
        for array in (*written, np.load(tmp_path / "room0/coord.npy")):
            assert array.dtype == types[world] and np.array_equal(array, expected)
        normal = np.load(tmp_path / "room0/normal.npy")
        turn = WORLD[:3, :3] / 1000 if world == "source" else np.eye(3)
        assert normal.dtype == np.float32
        np.testing.assert_allclose(normal, scene["normal"][:] @ turn.T, atol=1e-6)


def test_a_scan_on_a_map_is_labelled_as_it_is_elsewhere(tmp_path):
    folder, (xyz, face) = write_scan(tmp_path, "scan"), grid(6)
    xyz = xyz + np.random.default_rng(0).uniform(-0.05, 0.05, xyz.shape)  # on no side of a voxel
    rgb = np.random.default_rng(1).integers(0, 256, xyz.shape, np.uint8)
    anyscene.write_mesh(folder / "mesh.ply", xyz, rgb, face)
    miniature.write_network(tmp_path, "mine", "mine", 0)
    out, model = tmp_path / "labels.ply", ("--model", tmp_path / "models/mine")
    run(predict, folder, *model, "--out", out)
    label = np.array(PlyData.read(out)["vertex"]["label"])  # else it is a map of the file
    assert len(set(label)) > 2
    anyscene.write_mesh(folder / "mesh.ply", xyz + UTM, rgb, face)
    for path in (folder / "pose").iterdir():
        pose = np.loadtxt(path)
        pose[:3, 3] += UTM
        np.savetxt(path, pose, fmt="%.17g")
    for scan in (folder, folder / "mesh.ply"):
        said = run(predict, scan, *model, "--out", out)
        assert "moved to the origin from 6930" in said.replace("\n", "")
        assert np.abs(vertices(out)).max() < 3 and np.array_equal(PlyData.read(out)["vertex"]["label"], label)
        run(predict, scan, *model, "--out", out, "--world", "source")
        np.testing.assert_allclose(vertices(out), xyz + UTM, atol=1e-6)
        assert np.array_equal(PlyData.read(out)["vertex"]["label"], label)
