"""The way back from a scan to the export that it was made from: units, up, coordinates of a map."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from anyscene.datasets import imports, ply
from anyscene.datasets.imports import ExportOptions, nerfstudio
from anyscene.datasets.rgbd import Rgbd
from anyscene.scene import moved
from tests.builders.capture import grid, write_ply
from tests.builders.layouts import write_frames
from tests.builders.nerfstudio import change, write_capture
from tests.builders.wall import WIDTH, check_on_wall, rolled, views

UTM = np.array([693000.25, 5337000.5, 520.125])
POSES = (rolled(), rolled(yaw=-20.0))


def export(folder, poses=POSES, *, unit=1.0, turn=None, shift=(0.0, 0.0, 0.0)):
    """A capture of the wall in another world: in units, turned, shifted there."""
    write_capture(folder, POSES)
    world = np.eye(4)
    world[:3, :3] = (np.eye(3) if turn is None else turn) / unit
    world[:3, 3] = shift
    for number, pose in enumerate(poses):
        matrix = world @ pose
        matrix[:3, :3] *= unit
        change(folder, number, transform_matrix=matrix.tolist())
    return world


@pytest.mark.parametrize("unit", [1.0, 0.001])
@pytest.mark.parametrize("up", [(0, 0, 1), (0, 1, 0), (0.3, -0.8, 0.2)])
def test_back_to_the_export(tmp_path, unit, up):
    turn = Rotation.align_vectors([up], [[0, 0, 1]])[0].as_matrix()
    world = export(tmp_path / "in", unit=unit, turn=turn, shift=UTM / unit)
    capture = nerfstudio.read(tmp_path / "in", ExportOptions(unit, 0.001, np.array(up, float)))
    centre = np.array([frame.camera.pose[:3, 3] for frame in capture.frames])
    assert np.abs(centre).max() <= 0.75  # of whole metres, there is nothing left to move
    imports.write(capture, tmp_path / "out")
    scene = Rgbd(tmp_path, "test").read("out")
    for frame, pose in zip(scene.frames, POSES, strict=True):
        np.testing.assert_allclose(
            (scene.world @ frame.camera.pose)[:3, 3], (world @ pose)[:3, 3], rtol=1e-14, atol=1e-8 / unit
        )
    back = np.linalg.inv(world[:3, :3])
    xyz = moved(scene.xyz, scene.world) - world[:3, 3]  # relative to the map, before digits are lost
    wall = xyz @ back.T
    assert abs(np.median(wall[:, 1]) - 2) < 0.003
    if up == (0, 0, 1):
        for frame in scene.frames:
            check_on_wall(frame, world=step_of(scene, world))


def step_of(scene, world):
    """f8[4,4]: what the world of the wall became in the scene."""
    step = np.eye(4)
    turn = np.linalg.inv(scene.world[:3, :3])
    step[:3, :3] = turn @ world[:3, :3]
    step[:3, 3] = turn @ (world[:3, 3] - scene.world[:3, 3])
    return step


def test_a_mesh_of_a_map_keeps_its_shape(tmp_path):
    world = export(tmp_path / "in", shift=UTM)
    xyz, face = grid(6)
    places = moved(xyz, world)
    write_ply(tmp_path / "mesh.ply", places, np.zeros((36, 3), np.uint8), face)
    capture = nerfstudio.read(tmp_path / "in", ExportOptions(1.0, 0.001))
    imports.write(capture, tmp_path / "out", tmp_path / "mesh.ply")
    scene = Rgbd(tmp_path, "test").read("out")
    np.testing.assert_allclose(moved(scene.xyz, scene.world) - UTM, xyz, atol=1e-6)
    assert ply.read_mesh(tmp_path / "out/mesh.ply")[0].dtype == np.float32


def test_poses_have_all_digits(tmp_path):
    turn = Rotation.from_rotvec([0, 0, 1]).as_matrix()
    export(tmp_path / "in", turn=turn, shift=[1 / 3, 1 / 7, 100 / 7])
    capture = nerfstudio.read(tmp_path / "in", ExportOptions(1.0, 0.001))
    imports.write(capture, tmp_path / "out")
    for frame in capture.frames:
        written = np.loadtxt(tmp_path / "out/pose" / f"{frame.id}.txt")
        assert written.tobytes() == frame.camera.pose.tobytes()


def test_what_is_said_of_the_scan(tmp_path):
    world = export(tmp_path / "in", unit=0.5)
    for up, said in ((None, None), (np.array([0, 0, 2.0]), [0, 0, 1])):
        capture = nerfstudio.read(tmp_path / "in", ExportOptions(0.5, 0.001, up))
        imports.write(capture, tmp_path / f"{said}")
        content = json.loads((tmp_path / f"{said}" / "capture.json").read_text())
        assert content.get("up") == said and content["scale"] == 1 and content["depth_scale"] == 1000
        np.testing.assert_allclose(content["world"], world, atol=1e-12)  # nerfstudio's own z may be no up


@pytest.mark.parametrize("given", [{}, {"depth_unit": 0.002}, {"depth_form": "ray"}])
@pytest.mark.parametrize("quarters", [0, 1])
def test_depth_that_is_as_it_has_to_be_is_copied(tmp_path, given, quarters):
    seen = views([rolled(quarters, yaw) for yaw in (15.0, -20.0, 5.0)])
    for view in seen:
        view.depth[:4] = 0
    write_frames(tmp_path / "in", seen, nothing=65535)
    capture = imports.read(
        tmp_path / "in", None, ExportOptions(up=np.array([0.0, 0, 1]), anyway=True, **given)
    )
    imports.write(capture, tmp_path / "out", refuse=False)
    for file in sorted((tmp_path / "out" / "depth").iterdir()):
        stored = (tmp_path / "in" / f"{file.stem}.depth.png").read_bytes()
        assert (file.read_bytes() == stored) == (not given and not quarters)
    for frame in Rgbd(tmp_path, "test").read("out").frames:
        depth = frame.read_depth()
        assert depth.max() < 7 and (depth == 0).sum() == 4 * WIDTH
