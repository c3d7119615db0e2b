"""The reader of scans in plain files.

What people report of other readers of such: frames that were written from Polycam's cameras as they are
(OpenMask3D/openmask3d, issue 16), depth that was stretched to 0..65535 image by image
(pengsongyou/openscene, issue 73: both in test_contradictions.py); depth smaller than colour
(openmask3d, issue 14).
"""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anyscene.datasets import cloud_from_depth, depth_votes, ply
from anyscene.datasets.raw_files import natural
from anyscene.datasets.rgbd import Rgbd
from anyscene.errors import DataError
from anyscene.project import store
from anyscene.scene import LeftOut
from tests.builders.capture import HEIGHT, WIDTH, grid, write_ply, write_scan, write_splits


@pytest.fixture
def root(tmp_path):
    write_scan(tmp_path, "a", frames=3)
    return tmp_path


def read(root, scene="a"):
    return Rgbd(root, "test").read(scene)


def test_reads_what_was_written(root):
    scene = read(root)
    xyz, face = grid(6)
    assert np.array_equal(scene.xyz, xyz) and np.array_equal(scene.face, face)
    assert scene.rgb.dtype == np.uint8 and scene.rgb.shape == (36, 3)
    assert np.allclose(np.abs(scene.normal), [0, 1, 0])
    assert [frame.id for frame in scene.frames] == ["0", "1", "2"]
    assert np.allclose(scene.frames[2].camera.pose[:3, 3], [0.7, 0, 0.5])
    assert np.allclose(scene.frames[0].read_depth(), 2.0) and scene.frames[0].read_depth().dtype == np.float32
    assert scene.frames[0].read_color().shape == (24, 32, 3)
    assert scene.frames[0].read_color((16, 12)).shape == (12, 16, 3)


def test_frames_are_in_numeric_order_and_strided(tmp_path):
    write_scan(tmp_path, "a", frames=12)
    assert [f.id for f in Rgbd(tmp_path, "test", stride=5).read("a").frames] == ["0", "5", "10"]


def test_names_are_in_the_order_of_their_numbers():
    ids = ["b2", "10", "a-10", "2", "a-9-1", "a-9", "02", "a"]
    assert sorted(ids, key=natural) == ["02", "2", "10", "a", "a-9", "a-9-1", "a-10", "b2"]


def test_without_splits_every_scene_is_val(root):
    write_scan(root, "b")
    assert Rgbd(root, "test").splits() == {"a": "val", "b": "val"}


def test_splits_are_read(root):
    write_splits(root, ["a"], ["b"])
    assert Rgbd(root, "test").splits() == {"a": "train", "b": "val"}


def test_scene_in_both_splits_is_refused(root):
    write_splits(root, ["a"], ["a"])
    with pytest.raises(DataError, match=r": scene a is in train\.txt and in val\.txt; keep it in one"):
        Rgbd(root, "test").splits()


def test_no_scenes(tmp_path):
    with pytest.raises(DataError, match="no scenes; each is a folder with color/"):
        Rgbd(tmp_path, "test").splits()
    with pytest.raises(DataError, match=r"none: no such folder; dataset\.root must hold the scans"):
        Rgbd(tmp_path / "none", "test").splits()


def test_key_changes_with_every_file_read_but_not_with_annotation(root):
    dataset = Rgbd(root, "test")
    key, truth = dataset.keys()["a"], dataset.truth_keys()["a"]
    np.save(root / "a" / "truth" / "vertex_label.npy", np.ones(36, np.int16))
    assert dataset.keys()["a"] == key and dataset.truth_keys()["a"] != truth
    for file in ("color/1.png", "depth/1.png"):
        with Image.open(root / "a" / file) as image:
            changed = np.asarray(image).copy()
        changed.flat[0] += 1
        Image.fromarray(changed).save(root / "a" / file)
        assert dataset.keys()["a"] != key
        key = dataset.keys()["a"]
    pose = np.loadtxt(root / "a" / "pose" / "0.txt")
    np.savetxt(root / "a" / "pose" / "0.txt", pose + np.eye(4, k=3) * 0.01)
    assert dataset.keys()["a"] != key


def test_key_depends_on_the_split(root):
    before = Rgbd(root, "test").keys()["a"]
    write_splits(root, ["a"], [])
    assert Rgbd(root, "test").keys()["a"] != before


def break_pose(folder):
    np.savetxt(folder / "pose" / "1.txt", np.full((4, 4), np.nan))


def singular_pose(folder):
    np.savetxt(folder / "pose" / "1.txt", np.diag([1, 1, 0, 1]))


def scaled_pose(folder):
    np.savetxt(folder / "pose" / "1.txt", np.diag([1.1, 1.1, 1.1, 1]))


def mirrored_pose(folder):
    np.savetxt(folder / "pose" / "1.txt", np.diag([1, 1, -1, 1]))


def three_by_four_pose(folder):
    np.savetxt(folder / "pose" / "1.txt", np.eye(4)[:3])


def words_for_pose(folder):
    (folder / "pose" / "1.txt").write_text("lost\n")


def no_pose(folder):
    (folder / "pose" / "1.txt").unlink()


def no_intrinsics(folder):
    (folder / "intrinsics.txt").unlink()


def negative_focal(folder):
    np.savetxt(folder / "intrinsics.txt", np.diag([-1, 1, 1]))


def no_depth_of_one(folder):
    (folder / "depth" / "1.png").unlink()


def small_depth(folder):
    Image.fromarray(np.ones((12, 16), np.uint16)).save(folder / "depth" / "1.png")


def duplicate_frame(folder):
    Image.new("RGB", (32, 24)).save(folder / "color" / "1.jpg")


def not_an_image(folder):
    (folder / "color" / "1.png").write_bytes(b"\x89PNG broken")


def empty_color(folder):
    for file in (folder / "color").iterdir():
        file.unlink()


def face_beyond(folder):
    xyz, face = grid(3)
    face[2, 1] = 9
    write_ply(folder / "mesh.ply", xyz, np.zeros((9, 3), np.uint8), face)


def empty_mesh(folder):
    write_ply(folder / "mesh.ply", np.zeros((0, 3)), np.zeros((0, 3), np.uint8), np.zeros((0, 3), int))


def nan_vertex(folder):
    xyz, face = grid(3)
    xyz[4] = np.nan
    write_ply(folder / "mesh.ply", xyz, np.zeros((9, 3), np.uint8), face)


def truncated_mesh(folder):
    data = (folder / "mesh.ply").read_bytes()
    (folder / "mesh.ply").write_bytes(data[: len(data) - 40])


def mesh_elsewhere_without_colours(folder):
    axes = "".join(f"property float {axis}\n" for axis in "xyz")
    text = f"ply\nformat ascii 1.0\nelement vertex 1\n{axes}end_header\n0 -9 0\n"
    (folder / "mesh.ply").write_text(text)


def odd_capture(folder):
    (folder / "capture.json").write_text('{"depthscale": 1}')


def zero_scale(folder):
    (folder / "capture.json").write_text('{"depth_scale": 0}')


def metres_as_floats(folder):
    (folder / "depth" / "1.png").unlink()
    Image.fromarray(np.full((24, 32), 2, np.float32)).save(folder / "depth" / "1.png", "TIFF")


def picture_of_depth(folder):
    Image.fromarray(np.full((24, 32), 99, np.uint8)).save(folder / "depth" / "1.png")


def coloured_depth(folder):
    Image.fromarray(np.full((24, 32, 3), 99, np.uint8)).save(folder / "depth" / "1.png")


def empty_depth(folder):
    (folder / "depth" / "1.png").write_bytes(b"")


def depth_in_metres(folder):
    for file in (folder / "depth").iterdir():
        Image.fromarray(np.full((24, 32), 2, np.uint16)).save(file)


def depth_in_tenths_of_millimetres(folder):
    (folder / "capture.json").write_text('{"depth_scale": 10}')


def upright_image(folder):
    """Write a frame of a video that was turned half way."""
    Image.new("RGB", (24, 32)).save(folder / "color" / "1.png")
    Image.fromarray(np.full((32, 24), 2000, np.uint16)).save(folder / "depth" / "1.png")


def larger_images(folder):
    for file in (folder / "color").iterdir():
        Image.new("RGB", (64, 48)).save(file)
    (folder / "capture.json").write_text('{"depth_size": [32, 24]}')


def empty_pose(folder):
    (folder / "pose" / "1.txt").write_text("")


def empty_image(folder):
    (folder / "color" / "1.png").write_bytes(b"")


def list_capture(folder):
    (folder / "capture.json").write_text("[1]")


def crop_depth(folder):
    """Depth of a camera of its own, as Azure Kinect's is before it is registered."""
    Image.fromarray(np.full((24, 24), 2000, np.uint16)).save(folder / "depth" / "1.png")
    (folder / "capture.json").write_text('{"depth_size": [[32, 24], [24, 24]]}')


def cut_image(folder):
    file = folder / "color" / "1.png"
    file.write_bytes(file.read_bytes()[:-200])


def cut_depth(folder):
    Image.fromarray(np.random.default_rng(0).integers(1900, 2100, (24, 32)).astype(np.uint16)).save(
        folder / "depth" / "1.png"
    )
    file = folder / "depth" / "1.png"
    file.write_bytes(file.read_bytes()[:-200])


FRAMES = [
    (break_pose, "no pose", r"a/pose/1\.txt: camera pose contains NaN or infinity; leave the frame out"),
    (singular_pose, "pose not rigid", r"a/pose/1\.txt.*singular or not rigid.*R a rotation"),
    (scaled_pose, "pose not rigid", r"a/pose/1\.txt.*not rigid"),
    (mirrored_pose, "pose not rigid", r"a/pose/1\.txt.*not rigid"),
    (three_by_four_pose, "pose not of 4x4 numbers", r"/1\.txt: expected 4x4 numbers, one row a line"),
    (words_for_pose, "pose not of 4x4 numbers", r"a/pose/1\.txt: not a matrix of numbers"),
    (empty_pose, "no pose", r"a/pose/1\.txt: expected 4x4 numbers"),
    (no_pose, "no pose", r"^[^:]*a/pose/1\.txt: missing; add it or delete the frame$"),
    (no_depth_of_one, "no depth", r"a/depth/1\.png: missing; add the depth"),
    (small_depth, "depth of another size", r"a/depth/1\.png: depth is 16x12, expected 32x24; register it"),
    (
        crop_depth,
        "depth of another shape than its image",
        r"a/depth/1\.png: depth is 24x24, its image 32x24: turned, cropped or of a camera of its own",
    ),
    (not_an_image, "image not readable", r"a/color/1\.png: not a readable image"),
    (empty_image, "image not readable", r"a/color/1\.png: not a readable image"),
    (cut_image, "image not readable", r"a/color/1\.png: not a readable image \(.*truncated"),
    (
        metres_as_floats,
        "depth not in steps of 16 bits",
        r"a/depth/1\.png: pixels of mode F, .*metres as floats; export 16-bit PNG",
    ),
    (
        picture_of_depth,
        "depth not in steps of 16 bits",
        r"a/depth/1\.png: pixels of mode L, a picture of depth .*export 16-bit PNG",
    ),
    (
        coloured_depth,
        "depth not in steps of 16 bits",
        r"a/depth/1\.png: pixels of mode RGB, a picture of depth",
    ),
    (empty_depth, "depth not readable", r"a/depth/1\.png: not a readable depth image .*export it again"),
    (cut_depth, "depth not readable", r"a/depth/1\.png: not a readable depth image \(.*truncated"),
    (
        upright_image,
        "image of another shape than its intrinsics",
        r"a/intrinsics\.txt: centre \(15\.5, 11\.5\) is not near .*1\.png \(24x32\); give",
    ),
]


@pytest.mark.parametrize(("damage", "why"), [case[:2] for case in FRAMES])
def test_a_damaged_frame_is_left_out(root, damage, why):
    damage(root / "a")
    scene = read(root)
    assert scene.lost == (LeftOut("1", why),) and [frame.id for frame in scene.frames] == ["0", "2"]


@pytest.mark.parametrize(("damage", "message"), [(case[0], case[2]) for case in FRAMES])
def test_damage_of_the_only_frame_is_named(root, damage, message):
    for name, ending in (("color", "png"), ("depth", "png"), ("pose", "txt")):
        for index in (0, 2):
            (root / "a" / name / f"{index}.{ending}").unlink()
    damage(root / "a")
    with pytest.raises(DataError, match=message):
        read(root)


def test_as_many_damaged_frames_as_whole_ones_are_an_error(tmp_path):
    """Of four frames, of which others lack a pose or depth, which recordings often do."""
    folder = write_scan(tmp_path, "a", frames=6)
    (folder / "pose" / "4.txt").unlink()
    (folder / "depth" / "5.png").unlink()
    for index in (0, 2):
        np.savetxt(folder / "pose" / f"{index}.txt", np.zeros((4, 4)))
        if index == 0:
            lost = [("0", "pose not rigid"), ("4", "no pose"), ("5", "no depth")]
            assert [(frame.id, frame.why) for frame in read(tmp_path).lost] == lost
    with pytest.raises(DataError, match=r"pose/0\.txt: .* not rigid .*\(as 2 of 6 frames\)$"):
        read(tmp_path)


def test_hidden_files_are_no_frames(root):
    for name in ("color", "depth"):
        (root / "a" / name / "._1.png").write_bytes(b"\0\5\26\7" + b"\0" * 100)
    scene = read(root)
    assert scene.lost == () and len(scene.frames) == 3


def test_what_lies_behind_the_end_of_an_image_does_no_harm(root):
    file = root / "a" / "color" / "1.png"
    file.write_bytes(file.read_bytes() + b"left by a phone")
    assert read(root).lost == ()


def test_depth_of_several_sizes(root):
    Image.fromarray(np.full((12, 16), 2000, np.uint16)).save(root / "a" / "depth" / "1.png")
    (root / "a" / "capture.json").write_text('{"depth_size": [[32, 24], [16, 12]]}')
    assert [frame.read_depth().shape for frame in read(root).frames] == [(24, 32), (12, 16), (24, 32)]


@pytest.mark.parametrize("size", ["[32]", "32", "[[32, 24], 16]", "[[32, 24], [16.0, 12]]", '["32", "24"]'])
def test_what_is_no_size_of_depth(root, size):
    (root / "a" / "capture.json").write_text(f'{{"depth_size": {size}}}')
    with pytest.raises(DataError, match=r"capture\.json: depth_size must be \[width, height\], or a list"):
        read(root)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (no_intrinsics, r"a/intrinsics\.txt: missing; write the 3x3"),
        (negative_focal, r"a/intrinsics\.txt: focal lengths must be positive"),
        (duplicate_frame, r"a/color/1\.png: frame id 1 is also 1\.jpg; delete one of them"),
        (empty_color, r"a/color: no colour images"),
        (face_beyond, r"a/mesh\.ply: face 2 names vertex 9, but there are 9"),
        (empty_mesh, r"a/mesh\.ply: the mesh is empty"),
        (nan_vertex, r"a/mesh\.ply: vertex 4 is NaN or infinite"),
        (truncated_mesh, r"a/mesh\.ply: not a readable PLY mesh"),
        (mesh_elsewhere_without_colours, r"a/mesh\.ply: has no colours, and the frames see 0 % of it"),
        (odd_capture, r"a/capture\.json: unknown key 'depthscale'; known: depth_scale, depth_size"),
        (zero_scale, r"a/capture\.json: depth_scale must be 1e-09 to"),
        (depth_in_metres, r"a/depth/0\.png: half of it is beyond 0\.002 m at 1000 steps .*capture\.json"),
        (depth_in_tenths_of_millimetres, r"a/depth/0\.png: half of it is beyond 200 m at 10 steps"),
        (larger_images, r"a/intrinsics\.txt: centre .* is not near .*0\.png \(64x48\); give the intrinsics"),
        (list_capture, r"a/capture\.json: unknown key|a/capture\.json: not a JSON object"),
    ],
)
def test_damage_is_named(root, damage, message):
    damage(root / "a")
    with pytest.raises(DataError, match=message):
        read(root)


@pytest.mark.parametrize("scene", ["x/y", "..", "", "missing"])
def test_unusable_ids_become_errors_among_the_keys(root, scene):
    write_splits(root, ["a"], [])
    (root / "splits" / "val.txt").write_text(f"{scene}\n")
    keys = Rgbd(root, "test").keys()
    assert isinstance(keys["a"], str)
    assert scene == "" or isinstance(keys[scene], DataError)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("locked", ["a", "a/pose"])
def test_unreadable_folders_become_errors_among_the_keys(root, monkeypatch, locked):
    shutil.rmtree(root / "splits", ignore_errors=True)
    write_scan(root, "z")
    (root / locked).chmod(0)
    root.chmod(0o755)
    monkeypatch.chdir(root)
    os.seteuid(65534)
    try:
        keys = Rgbd(Path("."), "test").keys()
    finally:
        os.seteuid(0)
    assert isinstance(keys["z"], str)
    assert re.search(rf"{locked}.*cannot be read \(Permission denied\); check its perm", str(keys["a"]))


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_an_image_that_was_cut_short_is_left_out(root, kind):
    (root / "a" / "color" / "1.png").unlink()
    file = root / "a" / "color" / f"1.{kind}"
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    Image.fromarray(noise).save(file)
    assert read(root).lost == ()
    file.write_bytes(file.read_bytes()[:-500])
    assert read(root).lost == (LeftOut("1", "image not readable"),)


@pytest.mark.parametrize("name", ["color", "depth"])
def test_damage_within_a_file_is_named_when_its_pixels_are_read(root, name):
    """It ends as a whole one does, so that it is not decoded before."""
    noise = np.random.default_rng(0).integers(0, 9000, (24, 32)).astype(np.uint16)
    file = root / "a" / name / "1.png"
    Image.fromarray(noise if name == "depth" else noise.astype(np.uint8)).save(file)
    data = file.read_bytes()
    file.write_bytes(data[:200] + data[400:])
    frame = read(root).frames[1]
    with pytest.raises(DataError, match=rf"a/{name}/1\.png: not a readable (depth )?image"):
        frame.read_depth() if name == "depth" else frame.read_color()


def test_smaller_depth_is_fine_where_capture_says_so(root):
    for file in (root / "a" / "depth").iterdir():
        Image.fromarray(np.full((12, 16), 500, np.uint16)).save(file)
    (root / "a" / "capture.json").write_text(json.dumps({"depth_scale": 250, "depth_size": [16, 12]}))
    frame = read(root).frames[0]
    assert np.array_equal(frame.read_depth((32, 24)), np.full((24, 32), 2, np.float32))


def test_intrinsics_of_each_frame_win(root):
    (root / "a" / "intrinsics").mkdir()
    np.savetxt(root / "a" / "intrinsics" / "1.txt", [[50.0, 0, 15], [0, 50, 12], [0, 0, 1]])
    frames = read(root).frames
    assert [frame.camera.intrinsics[0, 0] for frame in frames] == [30, 50, 30]


def test_scene_survives_the_store(root, tmp_path):
    scene = read(root)
    group = store.create(tmp_path / "a.zarr", "key")
    store.write_scene(group, scene, root)
    again = store.read_scene(tmp_path / "a.zarr", root)
    assert (again.id, again.split, again.dataset) == ("a", "val", "test")
    for name in ("xyz", "rgb", "normal", "face"):
        assert np.array_equal(getattr(again, name), getattr(scene, name))
    assert [f.color for f in again.frames] == [f.color for f in scene.frames]
    assert np.array_equal(again.frames[1].camera.pose, scene.frames[1].camera.pose)
    assert str(root) not in json.dumps(dict(group.attrs))


def test_truth_of_another_length_is_refused(root):
    np.save(root / "a" / "truth" / "vertex_instance.npy", np.zeros(5, np.int32))
    with pytest.raises(DataError, match="5 instances for 36 labels; export both from one mesh"):
        Rgbd(root, "test").read_truth("a")


def test_annotation_of_a_frame_is_an_image_of_bytes(root):
    folder = root / "a" / "truth" / "frame"
    folder.mkdir()
    Image.fromarray(np.ones((24, 32), np.uint16)).save(folder / "0.png")
    with pytest.raises(DataError, match=r"0\.png: expected one byte per pixel, not uint16\[24, 32\]"):
        Rgbd(root, "test").read_frame_truth("a", "0")
    Image.new("RGB", (32, 24)).save(folder / "0.png")
    with pytest.raises(DataError, match=r"0\.png: expected one byte per pixel, not uint8\[24, 32, 3\]"):
        Rgbd(root, "test").read_frame_truth("a", "0")
    (folder / "0.png").write_bytes((folder / "0.png").read_bytes()[:40])
    with pytest.raises(DataError, match=r"0\.png: not a readable image \(.*\); write it again or delete it"):
        Rgbd(root, "test").read_frame_truth("a", "0")


def test_a_scan_without_images_or_that_is_not_there(root):
    with pytest.raises(DataError, match="b: no such folder; take b off the split or add its scan"):
        read(root, "b")
    shutil.rmtree(root / "a" / "color")
    with pytest.raises(DataError, match="a/color: no such folder; the scan's images belong there"):
        read(root)


def test_truth_must_be_integers(root):
    np.save(root / "a" / "truth" / "vertex_label.npy", np.zeros(36))
    with pytest.raises(DataError, match="expected one integer per vertex, not float64"):
        Rgbd(root, "test").read_truth("a")


@pytest.mark.parametrize("value", [65535, 60000])
def test_the_largest_value_and_what_is_too_far_are_no_reading(tmp_path, value):
    """65535 is what Kinect and 7-Scenes write where there is none; 60 m is beyond any sensor."""
    folder = write_scan(tmp_path, "a", mesh=False)
    for file in (folder / "depth").iterdir():
        depth = np.full((24, 32), 2000, np.uint16)
        depth[:5] = value
        Image.fromarray(depth).save(file)
    scene = Rgbd(tmp_path, "test", voxel=0.05).read("a")
    assert np.allclose(scene.xyz[:, 1], 2, atol=1e-5)
    assert (scene.frames[0].read_depth()[:5] == (0 if value == 65535 else 60)).all()
    (folder / "capture.json").write_text('{"depth_scale": 10000}')
    assert np.allclose(Rgbd(tmp_path, "test").read("a").xyz[:, 1].min(), 0.2, atol=1e-5)
    if value == 60000:  # 6 m are within the range of a sensor
        assert Rgbd(tmp_path, "test").read("a").xyz[:, 1].max() > 5


def test_the_range_of_a_sensor_is_a_parameter(tmp_path):
    folder = write_scan(tmp_path, "a", mesh=False)
    for file in (folder / "depth").iterdir():
        depth = np.full((24, 32), 2000, np.uint16)
        depth[:5] = 9000
        Image.fromarray(depth).save(file)
    assert Rgbd(tmp_path, "test").read("a").xyz[:, 1].max() == pytest.approx(9)
    assert Rgbd(tmp_path, "test", farthest=8.0).read("a").xyz[:, 1].max() == pytest.approx(2)


def test_a_reading_beyond_the_range_sees_past_nothing(tmp_path):
    """Two of three frames read 9 m where a wall is, one reads the wall: two votes against it, unless 9 m is
    beyond the sensor."""
    folder = write_scan(tmp_path, "a", mesh=False)
    for index in (0, 1):
        Image.fromarray(np.full((24, 32), 9000, np.uint16)).save(folder / "depth" / f"{index}.png")
    at_wall = [
        np.count_nonzero(Rgbd(tmp_path, "test", farthest=far).read("a").xyz[:, 1] < 3) for far in (50.0, 8.0)
    ]
    assert at_wall[0] < 100 and at_wall[1] > 500


def test_points_come_from_depth_without_a_mesh(tmp_path):
    write_scan(tmp_path, "a", mesh=False)
    scene = Rgbd(tmp_path, "test", voxel=0.05).read("a")
    assert len(scene.face) == 0 and len(scene.xyz) > 500
    assert np.allclose(scene.xyz[:, 1], 2, atol=1e-5)
    assert np.allclose(scene.normal, [0, -1, 0], atol=1e-4)  # towards the cameras
    assert len(np.unique(np.floor(scene.xyz[:, [0, 2]] / 0.05 + 1e-6), axis=0)) > 0.95 * len(scene.xyz)


def test_cells_of_the_cloud_are_of_one_size_on_both_sides_of_zero(tmp_path):
    folder = write_scan(tmp_path, "a", mesh=False, frames=1)
    pose = np.loadtxt(folder / "pose/0.txt")
    pose[:3, 3] = 0  # the middle of the image falls on x = z = 0, between two pixels 67 mm apart
    np.savetxt(folder / "pose/0.txt", pose)
    frames = Rgbd(tmp_path, "test").read("a").frames
    xyz, _, _ = cloud_from_depth.from_frames(frames, 0.06)
    assert len(xyz) == WIDTH * HEIGHT


@pytest.mark.parametrize("scene", ["../x", "a/../a", "", ".", ".."])
def test_ids_that_lead_elsewhere_are_refused(root, scene):
    with pytest.raises(DataError, match="cannot name a folder"):
        read(root, scene)


def test_back_projection_hits_the_pixel_again(root):
    frame = read(root).frames[1]
    xyz, _ = cloud_from_depth.back_project(frame)
    camera = frame.camera
    local = (xyz - camera.pose[:3, 3]) @ camera.pose[:3, :3]
    pixel = local @ camera.intrinsics.T
    row, column = np.nonzero(np.ones((24, 32)))
    assert np.allclose(pixel[:, :2] / pixel[:, 2:], np.stack([column, row], 1))


def test_without_mesh_and_depth_there_are_no_points(tmp_path):
    folder = write_scan(tmp_path, "a", mesh=False)
    for file in (folder / "depth").iterdir():
        file.unlink()
    (folder / "depth").rmdir()
    with pytest.raises(DataError, match=r"a/mesh\.ply: missing, and there are no depth maps"):
        Rgbd(tmp_path, "test").read("a")


def test_depth_without_readings(tmp_path):
    folder = write_scan(tmp_path, "a", mesh=False)
    for file in (folder / "depth").iterdir():
        Image.fromarray(np.zeros((24, 32), np.uint16)).save(file)
    with pytest.raises(DataError, match=r"depth/0\.png: has no reading"):
        Rgbd(tmp_path, "test").read("a")


def test_polygons_become_triangle_fans(tmp_path):
    head = "ply\nformat ascii 1.0\nelement vertex 5\n" + "".join(f"property float {n}\n" for n in "xyz")
    head += "".join(f"property uchar {n}\n" for n in ("red", "green", "blue"))
    head += "element face 2\nproperty list uchar int vertex_indices\nend_header\n"
    body = "".join(f"{i} {i * i} 0 1 2 3\n" for i in range(5)) + "4 0 1 2 3\n3 2 3 4\n"
    (tmp_path / "m.ply").write_text(head + body)
    face = ply.read_mesh(tmp_path / "m.ply")[3]
    assert face.tolist() == [[0, 1, 2], [0, 2, 3], [2, 3, 4]]


def test_points_without_faces_have_no_normals(tmp_path):
    xyz = np.eye(3, dtype=np.float32)
    write_ply(tmp_path / "m.ply", xyz, np.zeros((3, 3), np.uint8), np.zeros((0, 3), np.int32))
    read, _, normal, face = ply.read_mesh(tmp_path / "m.ply")
    assert np.array_equal(read, xyz) and face.shape == (0, 3)
    assert normal.dtype == np.float32 and not normal.any()


def write_depth(folder, frame, depth):
    Image.fromarray(np.rint(1000 * depth).astype(np.uint16)).save(folder / "depth" / f"{frame}.png")


def test_points_that_other_views_see_past_are_left_out(tmp_path):
    """A wall at 2 m: one of three views has a patch that flies before it, all see a pole one pixel wide."""
    folder = write_scan(tmp_path, "a", mesh=False, frames=3)
    for frame in range(3):
        depth = np.full((24, 32), 2.0)
        depth[:, 16 - round(0.1 * frame * 30 / 1.2)] = 1.2  # a pole at x = 0.5 + 0.02 m, y = 1.2 m
        if frame == 1:
            depth[4:8, 4:8] = 1.6
        write_depth(folder, frame, depth)
    xyz = Rgbd(tmp_path, "test", voxel=0.02).read("a").xyz
    y = np.round(xyz[:, 1], 2)
    assert np.count_nonzero(y == 1.2) >= 24 and np.count_nonzero(y == 2) > 500
    assert set(y.tolist()) == {np.float32(1.2), np.float32(2.0)}


def test_one_view_alone_is_believed(tmp_path):
    folder = write_scan(tmp_path, "a", mesh=False, frames=1)
    depth = np.full((24, 32), 2.0)
    depth[4:8, 4:8] = 1.6
    write_depth(folder, 0, depth)
    xyz = Rgbd(tmp_path, "test", voxel=0.01).read("a").xyz
    assert len(xyz) == 24 * 32 and np.count_nonzero(xyz[:, 1] < 1.8) == 16


def test_pixels_without_a_reading_say_nothing(tmp_path):
    folder = write_scan(tmp_path, "a", mesh=False, frames=3)
    write_depth(folder, 0, np.full((24, 32), 2.0))
    for frame in (1, 2):
        one = np.zeros((24, 32))
        one[12, 16] = 2.0
        write_depth(folder, frame, one)
    assert 0 <= len(Rgbd(tmp_path, "test", voxel=0.01).read("a").xyz) - 24 * 32 <= 2


def test_what_most_views_see_past_goes(tmp_path):
    folder = write_scan(tmp_path, "a", mesh=False, frames=9)
    for frame in range(9):
        write_depth(folder, frame, np.full((24, 32), 1.0 + 0.3 * frame))
    y = Rgbd(tmp_path, "test", voxel=0.02).read("a").xyz[:, 1]
    assert np.median(y) > 3  # but for the rims, the farthest alone: one view sees past it, one sees it


def test_votes_equal_a_plain_count(tmp_path):
    """Over random depth, pixel by pixel in Python."""
    rng = np.random.default_rng(0)
    folder = write_scan(tmp_path, "a", mesh=False, frames=4)
    for frame in range(4):
        blocks = rng.choice([0.0, 1.0, 1.04, 1.5, 2.0], (4, 4))
        write_depth(folder, frame, np.kron(blocks, np.ones((6, 8))))
    frames = read(tmp_path).frames
    xyz = rng.uniform((-1, 0.5, -0.5), (2, 3, 1.5), (400, 3)).astype(np.float32)
    expected = []
    for point in xyz.astype(float):
        balance = 0
        for frame in frames:
            x, y, z = (point - frame.camera.pose[:3, 3]) @ frame.camera.pose[:3, :3]
            k = frame.camera.intrinsics
            column, row = np.rint([x / z * k[0, 0] + k[0, 2], y / z * k[1, 1] + k[1, 2]]).astype(int)
            if 0 <= column < 32 and 0 <= row < 24:
                around = frame.read_depth()[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
                around = around[around > 0]
                seen = (abs(around - z) <= depth_votes.TOLERANCE * z).any()
                balance += 1 if seen else -1 if len(around) and (around > z).all() else 0
        expected.append(balance >= 0)
    assert np.array_equal(depth_votes.supported(xyz, frames), expected) and 40 < sum(expected) < 380


@pytest.mark.parametrize(
    ("file", "value", "said"),
    [
        ("vertex_label.npy", 65539, r"vertex_label\.npy: 65539 is no whole number in -32768\.\.32767"),
        ("vertex_instance.npy", 2**32 + 1, r"vertex_instance\.npy: 4294967297 is no whole number"),
    ],
)
def test_numbers_beyond_their_type_are_not_taken_for_others(root, file, value, said):
    """65539 would be the label 3, and 4294967297 the instance 1."""
    np.save(root / "a" / "truth" / file, np.full(36, value))
    with pytest.raises(DataError, match=said):
        Rgbd(root, "test").read_truth("a")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[1]", r"capture\.json: not a JSON object \("),
        (b'{"up": "\xfcber"}', r"line 1 is not UTF-8 \(byte 0xfc\); save it as UTF-8"),
        (b'{"world": [[1e400, 1, 1]]}', "world must be 4x4 numbers"),
        (b'{"remarks": "one"}', "remarks must be a list of texts"),
        (b'{"remarks": [1]}', "remarks must be a list of texts"),
    ],
)
def test_a_capture_json_of_another_kind(root, content, said):
    (root / "a" / "capture.json").write_bytes(content)
    with pytest.raises(DataError, match=said):
        Rgbd(root, "test").read("a")


# ---------------------------------------------------------------------------------- of other files


@pytest.mark.parametrize("ending", ["tiff", "tif", "webp", "bmp"])
def test_images_of_other_forms_are_frames_too(tmp_path, ending):
    folder = write_scan(tmp_path, "a")
    path = folder / "color" / "1.png"
    with Image.open(path) as image:
        image.save(path.with_suffix(f".{ending}"))
    path.unlink()
    assert [frame.id for frame in Rgbd(tmp_path, "test").read("a").frames] == ["0", "1", "2"]


def test_depth_in_tiff_is_read(tmp_path):
    folder = write_scan(tmp_path, "a")
    for path in sorted((folder / "depth").iterdir()):
        with Image.open(path) as image:
            image.save(path.with_suffix(".tiff"))
        path.unlink()
    assert Rgbd(tmp_path, "test").read("a").frames[1].read_depth().max() == 2


@pytest.mark.parametrize("ending", ["exr", "heic", "npy"])
def test_images_of_a_form_that_is_not_read_are_named(tmp_path, ending):
    folder = write_scan(tmp_path, "a")
    (folder / "color" / f"7.{ending}").write_bytes(b"?")
    with pytest.raises(DataError, match=rf"color/7\.{ending}: images of this form are not read .*as a PNG"):
        Rgbd(tmp_path, "test").read("a")


def test_images_of_another_size_are_left_out_where_intrinsics_are_shared(tmp_path):
    folder = write_scan(tmp_path, "a", frames=5)
    for kind in ("color", "depth"):
        path = folder / kind / "3.png"
        with Image.open(path) as image:
            larger = image.resize((40, 30))
        larger.save(path)
    scene = Rgbd(tmp_path, "test").read("a")
    why = "image of another size than others that share its intrinsics"
    assert scene.lost == (LeftOut("3", why),) and len(scene.frames) == 4
    (folder / "intrinsics").mkdir()
    matrix = [[37.5, 0, 19.5], [0, 37.5, 14.5], [0, 0, 1]]
    np.savetxt(folder / "intrinsics" / "3.txt", matrix)
    assert not Rgbd(tmp_path, "test").read("a").lost


def test_depth_maps_without_a_reading_are_left_out(tmp_path):
    folder = write_scan(tmp_path, "a", frames=5)
    for k, value in ((1, 0), (2, 65535)):
        Image.fromarray(np.full((HEIGHT, WIDTH), value, np.uint16)).save(folder / "depth" / f"{k}.png")
    scene = Rgbd(tmp_path, "test").read("a")
    assert scene.lost == (LeftOut("1", "depth without a reading"), LeftOut("2", "depth without a reading"))
    for k in (0, 3):
        Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint16)).save(folder / "depth" / f"{k}.png")
    with pytest.raises(DataError, match=r"depth/0\.png: has no reading.*\(as 4 of 5 frames\)"):
        Rgbd(tmp_path, "test").read("a")


def test_images_that_exif_turns_on_their_side_are_named(tmp_path):
    folder = write_scan(tmp_path, "a")
    for path in (folder / "color").iterdir():
        turned = Image.open(path).transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[0x0112] = 6
        turned.save(path, exif=exif)
    with pytest.raises(DataError, match=r"expected 24x32; the EXIF orientation of \S+ turns it on its side"):
        Rgbd(tmp_path, "test").read("a")
