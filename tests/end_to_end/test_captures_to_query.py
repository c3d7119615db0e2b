"""From the folder of a capture to what a text finds in it by one command: a rendered room, 20 frames."""

import json
import os
import shutil

import numpy as np
import pytest
from plyfile import PlyData
from typer.testing import CliRunner

from anyscene.cli import import_, query
from anyscene.scene import Camera
from anyscene_demo.rooms import KINDS
from anyscene_demo.world import WORLD, room_views
from tests.builders import REPOSITORY
from tests.builders.capture import write_scan
from tests.builders.polycam import write_export
from tests.builders.project import Project
from tests.builders.wall import View

FRAMES, SIZE, ROOM = 20, (96, 72), KINDS.index("bedroom")
TEXTS = {"door": "a door", "curtain": "a curtain"}
NETWORK = "taken"
OPENGL = np.diag([1.0, -1, -1, 1])


def run(app, *arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """A project without any scene, and a network: the one that the demo's begins with."""
    folder = Project.create(tmp_path_factory.mktemp("project")).folder
    (folder / "models").mkdir()
    os.symlink(REPOSITORY / "models" / "demo" / "student", folder / "models" / NETWORK)
    return folder


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """(the room, folder of its export from Polycam): every fourth frame was taken with the device upright."""
    room, cameras, images, renderer = room_views(
        (WORLD, 0, 1, ROOM), "evaluation", KINDS[ROOM], FRAMES, *SIZE
    )
    views = []
    for index, (camera, image) in enumerate(zip(cameras, images, strict=True)):
        rgb, depth = image.rgb, image.depth
        if index % 4 == 0:
            camera, rgb, depth = lying(camera, renderer, room.light)
        (fx, _, cx), (_, fy, cy), _ = camera.intrinsics
        views.append(View(rgb, depth, camera.pose @ OPENGL, (fx, fy), (cx + 0.5, cy + 0.5)))
    folder = tmp_path_factory.mktemp("captures") / "my_room"
    write_export(folder, views)
    return room, folder


def lying(camera, renderer, light):
    """The view of the camera held upright, as the sensor stores it: turned by a quarter to the left."""
    (fx, _, cx), (_, fy, cy), _ = camera.intrinsics
    height, width = camera.height, camera.width
    image = renderer.frame(
        Camera(np.array([[fx, 0, cy], [0, fy, cx], [0, 0, 1]]), camera.pose, height, width), light
    )
    turn = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    stored = Camera(
        np.array([[fy, 0, cx], [0, fx, height - 1 - cy], [0, 0, 1]]), camera.pose @ turn, width, height
    )
    return stored, np.rot90(image.rgb), np.rot90(image.depth)


@pytest.mark.integration
def test_an_export_is_asked_at_once_and_a_scan_of_it_gives_the_same(untouched, room, tmp_path):
    room, export = room
    scan, answers, heat = tmp_path / "my_room", [], tmp_path / "q.ply"
    result = run(import_.app, export, "--out", scan)
    assert result.exit_code == 0 and not (scan / "mesh.ply").exists(), result.output
    for place in (scan, export):
        found = tmp_path / "q.json"
        asked = (*TEXTS.values(), "--json", found, "--out", heat, "--params", untouched / "params.yaml")
        result = run(query.app, place, *asked)
        assert result.exit_code == 0, result.output
        answers.append(json.loads(found.read_text()))
    assert (
        f"{FRAMES} frames of {SIZE[1]}x{SIZE[0]}, {SIZE[0]}x{SIZE[1]}; {FRAMES} with depth" in result.output
    )
    assert f"{FRAMES // 4} images turned upright" in result.output
    assert answers[0] == answers[1]
    assert (answers[1]["scene"], answers[1]["source"]) == ("my_room", NETWORK)
    vertex = PlyData.read(heat)["vertex"]
    xyz = np.stack([vertex[axis] for axis in "xyz"], 1)
    for index, name in enumerate(TEXTS):
        thing = next(thing for thing in room.placed if thing.model.class_name == name)
        low, high = thing.low - 0.05, thing.high + 0.05
        best = answers[1]["queries"][index]["matches"][0]
        assert (low < best["centre"]).all() and (best["centre"] < high).all()
        on, similarity = ((low < xyz) & (xyz < high)).all(1), vertex[f"similarity_{index}"]
        assert similarity[on].mean() > similarity[~on].mean() + 0.2


def test_what_is_neither_a_scene_nor_a_capture(untouched, room, tmp_path):
    params = ("--params", untouched / "params.yaml")
    result = run(query.app, tmp_path, "a bed", *params)
    assert result.exit_code == 1 and "neither a scan (color/, pose/) nor an export" in result.stderr
    result = run(query.app, room[1], "a bed", "--scale", "2", *params)
    assert result.exit_code == 1 and "leave out --scale" in result.stderr
    result = run(query.app, room[1], "a bed", "--source", "fusion", *params)
    assert result.exit_code == 1 and "fusion: features of scenes that were imported" in result.stderr
    write_scan(tmp_path, "scan")
    for option in (
        ("--depth-unit", "mm"),
        ("--every", 2),
        ("--mesh", tmp_path / "m.ply"),
        ("--confidence", "high"),
    ):
        result = run(query.app, tmp_path / "scan", "a bed", *option, *params)
        assert result.exit_code == 1 and f"leave out {option[0]}: a scan in" in result.stderr
    result = run(query.app, tmp_path / "none", "a bed", *params)
    assert result.exit_code == 1 and "no such" in result.stderr
    (tmp_path / "data" / "scenes" / "my_room.zarr").mkdir(parents=True)
    shutil.copy(untouched / "params.yaml", tmp_path)
    result = run(query.app, room[1], "a bed", "--params", tmp_path / "params.yaml")
    assert result.exit_code == 1 and "no trained network; run `dvc repro`" in result.stderr


def test_options_of_an_import_are_refused_for_a_scene_that_is_imported(untouched, tmp_path, monkeypatch):
    shutil.copy(untouched / "params.yaml", tmp_path)
    (tmp_path / "data" / "scenes" / "room.zarr").mkdir(parents=True)
    (tmp_path / "room").mkdir()
    monkeypatch.chdir(tmp_path)
    for option in (
        ("--scale", 2), ("--depth-unit", "mm"), ("--up", "y"), ("--from", "polycam"), ("--every", 2),
        ("--confidence", "low"), ("--mesh", "m.ply"),
    ):  # fmt: skip
        result = run(query.app, "room", "a bed", *option)
        assert result.exit_code == 1
        assert f"leave out {option[0]}: room is imported already" in result.stderr
    result = run(
        query.app, "./room", "a bed", "--every", 2, "--source", untouched / "models" / NETWORK
    )  # the folder of that name, not the scene
    assert result.exit_code == 1 and "neither a scan (color/, pose/) nor an export" in result.stderr
