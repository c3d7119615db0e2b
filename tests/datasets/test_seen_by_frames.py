"""What the frames of a scan tell of points that lack it. Colours of the room say where a point is."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from anyscene.datasets import ply, seen_by_frames
from anyscene.datasets.rgbd import Rgbd
from anyscene.errors import DataError
from anyscene.lifting.superpoints import segment_points
from anyscene.scene import Camera
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


def seen_from(camera, shade, depth=None, read=None):
    """A frame whose image has one grey, and maybe a depth map in metres."""
    image = np.full((camera.height, camera.width, 3), shade, np.uint8)

    def read_color():
        if read is not None:
            read.append(shade)
        return image

    depth = None if depth is None else np.asarray(depth, np.float32)
    return SimpleNamespace(camera=camera, read_color=read_color, read_depth=lambda: depth)


def camera(width, height, focal=1.0, centre=(0.0, 0.0), pose=None):
    u, v = centre
    return Camera(
        np.array([[focal, 0, u], [0, focal, v], [0, 0, 1]]),
        np.eye(4) if pose is None else pose,
        width,
        height,
    )


def both_and_other(points, first, second):
    """Of each point whether the first of two frames sees it: then its grey is 150, else the 200 of the
    second, which sees all."""
    grey = seen_by_frames.colours(np.array(points, np.float32), [first, second], "mesh.ply")
    assert set(np.unique(grey)) <= {150, 200}
    return (grey[:, 0] == 150).tolist()


BEHIND_ALL = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -9], [0, 0, 0, 1.0]])


def test_a_frame_sees_half_a_pixel_beyond_the_centres_of_its_outermost_pixels():
    points = {
        (-0.49, 0, 1): True,
        (-0.51, 0, 1): False,
        (3.49, 1, 1): True,
        (3.51, 1, 1): False,
        (1, -0.49, 1): True,
        (1, -0.51, 1): False,
        (2, 2.49, 1): True,
        (2, 2.51, 1): False,
        (6.98, 0, 2): True,  # twice as far
        (30, 0, -1): False,  # behind it
    }
    wide = seen_from(camera(41, 41, 1, (20, 20), BEHIND_ALL), 200)
    assert both_and_other(list(points), seen_from(camera(4, 3), 100), wide) == list(points.values())


def test_a_point_is_hidden_a_twentieth_of_its_distance_from_what_is_measured():
    """Readings of 2 m, and none in the last column."""
    depth = np.full((3, 8), 2.0)
    depth[:, 7] = 0
    distance = (2.0, 2.1, 2.11, 1.91, 1.9, 3, 1, 2.0)
    points = [(column * z, z, z) for column, z in enumerate(distance)]  # each in its pixel of the middle row
    wide = seen_from(camera(201, 201, 5, (100, 100), BEHIND_ALL), 200)
    found = both_and_other(points, seen_from(camera(8, 3), 100, depth), wide)
    assert found == [True, True, False, True, False, False, False, False]


def test_a_depth_map_may_have_another_size_than_its_image():
    """Twice as many pixels: the centres of the corner pixels stay in the corners. Seen by the image are
    columns 0 to 3 and rows 0 to 2, which lie in the pixels 0, 2, 4 and 6 of the depth map, and 0, 2 and 4."""
    depth = np.full((6, 8), 9.0)
    depth[::2, ::2] = 1
    depth[4, 6] = 9
    points = [(column, row, 1) for row in range(3) for column in range(4)]
    wide = seen_from(camera(41, 41, 1, (20, 20), BEHIND_ALL), 200)
    assert both_and_other(points, seen_from(camera(4, 3), 100, depth), wide) == [True] * 11 + [False]


def facing():
    """A camera at 5 m that looks back."""
    pose = np.diag([-1.0, 1, -1, 1])
    pose[2, 3] = 5
    return camera(129, 129, 100, (64, 64), pose)


def wall():
    """Points 2 m away that lie 2 cm apart: one in each pixel of the middle of an image of 65 x 65."""
    u, v = np.meshgrid(np.arange(-20, 21), np.arange(-20, 21))
    return np.stack([0.02 * u.ravel(), 0.02 * v.ravel(), np.full(u.size, 2.0)], 1)


@pytest.mark.parametrize(("distance", "seen"), [(2.09, True), (2.11, True), (2.13, False), (2.5, False)])
def test_without_depth_a_point_is_hidden_behind_those_before_it(distance, seen):
    """A twentieth of 2 m and the 2 cm between points."""
    points = np.concatenate([wall(), [(0, 0, distance)]])
    first, second = seen_from(camera(65, 65, 100, (32, 32)), 100), seen_from(facing(), 200)
    grey = seen_by_frames.colours(points.astype(np.float32), [first, second], "mesh.ply")
    assert grey[-1].tolist() == ([150] * 3 if seen else [200] * 3)


@pytest.mark.parametrize(
    ("distance", "reach"),
    [(1.0, 1), (0.5, 3), (0.3, 5), (0.2, 6)],  # one and a half of 2, 4, 6.7, 10 pixels, half to either side
)
def test_a_near_point_covers_what_lies_between_it_and_its_neighbours(distance, reach):
    """At most six pixels to each side."""
    points = np.concatenate([wall(), [(0, 0, distance)]])
    first = seen_from(camera(65, 65, 100, (32, 32)), 100)
    behind = np.eye(4)
    behind[:3, 3] = 0, 0, 1.5  # sees the wall alone
    second = seen_from(camera(201, 201, 100, (100, 100), behind), 200)
    grey = seen_by_frames.colours(points.astype(np.float32), [first, second], "mesh.ply")[:-1, 0]
    covered = np.abs(np.rint(points[:-1, :2] / 0.02)).max(1) <= reach
    assert np.array_equal(grey == 200, covered) and set(grey) == {150, 200}


def test_a_tenth_of_the_points_has_to_be_seen():
    points = np.array([(0, 0, 1), *((50 + k, 0, 1) for k in range(10))], np.float32)
    frame = seen_from(camera(4, 3), 100)
    assert (seen_by_frames.colours(points[:10], [frame], "mesh.ply") == 100).all()
    with pytest.raises(DataError, match="has no colours, and the frames see 9 % of it"):
        seen_by_frames.colours(points, [frame], "mesh.ply")


@pytest.mark.parametrize(("frames", "asked"), [(1, 1), (200, 200), (201, 101), (401, 134)])
def test_at_most_two_hundred_frames_are_asked(frames, asked):
    read = []
    every = [seen_from(camera(4, 3), k % 256, read=read) for k in range(frames)]
    seen_by_frames.colours(np.array([(0, 0, 1)], np.float32), every, "mesh.ply")
    assert len(read) == asked and read[:2] == ([0] if frames == 1 else [0, -(-frames // 200)])
