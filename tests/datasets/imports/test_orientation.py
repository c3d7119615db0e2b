"""Which way is up, and which importer is meant."""

import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from anyscene.datasets import imports
from anyscene.datasets.imports.formats import recognised
from anyscene.datasets.imports.orientation import oriented, vertical
from anyscene.datasets.imports.source_frame import OPENGL, SourceFrame
from anyscene.datasets.readings import Reading
from anyscene.errors import DataError
from anyscene.scene import Camera
from tests.builders.wall import rolled


def looking(*poses):
    return np.array([pose @ OPENGL for pose in poses])


def tilted(yaw, pitch, roll=0.0):
    """A camera turned by so many degrees: about the vertical, down, and about its own axis."""
    pose = rolled(yaw=yaw)
    pose[:3, :3] = pose[:3, :3] @ Rotation.from_euler("xz", [-pitch, roll], degrees=True).as_matrix()
    return pose


def source_frames(poses):
    return [SourceFrame(str(i), None, None, Camera(np.eye(3), pose, 1, 1)) for i, pose in enumerate(poses)]


def test_level_images_tell_the_vertical_however_far_they_look_down():
    poses = looking(tilted(0, 40), tilted(80, 10), tilted(170, 60), tilted(-60, 30), tilted(20, -20))
    assert np.allclose(vertical(poses), [0, 0, 1])


def test_hands_are_never_quite_level():
    poses = looking(*(tilted(40 * i, 20, roll) for i, roll in enumerate((5, -6, 3, -2, 6, 0, -4, 2, -5))))
    assert vertical(poses) @ [0, 0, 1] > np.cos(np.radians(3))


def test_a_turn_by_what_images_say_is_said():
    poses = looking(tilted(0, 40), tilted(80, 10), tilted(170, 60), tilted(-60, 30), tilted(20, -20))
    assert oriented(source_frames(poses), "room", "images").remarks == ()  # z is up already
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("x", 30, degrees=True).as_matrix()
    said = ("turned by 30 degrees: its images say that up is 0.00,-0.50,0.87",)
    assert oriented(source_frames(turned @ poses), "room", "images").remarks == said
    assert oriented(source_frames(turned @ poses), "room", turned[:3, 2]).remarks == ()  # the user knows


@pytest.mark.parametrize(
    "poses",
    [
        [tilted(10, 10)] * 5,  # all look the same way
        [tilted(40 * i, 0, 90) for i in range(9)],  # all on their side
        [tilted(40 * i, 0, 90 * (i % 2)) for i in range(9)],  # half of them
        [tilted(120 * i, 0, 50 * i) for i in range(5)],  # anyhow
        [rolled(1), rolled(yaw=-75.0)],
    ],
)
def test_images_that_do_not_tell(poses):
    assert vertical(looking(*poses)) is None
    with pytest.raises(DataError, match=r"room: the images do not agree on what is up \(--up images\)"):
        oriented(source_frames(looking(*poses)), "room", "images")
    assert len(oriented(source_frames(looking(*poses)), "room", imports.direction("z")).frames) == len(poses)


def test_upside_down_is_believed_and_on_the_side_is_not():
    poses = looking(*(tilted(40 * i, 10) for i in range(9)))
    assert oriented(source_frames(poses), "room", imports.direction("-z")).world[2, 2] == -1
    with pytest.raises(
        DataError, match=r"up would be 0\.00,1\.00,0\.00, but the images are level about 0\.00,"
    ):
        oriented(source_frames(poses), "room", imports.direction("y"))


def test_a_reading_is_kept_and_says_how_long_the_unit_is():
    frames, up = source_frames(looking(tilted(10, 10))), imports.direction("z")
    reading = Reading(depth_scale=5000.0, scale=0.5)
    capture = oriented(frames, "room", up, reading)
    assert capture.reading == reading
    assert np.array_equal(capture.world, oriented(frames, "room", up, 0.5).world)
    assert oriented(frames, "room", up, 0.5).reading is None


def test_a_mesh_is_taken_where_it_is_a_file_on_disk(tmp_path):
    frames, up = source_frames(looking(tilted(10, 10))), imports.direction("z")
    (tmp_path / "mesh.ply").touch()
    with zipfile.ZipFile(tmp_path / "room.zip", "w") as archive:
        archive.writestr("mesh.ply", "")
    inside = zipfile.Path(tmp_path / "room.zip") / "mesh.ply"
    taken = [
        oriented(frames, "room", up, mesh=mesh).mesh
        for mesh in (tmp_path / "mesh.ply", tmp_path / "none.ply", tmp_path, inside, None)
    ]
    assert taken == [tmp_path / "mesh.ply", None, None, None, None]


@settings(max_examples=50, deadline=None)
@given(
    st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1),
    st.floats(0.01, 100),
)
def test_the_world_is_turned_without_a_shear_and_poses_follow(up, scale):
    poses = looking(*(tilted(10, 10 * i) for i in range(3)))  # tell no vertical
    capture = oriented(source_frames(poses), "room", np.array(up), scale)
    turn = capture.world[:3, :3] / scale
    assert np.allclose(turn @ turn.T, np.eye(3)) and np.linalg.det(turn) > 0
    assert np.allclose(turn @ (np.array(up) / np.linalg.norm(up)), [0, 0, 1], atol=1e-6)
    between = np.arccos(np.clip(np.array(up)[2] / np.linalg.norm(up), -1, 1))
    assert np.isclose(Rotation.from_matrix(turn).magnitude(), between, atol=1e-6)  # and no more about z
    for frame, pose in zip(capture.frames, poses, strict=True):
        point = np.array([0.3, -0.2, 2.0, 1])  # in a unit of the export before the camera
        metres = np.array([*(scale * point[:3]), 1])
        assert np.allclose(frame.camera.pose @ metres, capture.world @ pose @ point, atol=1e-6 * scale)


@pytest.mark.parametrize("up", [(0, 0, -1), (1e-6, 0, -1), (1e-5, 0, -1), (0, 1e-4, -1)])
def test_straight_down(up):
    world = oriented(source_frames(looking(rolled())), "room", np.array(up, float)).world[:3, :3]
    assert np.allclose(world @ world.T, np.eye(3), atol=1e-6)
    assert np.allclose(world @ up / np.linalg.norm(up), [0, 0, 1], atol=1e-4)


@pytest.mark.parametrize(
    ("text", "vector"),
    [("z", [0, 0, 1]), ("-y", [0, -1, 0]), ("0,-0.9,0.1", [0, -0.9, 0.1]), ("images", None)],
)
def test_directions(text, vector):
    assert (
        text == imports.direction(text) if vector is None else np.array_equal(imports.direction(text), vector)
    )


@pytest.mark.parametrize("text", ["w", "", "1,2", "0,0,0", "nan,0,1", "1,2,x", "--z"])
def test_bad_directions(text):
    with pytest.raises(DataError, match="give x, -x, y, -y, z, -z, three numbers"):
        imports.direction(text)


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (["transforms.json", "images/a.png", "colmap/sparse/0/cameras.bin"], "nerfstudio"),
        (["keyframes/cameras/1.json"], "polycam"),
        (["metadata", "rgbd/0.jpg"], "record3d"),
        (["sparse/cameras.txt"], "colmap"),
        (["cameras.bin", "images/a.png"], "colmap"),
    ],
)
def test_exports_are_recognised_by_their_files(tmp_path, files, name):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert recognised(tmp_path) == name


def test_exports_that_are_not_recognised(tmp_path):
    with pytest.raises(
        DataError,
        match=r"neither a scan \(color/, pose/\) nor an export that is known here; give a folder with "
        "color/, depth/ and pose/, or one that holds one mesh; exports are known by lowres_wide",
    ):
        recognised(tmp_path)
    (tmp_path / "transforms.json").touch()
    (tmp_path / "sparse").mkdir()
    with pytest.raises(DataError, match="may be of colmap or of nerfstudio; say which, by --from"):
        recognised(tmp_path)
    with pytest.raises(DataError, match=": holds no keyframes; export the raw data"):
        imports.read(tmp_path, "polycam", imports.ExportOptions())
    with pytest.raises(DataError, match="none: no such file or folder"):
        imports.read(tmp_path / "none", None, imports.ExportOptions())
