"""What the frames of a scan tell of points that lack it. Colours of the room say where a point is."""

import numpy as np
import pytest
from PIL import Image

from anyscene.datasets import ply, seen_by_frames
from anyscene.datasets.rgbd import Rgbd
from anyscene.errors import DataError
from anyscene.lifting.superpoints import segment_points
from tests.builders import coloured_room


def write_mesh(path, xyz, face=None, rgb=None, **values):
    ply.write_mesh(path, xyz, rgb, np.zeros((0, 3), int) if face is None else face, **values)


def read(folder):
    return Rgbd(folder.parent, "test").read(folder.name)


def away(scene):
    """f8[N]: metres between a point and where its colour says it is, along the axis where it is most."""
    said = scene.rgb / 255 * coloured_room.SIZE
    return np.abs(said - np.clip(scene.xyz, 0, coloured_room.SIZE)).max(1)


@pytest.mark.parametrize("depth", [True, False])
def test_colours_of_a_mesh_come_from_the_frames(tmp_path, depth):
    folder = coloured_room.write_scan(tmp_path / "room", depth=depth)
    xyz, face = coloured_room.mesh(0.1)
    write_mesh(folder / "mesh.ply", xyz, face)
    scene = read(folder)
    seen = np.zeros(len(xyz), bool)
    for frame in scene.frames:
        seen |= frame.camera.looks_at(scene.xyz)
    hidden = ((xyz > [1.4, 1.0, -0.1]) & (xyz < [2.6, 2.0, 0.4])).all(1)  # below and beside the block
    assert np.median(away(scene)[seen & ~hidden]) < 0.008  # half of a step of 8 bits
    assert np.quantile(away(scene)[seen & ~hidden], 0.9) < 0.02  # others are at edges of the block


def test_own_colours_are_kept(tmp_path):
    folder = coloured_room.write_scan(tmp_path / "room", frames=2)
    xyz, face = coloured_room.mesh(0.25)
    rgb = np.random.default_rng(0).integers(0, 256, xyz.shape).astype(np.uint8)
    write_mesh(folder / "mesh.ply", xyz, face, rgb)
    assert np.array_equal(read(folder).rgb, rgb)


@pytest.mark.parametrize("depth", [True, False])
def test_what_stands_behind_something_has_not_its_colour(tmp_path, depth):
    """A wall, a red board before its middle, a camera that looks straight at both."""
    folder = coloured_room.write_scan(tmp_path / "room", frames=1, depth=depth)
    pose = np.eye(4)
    np.savetxt(folder / "pose" / "0.txt", pose)
    image = np.full((coloured_room.HEIGHT, coloured_room.WIDTH, 3), 200, np.uint8)
    image[26:46, 38:58] = 255, 0, 0
    Image.fromarray(image).save(folder / "color" / "0.png")
    if depth:
        millimetres = np.where(image[..., 1] == 0, 1000, 2000).astype(np.uint16)
        Image.fromarray(millimetres).save(folder / "depth" / "0.png")
    u, v = np.meshgrid(np.arange(-0.6, 0.6, 0.02), np.arange(-0.6, 0.6, 0.02))
    wall = np.stack([u.ravel(), v.ravel(), np.full(u.size, 2.0)], 1)
    near = np.abs(wall[:, :2]).max(1) < 0.15
    board = wall[near] * [1, 1, 0.5]
    write_mesh(folder / "mesh.ply", np.concatenate([wall, board]))
    rgb = read(folder).rgb.astype(int)
    assert (np.abs(rgb[len(wall) :] - [255, 0, 0]) < 2).all()
    behind = np.abs(wall[:, :2]).max(1) < 0.28
    green = rgb[: len(wall)][behind, 1]  # 200 of the nearest point that is seen, mixed with red at its edge
    assert (green > 150).all()


def test_a_mesh_that_frames_do_not_see_is_refused(tmp_path):
    folder = coloured_room.write_scan(tmp_path / "room", frames=4)
    xyz, face = coloured_room.mesh(0.25)
    write_mesh(folder / "mesh.ply", xyz + [50, 0, 0], face)
    with pytest.raises(DataError, match=r"mesh\.ply: has no colours, and the frames see 0 % of it; check"):
        read(folder)


def test_a_point_is_seen_from_the_nearest_camera_that_looks_at_it(tmp_path):
    frames = read_frames(coloured_room.write_scan(tmp_path / "room", frames=8))
    centre = np.array([frame.camera.pose[:3, 3] for frame in frames])
    xyz = np.random.default_rng(0).uniform(0, coloured_room.SIZE, (300, 3)).astype(np.float32)
    found = seen_by_frames.viewpoints(xyz, frames)
    looks = np.stack([frame.camera.looks_at(xyz) for frame in frames], 1)
    distance = np.linalg.norm(xyz[:, None] - centre, axis=2)
    distance[~looks & looks.any(1)[:, None]] = np.inf
    assert np.allclose(found, centre[distance.argmin(1)]) and not looks.any(1).all()


def read_frames(folder):
    xyz, face = coloured_room.mesh(0.5)
    write_mesh(folder / "mesh.ply", xyz, face, coloured_room.colour(xyz))
    return read(folder).frames


@pytest.mark.parametrize("own", [False, True])
def test_superpoints_of_points_without_faces_respect_creases(tmp_path, own):
    folder = coloured_room.write_scan(tmp_path / "room")
    xyz, _ = coloured_room.mesh(0.04)
    xyz += np.random.default_rng(0).normal(0, 0.001, xyz.shape)  # as a laser has it
    values = {}
    if own:  # as principal axes that nobody turned
        write_mesh(folder / "mesh.ply", xyz, None, coloured_room.colour(xyz))
        normal = read(folder).normal * np.random.default_rng(1).choice([-1, 1], (len(xyz), 1)) * 2
        values = dict(zip(("nx", "ny", "nz"), normal.astype(np.float32).T, strict=True))
    write_mesh(folder / "mesh.ply", xyz, None, coloured_room.colour(xyz), **values)
    scene = read(folder)
    assert np.allclose(np.linalg.norm(scene.normal, axis=1), 1, atol=1e-5)
    inwards = np.einsum("ni,ni->n", scene.normal, coloured_room.SIZE / 2 - scene.xyz) > 0
    side = coloured_room.plane(np.round(scene.xyz / 0.04) * 0.04)
    assert inwards[(side > 0) & (side <= 6)].mean() > 0.99
    superpoint = segment_points(scene.xyz, scene.normal)
    shared = np.zeros((superpoint.max() + 1, side.max() + 1), int)
    np.add.at(shared, (superpoint, side), side > 0)
    assert shared.max(1).sum() / (side > 0).sum() > 0.97 and superpoint.max() < 150


def test_few_points_have_no_normals(tmp_path):
    folder = coloured_room.write_scan(tmp_path / "room", frames=2)
    write_mesh(folder / "mesh.ply", np.eye(3), None, np.zeros((3, 3), np.uint8))
    assert not read(folder).normal.any()
