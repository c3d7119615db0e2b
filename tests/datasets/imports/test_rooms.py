"""A demo room, recorded in each layout, imported or read, and read again: its points lie where they were."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from scipy.spatial import cKDTree

from anyscene.datasets import cloud_from_depth, imports, ply
from anyscene.datasets.geometry import formats
from anyscene.datasets.imports import ExportOptions
from anyscene.datasets.matterport.reader import Matterport
from anyscene.datasets.rgbd import Rgbd
from anyscene.datasets.scannet.reader import ScanNet
from anyscene.scene import Camera
from anyscene_demo.rooms import KINDS
from anyscene_demo.world import WORLD, room_views, sample_surface, write_capture
from tests.builders import matterport, scannet
from tests.builders.capture import write_ply
from tests.builders.clouds_of_other_tools import WRITERS
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
    write_scannetpp_dslr,
    write_scannetpp_iphone,
    write_sunrgbd,
    write_tum,
)
from tests.builders.polycam import ARKIT, write_export
from tests.builders.record3d import write_sequence, write_video
from tests.builders.wall import View, unbent

ROOM, FRAMES, SIZE = KINDS.index("bedroom"), 12, (96, 72)
LEVEL = turned((0, 0, 2.0))  # z stays up


@pytest.fixture(scope="module")
def room():
    """(the room, its cameras, noisy images of it, its renderer)."""
    return room_views((WORLD, 0, 1, ROOM), "evaluation", KINDS[ROOM], FRAMES, *SIZE)


@pytest.fixture(scope="module")
def views(room):
    _, cameras, images, _ = room
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


@pytest.mark.integration
def test_points_of_a_sequence_of_record3d(tmp_path, views):
    pytest.importorskip("OpenEXR")
    world = write_sequence(tmp_path / "room" / "EXR_RGBD", views)
    capture = imports.read(tmp_path / "room", None, ExportOptions(up="images"))
    assert imports.write(capture, tmp_path / "out").depth == FRAMES
    check_points(tmp_path / "out", views, capture.world @ world)


FISHEYE, FOCAL = (-0.03, -0.006, 0.002, -0.0005), 60.0  # at SIZE: 46 degrees to each side, 59 to the corners


def of_a_fisheye(camera, renderer, light):
    """The view of a camera through a lens of FISHEYE, from a finer and wider image of a pinhole."""
    centre = np.array(SIZE) / 2
    u, v = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    rays = unbent(np.stack([u - centre[0], v - centre[1]], -1) / FOCAL, FISHEYE)
    size, focal = (576, 432), 288 / (1.02 * np.abs(rays[..., 0]).max())
    assert focal * np.abs(rays[..., 1]).max() < size[1] / 2
    matrix = np.array([[focal, 0, 287.5], [0, focal, 215.5], [0, 0, 1]])
    fine = renderer.frame(Camera(matrix, camera.pose, *size), light).rgb.astype(float)
    at = focal * rays[..., 1] + 215.5, focal * rays[..., 0] + 287.5
    rgb = np.stack([ndimage.map_coordinates(fine[..., c], at, order=1) for c in range(3)], -1)
    depth = np.zeros(SIZE[::-1])
    return View(rgb.round().astype(np.uint8), depth, camera.pose @ OPENGL, (FOCAL, FOCAL), tuple(centre))


@pytest.mark.integration
def test_a_room_by_the_camera_of_scannetpp(tmp_path, room):
    """Images of a fisheye, and the mesh: its points are those of the file, and straightened images show what
    a pinhole there sees."""
    of, cameras, _, renderer = room
    scene = tmp_path / "in" / "02455b3d20"
    write_scannetpp_dslr(scene, [of_a_fisheye(one, renderer, of.light) for one in cameras], FISHEYE)
    (scene / "scans").mkdir()
    xyz, face = of.mesh.vertex.astype(np.float32), of.mesh.face
    write_ply(scene / "scans" / "mesh_aligned_0.05.ply", xyz, np.zeros(xyz.shape, np.uint8), face)
    capture = imports.read(scene, None, ExportOptions())
    summary = imports.write(capture, tmp_path / "out")
    assert (summary.frames, summary.depth, summary.undistorted) == (FRAMES, 0, FRAMES)
    read = as_written(tmp_path / "out")
    assert np.allclose(read.xyz, xyz, atol=1e-5) and np.array_equal(read.face, face)
    for frame, camera in zip(read.frames, cameras, strict=True):
        assert np.allclose(frame.camera.pose, camera.pose, atol=1e-6)
        shown, there = frame.read_color().astype(int), renderer.frame(frame.camera, of.light).rgb.astype(int)
        off = [np.abs(np.roll(shown, step, 1) - there)[4:-4, 4:-4].mean() for step in (0, -1, 1)]
        assert off[0] < 6 and off[0] < 0.75 * min(off[1:]), off  # the right place, to half a pixel


def check_measured(scene, mesh, frames, within=0.01):
    """The frames of a scene measure the surface of a mesh. within: metres, in the median."""
    surface = cKDTree(sample_surface(mesh.vertex, mesh.face, 0.01)[0])
    assert len(scene.frames) == frames
    for frame in scene.frames:
        distance, _ = surface.query(cloud_from_depth.back_project(frame)[0])
        assert np.median(distance) < within and np.quantile(distance, 0.9) < 3 * within


@pytest.mark.integration
@pytest.mark.parametrize("extracted", [False, True])
def test_a_room_of_scannet(tmp_path, room, extracted):
    """A .sens of frames, two of them without a pose, or what its reader extracts; and the mesh."""
    of, cameras, _, renderer = room
    folder, frames = tmp_path / "scene0000_00", []
    for k, camera in enumerate(cameras):
        image, depth = (
            renderer.frame(
                Camera(scannet.intrinsics(size)[:3, :3].astype("f8"), camera.pose, *size), of.light
            )
            for size in (scannet.COLOR, scannet.DEPTH)
        )
        color = io.BytesIO()
        Image.fromarray(image.rgb).save(color, "JPEG", quality=95)
        pose = scannet.LOST if k in (3, 8) else camera.pose
        steps = np.rint(1000 * depth.depth).astype(np.uint16)
        frames.append({"color": color.getvalue(), "depth": steps, "pose": pose.astype(np.float32)})
    folder.mkdir()
    if extracted:
        scannet.write_extracted(folder, frames)
    else:
        scannet.write_sens(folder / "scene0000_00.sens", frames)
    xyz, face = of.mesh.vertex.astype(np.float32), of.mesh.face
    rgb = np.zeros(xyz.shape, np.uint8)
    scannet.write_ply(folder / "scene0000_00_vh_clean_2.ply", xyz, rgb, face)
    scene = ScanNet(tmp_path, "test").read("scene0000_00")
    assert np.array_equal(scene.xyz, xyz) and np.array_equal(scene.face, face)
    assert [frame.id for frame in scene.lost] == ["3", "8"]
    check_measured(scene, of.mesh, FRAMES - 2)


@pytest.mark.integration
def test_a_room_of_matterport(tmp_path, room):
    """A house of one region, and a panorama in it, of cameras that look up, level and down."""
    of, _, _, renderer = room
    folder = matterport.write_house(tmp_path, "17DRP5sb8fy", regions=1, assigned=(0,))
    step = of.size * (0.5, 0.5, 0) + (0, 0, 1.3) - matterport.pose(0, 0, 0)[:3, 3]  # to the room's middle
    xyz, face = (of.mesh.vertex - step).astype(np.float32), of.mesh.face
    numbers = np.full(len(face), matterport.WALL, np.int32)
    region = folder / "region_segmentations" / "region0.ply"
    matterport.write_region(region, xyz, np.zeros(xyz.shape, np.uint8), face, numbers, numbers)
    for camera in range(3):
        for yaw in range(2):
            pose = matterport.pose(0, camera, yaw) @ OPENGL
            pose[:3, 3] += step
            focal, (cx, cy) = matterport.FOCAL[camera], matterport.CENTRE
            matrix = np.array([[focal, 0, cx], [0, focal, cy], [0, 0, 1]])
            image = renderer.frame(Camera(matrix, pose, *matterport.SIZE), of.light)
            depth, color = matterport.image_names(0, camera, yaw)
            Image.fromarray(image.rgb).save(folder / "undistorted_color_images" / color)
            stored = np.rint(4000 * image.depth).astype(np.uint16)
            Image.fromarray(stored).save(folder / "undistorted_depth_images" / depth)
    scene = Matterport(tmp_path, "test").read("17DRP5sb8fy_region0")
    assert np.array_equal(scene.xyz, xyz) and np.array_equal(scene.face, face)
    there = scene.moved(np.block([[np.eye(3), step[:, None]], [np.zeros(3), np.ones(1)]]))
    check_measured(there, of.mesh, 6)


@pytest.mark.integration
def test_a_room_in_plain_files(tmp_path, room):
    """As the demo's captures are written."""
    of, cameras, images, renderer = room
    write_capture(tmp_path / "room", of, cameras, images, renderer)
    scene = Rgbd(tmp_path, "test").read("room")
    mesh = ply.read(tmp_path / "room" / "mesh.ply")
    assert np.array_equal(scene.xyz, mesh.xyz) and np.array_equal(scene.rgb, mesh.rgb)
    check_measured(scene, of.mesh, FRAMES, within=0.015)  # with the noise of a sensor


@pytest.mark.integration
@pytest.mark.parametrize("ending", [".ply", *WRITERS])
def test_a_room_as_a_bare_mesh_or_cloud(tmp_path, room, ending):
    of, cameras, images, renderer = room
    write_capture(tmp_path / "room", of, cameras, images, renderer)
    mesh, path = ply.read(tmp_path / "room" / "mesh.ply"), tmp_path / f"room{ending}"
    if ending == ".ply":
        ply.write_mesh(path, mesh.xyz, mesh.rgb, mesh.face)
    else:
        WRITERS[ending](path, mesh.xyz, mesh.rgb, mesh.face)
    found = formats.read(path)
    xyz = found.xyz if found.up is None or found.up[2] else found.xyz[:, [0, 2, 1]] * [1, -1, 1]
    if ending == ".stl":  # corners of triangles, without colours
        assert found.rgb is None and len(found.face) == len(mesh.face)
        xyz, there = xyz[found.face], mesh.xyz[mesh.face]
    else:
        assert np.abs(found.rgb.astype(int) - mesh.rgb).max() <= 1
        assert len(found.face) == (len(mesh.face) if ending in formats.MESHES else 0)
        there = mesh.xyz
    assert np.abs(xyz - there).max() < 1e-4
