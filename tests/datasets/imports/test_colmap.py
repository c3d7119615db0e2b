"""Reconstructions of COLMAP, imported and read again.

What people report of other readers and writers: text beside binary files, or alone (MrNeRF/LichtFeld-Studio,
pull request 368; WebODM/OpenSplat, issue 148); a header that counts twice the images (colmap/colmap, pull
request 4295); names with their length before them (facebookresearch/vggt, issue 123); rigs.bin and frames.bin
beside the three files (colmap, issue 3580); names that are no UTF-8 because what is before them was read
wrongly (MegaScenes/nvs, issue 3).
"""

import shutil
import struct

import numpy as np
import pytest
from PIL import Image

from anyscene.datasets import imports, ply
from anyscene.datasets.imports import ExportOptions, colmap
from anyscene.errors import DataError
from anyscene.scene import LeftOut, inverse, moved
from tests.builders.capture import grid, write_ply
from tests.builders.colmap import UNIT, arbitrary, up_of, write_map, write_workspace
from tests.builders.importing import as_written, written
from tests.builders.wall import DISTORTION, HEIGHT, WIDTH, check_on_wall, rolled, views, wall_of

pytestmark = pytest.mark.integration

POSES = (rolled(), rolled(yaw=-20.0), rolled(yaw=5.0))
WORLD = arbitrary()
UP = imports.direction(up_of(WORLD))


def read(folder, scale=UNIT, up=UP, **given):
    return colmap.read(folder, ExportOptions(scale=scale, up=up, **given))


def imported(folder, out, mesh=None, world=WORLD, **given):
    """(summary, frames that the reader finds, what the true world has become)."""
    capture = read(folder, **given)
    became = capture.world @ world
    assert np.allclose(became[:3, :3] @ became[:3, :3].T, np.eye(3), atol=1e-5)  # metres
    assert np.allclose(became[2, :3], [0, 0, 1], atol=1e-5)  # z up
    return *written(capture, out, mesh), became


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("sparse", ["sparse", "sparse/0", "."])
def test_depth_and_colour_agree_as_rendered(tmp_path, binary, sparse):
    write_workspace(tmp_path / "in", views(POSES), WORLD, binary=binary, sparse=sparse)
    summary, frames, became = imported(tmp_path / "in", tmp_path / "out")
    assert (summary.frames, summary.depth, summary.undistorted, summary.turned) == (3, 3, 0, 0)
    assert [frame.id for frame in frames] == ["IMG_0000", "IMG_0001", "IMG_0002"]
    for frame in frames:
        check_on_wall(frame, world=became)


@pytest.mark.parametrize("binary", [False, True])
def test_points_that_images_see_are_read_where_depth_is_estimated(tmp_path, binary):
    write_workspace(tmp_path / "in", views(POSES), WORLD, binary=binary, depth=False)
    assert read(tmp_path / "in").seen == {}
    capture = read(tmp_path / "in", depth_model=lambda rgb: rgb)
    became = capture.world @ WORLD
    assert {id: len(points) for id, points in capture.seen.items()} == {
        "IMG_0000": 4, "IMG_0001": 2, "IMG_0002": 0
    }  # fmt: skip
    for points in capture.seen.values():
        np.testing.assert_allclose(moved(points, inverse(became))[:, 1], 2, atol=1e-6)
    for kind in ("bin", "txt"):
        (tmp_path / "in/sparse" / f"points3D.{kind}").unlink(missing_ok=True)
    assert read(tmp_path / "in", depth_model=lambda rgb: rgb).seen == {}


def test_up_as_the_images_have_it(tmp_path):
    write_workspace(tmp_path / "in", views(POSES), WORLD)
    _, frames, became = imported(tmp_path / "in", tmp_path / "out", up="images")
    for frame in frames:
        check_on_wall(frame, world=became)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("SIMPLE_PINHOLE", {}),
        ("SIMPLE_RADIAL", {"k1": -0.2}),
        ("RADIAL", {"k1": -0.2, "k2": 0.05}),
        ("OPENCV", DISTORTION),
    ],
)
def test_camera_models(tmp_path, model, parameters, binary):
    rendered = views(POSES, distortion=parameters)
    write_workspace(
        tmp_path / "in", rendered, WORLD, binary=binary, model=model, distortion=list(parameters.values())
    )
    summary, frames, became = imported(tmp_path / "in", tmp_path / "out")
    assert summary.undistorted == (3 if parameters else 0)
    for frame in frames:
        check_on_wall(frame, drop=0.1, world=became)


def test_binary_files_come_before_text(tmp_path):
    write_workspace(tmp_path / "in", views(POSES), WORLD)
    (tmp_path / "in" / "sparse" / "cameras.txt").write_text("of another model")
    assert len(read(tmp_path / "in").frames) == 3


def test_images_on_their_side_are_turned_and_sizes_may_differ(tmp_path):
    rendered = [
        *views(POSES, depth_size=(48, 32)),
        *views([rolled(1)]),
        *views([rolled(3, yaw=-5.0)], (48, 32)),
    ]
    write_workspace(tmp_path / "in", rendered, WORLD)
    summary, frames, became = imported(tmp_path / "in", tmp_path / "out")
    assert summary.turned == 2 and summary.sizes == ((32, 48), (HEIGHT, WIDTH), (WIDTH, HEIGHT))
    for frame in frames:
        check_on_wall(frame, place=0.02, depth=0.02, world=became)
        rgb = frame.read_color().astype(int)
        assert rgb[0, :, 2].mean() > rgb[-1, :, 2].mean() + 20  # blue grows upwards


def test_images_of_sub_folders_and_without_depth(tmp_path):
    names = ["left/a b.png", "right/a b.png", "right/c.png"]
    write_workspace(tmp_path / "in", views(POSES), WORLD, binary=False, names=names)
    (tmp_path / "in" / "stereo" / "depth_maps" / "right" / "c.png.geometric.bin").unlink()
    summary, frames, _ = imported(tmp_path / "in", tmp_path / "out")
    assert [frame.id for frame in frames] == ["left_a b", "right_a b"]
    assert summary.left_out == (LeftOut("right/c.png", "no depth"),)
    assert "left out 1 of 3 frames: 1 no depth (right/c.png)" in str(summary)


def test_mesh_in_the_world_of_the_reconstruction(tmp_path):
    write_workspace(tmp_path / "in", views(POSES), WORLD, depth=False)
    with pytest.raises(DataError, match=r"IMG_0000\.png: no depth, and no mesh"):
        imported(tmp_path / "in", tmp_path / "out")
    xyz, face = grid(6)
    moved = xyz @ WORLD[:3, :3].T + WORLD[:3, 3]
    mesh = tmp_path / "meshed-poisson.ply"
    write_ply(mesh, moved, np.zeros((len(xyz), 3), np.uint8), face)
    _, frames, became = imported(tmp_path / "in", tmp_path / "out", mesh)
    assert frames[0].depth is None
    assert np.allclose(as_written(tmp_path / "out").xyz, xyz @ became[:3, :3].T + became[:3, 3], atol=1e-5)
    write_ply(mesh, moved + [0, 0, 100], np.zeros((len(xyz), 3), np.uint8), face)
    with pytest.raises(DataError, match=r"do not show its mesh \(0 of 3 see it\); export both in one world"):
        imported(tmp_path / "in", tmp_path / "other", mesh)


@pytest.mark.parametrize("own", [False, True])
def test_points_without_faces_and_colours_take_them_from_the_frames(tmp_path, own):
    write_workspace(tmp_path / "in", views(POSES), WORLD, depth=False)
    xyz, _ = grid(6)
    moved = xyz @ WORLD[:3, :3].T + WORLD[:3, 3]
    tilted = np.array([0, -0.8, 0.6])
    normal = np.tile(tilted @ WORLD[:3, :3].T, (len(xyz), 1)).astype(np.float32)
    values = dict(zip(("nx", "ny", "nz"), normal.T, strict=True)) if own else {}
    ply.write_mesh(tmp_path / "fused.ply", moved, None, np.zeros((0, 3), int), **values)
    _, _, became = imported(tmp_path / "in", tmp_path / "out", tmp_path / "fused.ply")
    scene = as_written(tmp_path / "out")
    assert np.allclose(scene.xyz, xyz @ became[:3, :3].T + became[:3, 3], atol=1e-5) and len(scene.face) == 0
    assert np.abs(wall_of(scene.rgb) - xyz[:, [0, 2]]).max() < 0.03
    expected = tilted if own else np.array([0, -1, 0])  # towards the cameras
    assert np.allclose(scene.normal, expected @ became[:3, :3].T, atol=1e-3)


def test_what_the_files_do_not_say_is_asked_for(tmp_path):
    write_workspace(tmp_path / "in", views(POSES), WORLD)
    with pytest.raises(DataError, match="sparse: COLMAP's unit is arbitrary; give --scale"):
        read(tmp_path / "in", scale=None)
    with pytest.raises(DataError, match="sparse: COLMAP's world has no fixed up; give --up images"):
        read(tmp_path / "in", up=None)
    with pytest.raises(DataError, match="leave out --depth-unit: COLMAP's depth is in the unit of"):
        read(tmp_path / "in", depth_unit=0.001)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_a_scale_that_no_room_has_is_seen_by_the_points(tmp_path, binary, scale):
    write_workspace(tmp_path / "in", views(POSES), WORLD, binary=binary, depth=False)
    with pytest.raises(DataError, match=r"its points lie .* m before the cameras .* check --scale"):
        read(tmp_path / "in", scale=scale)
    shutil.copytree(tmp_path / "in", tmp_path / "without")
    for path in (tmp_path / "without" / "sparse").glob("points3D.*"):
        path.unlink()
    assert len(read(tmp_path / "without", scale=scale).frames) == 3  # nothing to tell it by


def test_a_reconstruction_that_fell_apart(tmp_path):
    for part in ("sparse/0", "sparse/1"):
        write_workspace(tmp_path / "in", views(POSES), WORLD, sparse=part)
    with pytest.raises(
        DataError, match="sparse: 2 models, the reconstruction fell apart; leave only the one"
    ):
        read(tmp_path / "in")


@pytest.mark.parametrize("binary", [False, True])
def test_other_camera_models_are_refused(tmp_path, binary):
    write_workspace(
        tmp_path / "in", views(POSES), WORLD, binary=binary, model="FULL_OPENCV", distortion=[0.1] * 8
    )
    with pytest.raises(
        DataError, match=r"cameras\.\w+: camera model FULL_OPENCV cannot .* image_undistorter"
    ):
        read(tmp_path / "in")


@pytest.mark.parametrize("binary", [False, True])
def test_a_fisheye_is_straightened(tmp_path, binary):
    bends = (-0.03, -0.006, 0.002, -0.0005)
    rendered = views(POSES, fisheye=bends)
    write_workspace(tmp_path / "in", rendered, WORLD, binary=binary, model="OPENCV_FISHEYE", distortion=bends)
    summary, frames, became = imported(tmp_path / "in", tmp_path / "out")
    assert summary.undistorted == len(frames) == 3
    for frame in frames:
        check_on_wall(frame, world=became)


def test_files_of_newer_versions_beside_the_model(tmp_path):
    write_workspace(tmp_path / "in", views(POSES), WORLD)
    for name in ("rigs.bin", "frames.bin", "project.ini"):
        (tmp_path / "in" / "sparse" / name).write_bytes(b"\1" + bytes(20))
    _, frames, became = imported(tmp_path / "in", tmp_path / "out")
    for frame in frames:
        check_on_wall(frame, world=became)


def test_images_that_are_counted_twice(tmp_path):
    write_workspace(tmp_path / "in", views(POSES), WORLD)
    path = tmp_path / "in" / "sparse" / "images.bin"
    path.write_bytes(struct.pack("<Q", 6) + path.read_bytes()[8:])
    with pytest.raises(DataError, match=r"images\.bin: not as COLMAP writes it .* export the model again"):
        read(tmp_path / "in")


def test_names_with_their_length_before_them(tmp_path):
    write_workspace(tmp_path / "in", views(POSES), WORLD)
    path = tmp_path / "in" / "sparse" / "images.bin"
    data = path.read_bytes()
    for name in (b"IMG_0000.png", b"IMG_0001.png", b"IMG_0002.png"):
        data = data.replace(name + b"\0", struct.pack("<I", len(name)) + name)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"images\.bin: not as COLMAP writes it .* export the model again"):
        read(tmp_path / "in")


def test_unknown_number_of_a_camera_model(tmp_path):
    write_workspace(tmp_path / "in", views(POSES), WORLD)
    (tmp_path / "in" / "sparse" / "cameras.bin").write_bytes(struct.pack("<QIiQQ", 1, 7, 99, 96, 64))
    with pytest.raises(DataError, match="camera model number 99 cannot"):
        read(tmp_path / "in")


@pytest.mark.parametrize("name", ["cameras", "images", "points3D"])
@pytest.mark.parametrize("count", [2**40, 2**63, 2**64 - 1])
def test_a_count_that_no_file_holds(tmp_path, name, count):
    write_workspace(tmp_path / "in", views(POSES), WORLD)
    path = tmp_path / "in" / "sparse" / f"{name}.bin"
    path.write_bytes(struct.pack("<Q", count) + path.read_bytes()[8:])
    with pytest.raises(
        DataError, match=rf"{name}\.bin: .*it says that {count:,} follow, and has [\d,]+ bytes"
    ):
        read(tmp_path / "in")


@pytest.mark.parametrize("name", ["cameras", "images", "points3D"])
@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
def test_truncated_binary_files(tmp_path, name, kept):
    write_workspace(tmp_path / "in", views(POSES), WORLD)
    path = tmp_path / "in" / "sparse" / f"{name}.bin"
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(
        DataError, match=rf"{name}\.bin: not as COLMAP writes it \(.*\); export the model again"
    ):
        read(tmp_path / "in")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cameras", "7 PINHOLE 96 64 80 80 47\n", "not as COLMAP writes it"),
        ("cameras", "7 PINHOLE\n", "not as COLMAP writes it"),
        ("cameras", "1 PINHOLE 96 64 80 80 47 33\n", r"IMG_0000\.png has camera 7, which is not there"),
        ("images", "20 1 0 0 0 0 0 0 7 a.png\n21 1 0 0 0 0 0 0 8 b.png\n", "no line of points, .* image 20"),
        ("images", "20 0 0 0 0 0 0 0 7 a.png\n\n", "not as COLMAP writes it"),
        ("images", "20 nan 0 0 0 0 0 0 7 IMG_0000.png\n\n", "IMG_0000.png: .*NaN|not as COLMAP writes it"),
        ("images", "20 1 0 0 0 0 0 0 7 none.png\n\n", r"images/none\.png: missing; link the images"),
        ("images", "# none\n", "sparse: no frame that can be taken"),
        ("points3D", "1 a b c\n", "not as COLMAP writes it"),
    ],
)  # fmt: skip
def test_bad_text_files(tmp_path, name, content, message):
    write_workspace(tmp_path / "in", views(POSES), WORLD, binary=False, depth=False)
    (tmp_path / "in" / "sparse" / f"{name}.txt").write_text(content)
    if name == "images":
        (tmp_path / "in" / "sparse" / "points3D.txt").unlink()
    with pytest.raises(DataError, match=message):
        read(tmp_path / "in")


def test_missing_files(tmp_path):
    with pytest.raises(
        DataError, match=r"sparse: no cameras\.bin or cameras\.txt; give the folder that holds"
    ):
        read(tmp_path)
    write_workspace(tmp_path / "in", views(POSES), WORLD, binary=False)
    (tmp_path / "in" / "sparse" / "images.txt").unlink()
    with pytest.raises(DataError, match=r"images\.txt: missing, as is the \.bin"):
        read(tmp_path / "in")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"96&64&1&" + bytes(100), "100 bytes for 96x64x1 numbers"),
        (b"96&64&3&" + bytes(4 * 3 * 96 * 64), "for 96x64x3 numbers"),
        (b"nothing", "no header width&height&channels&"),
    ],
)
def test_bad_depth_maps(tmp_path, content, message):
    write_workspace(tmp_path / "in", views(POSES[:2]), WORLD)
    (tmp_path / "in" / "stereo" / "depth_maps" / "IMG_0001.png.geometric.bin").write_bytes(content)
    with pytest.raises(
        DataError, match=rf"IMG_0001\.png\.geometric\.bin: not a readable depth map \(.*{message}"
    ):
        imported(tmp_path / "in", tmp_path / "out")


def test_depth_map_of_other_proportions_or_unit(tmp_path):
    write_workspace(tmp_path / "in", views(POSES[:2]), WORLD)
    path = tmp_path / "in" / "stereo" / "depth_maps" / "IMG_0001.png.geometric.bin"
    write_map(path, np.full((WIDTH, HEIGHT), 5.0))
    with pytest.raises(DataError, match="64x96, its image 96x64: turned or cropped"):
        imported(tmp_path / "in", tmp_path / "out")
    write_map(path, np.full((HEIGHT, WIDTH), 5000.0))
    with pytest.raises(DataError, match="half of it is beyond 2e"):
        imported(tmp_path / "in", tmp_path / "out")


def test_images_of_other_proportions(tmp_path):
    write_workspace(tmp_path / "in", views(POSES), WORLD)
    Image.new("RGB", (64, 64)).save(tmp_path / "in" / "images" / "IMG_0002.png")
    why = "image of another shape than its intrinsics"
    assert read(tmp_path / "in").left_out == (LeftOut("IMG_0002.png", why),)
    Image.new("RGB", (64, 64)).save(tmp_path / "in" / "images" / "IMG_0001.png")
    with pytest.raises(DataError, match=r"IMG_0001\.png: 64x64 pixels, the intrinsics are of 96x64"):
        read(tmp_path / "in")
