"""A demo room, recorded in each layout, imported and read again: its points lie where they were."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from anyscene.datasets import imports
from anyscene.datasets.imports import ExportOptions
from anyscene_demo.rooms import KINDS
from anyscene_demo.world import WORLD, room_views
from tests.builders.colmap import UNIT, arbitrary, up_of, write_workspace
from tests.builders.importing import as_written
from tests.builders.layouts import (
    OPENGL,
    turned,
    write_arkitscenes,
    write_frames,
    write_nerfstudio,
    write_open3d,
    write_replica,
    write_scannetpp_iphone,
    write_sunrgbd,
    write_tum,
)
from tests.builders.polycam import ARKIT, write_export
from tests.builders.record3d import write_video
from tests.builders.wall import View

ROOM, FRAMES, SIZE = KINDS.index("bedroom"), 12, (96, 72)
LEVEL = turned((0, 0, 2.0))  # z stays up


@pytest.fixture(scope="module")
def views():
    _, cameras, images, _ = room_views((WORLD, 0, 1, ROOM), "evaluation", KINDS[ROOM], FRAMES, *SIZE)
    found = []
    for camera, image in zip(cameras, images, strict=True):
        (fx, _, cx), (_, fy, cy), _ = camera.intrinsics
        pose = camera.pose @ OPENGL
        found.append(View(image.rgb, image.depth, pose, (fx, fy), (cx + 0.5, cy + 0.5)))
    return found


def points(views):
    """f8[P, 3]: what all views measure."""
    clouds = []
    for view in views:
        row, column = np.nonzero(view.depth > 0)
        z = view.depth[row, column].astype(float)
        x = (column + 0.5 - view.centre[0]) / view.focal[0] * z
        y = (row + 0.5 - view.centre[1]) / view.focal[1] * z
        clouds.append(np.stack([x, -y, -z], 1) @ view.pose[:3, :3].T + view.pose[:3, 3])
    return np.concatenate(clouds)


def check_points(out, seen, world):
    """The scan at `out` has the points of what the views measure. world: f8[4,4], what theirs became."""
    assert world[2, 2] > np.cos(np.radians(3))  # up is up
    read = as_written(out).xyz
    there = (read - world[:3, 3]) @ world[:3, :3]
    distance, _ = cKDTree(points(seen)).query(there)
    assert np.median(distance) < 0.003 and np.quantile(distance, 0.95) < 0.015
    extent = np.ptp(there, axis=0) / np.ptp(points(seen), axis=0)
    assert (extent > 0.9).all() and (extent < 1.01).all()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("write", "world"),
    [
        (write_frames, turned()),
        (write_tum, LEVEL),
        (write_replica, LEVEL),
        (write_open3d, turned()),
        (write_arkitscenes, LEVEL),
        (write_scannetpp_iphone, None),
        (write_export, None),
    ],
)
def test_points_of_a_room(tmp_path, views, write, world):
    folder = tmp_path / "in" / "room"
    write(folder, views) if world is None else write(folder, views, world)
    capture = imports.read(folder, None, ExportOptions())
    summary = imports.write(capture, tmp_path / "out")
    assert (summary.frames, summary.depth, summary.left_out) == (FRAMES, FRAMES, ())
    own = ARKIT if write is write_export else np.eye(4) if world is None else world
    check_points(tmp_path / "out", views, capture.world @ own)


@pytest.mark.integration
def test_points_of_a_room_by_nerfstudio(tmp_path, views):
    write_nerfstudio(tmp_path / "in" / "room", views, LEVEL)
    capture = imports.read(tmp_path / "in" / "room", None, ExportOptions(1.0, 0.001))
    assert imports.write(capture, tmp_path / "out").depth == FRAMES
    check_points(tmp_path / "out", views, capture.world @ LEVEL)


@pytest.mark.integration
def test_points_of_a_room_by_colmap(tmp_path, views):
    world = arbitrary()
    write_workspace(tmp_path / "in" / "room", views, world)
    up = imports.direction(up_of(world))
    capture = imports.read(tmp_path / "in" / "room", None, ExportOptions(UNIT, up=up))
    assert imports.write(capture, tmp_path / "out").depth == FRAMES
    check_points(tmp_path / "out", views, capture.world @ world)


@pytest.mark.integration
def test_points_of_one_image_of_sun_rgbd(tmp_path, views):
    world = write_sunrgbd(tmp_path / "in" / "room", views[0])
    capture = imports.read(tmp_path / "in" / "room", None, ExportOptions())
    assert imports.write(capture, tmp_path / "out").depth == 1
    check_points(tmp_path / "out", views[:1], capture.world @ world)


@pytest.mark.integration
def test_points_of_a_video_of_record3d(tmp_path, views):
    lzfse = pytest.importorskip("lzfse")
    world = write_video(tmp_path / "room.r3d", views, lzfse.compress)
    capture = imports.read(tmp_path / "room.r3d", None, ExportOptions(up="images"))
    assert imports.write(capture, tmp_path / "out").depth == FRAMES
    check_points(tmp_path / "out", views, capture.world @ world)
