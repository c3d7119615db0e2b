"""The reader of nuScenes on miniature drives.

What people report of them: the metadata of lidarseg was unpacked alone (nutonomy/nuscenes-devkit, issues 763
and 849); tables name drives of parts that were not downloaded (issues 664 and 1148); mini beside trainval
(mrnabati/CenterFusion, issue 62).
"""

import shutil

import numpy as np
import pytest
from PIL import Image

from anyscene.datasets import label_set
from anyscene.datasets.nuscenes import reader, tables
from anyscene.datasets.nuscenes.reader import NuScenes
from anyscene.errors import DataError
from tests.builders.nuscenes import (
    CAMERAS,
    CATEGORIES,
    INTERVAL,
    INTRINSICS,
    MOUNTS,
    OWN,
    SIZE,
    START,
    camera_time,
    edit,
    ego,
    into,
    sweep,
    token,
    world,
    write_root,
)

TRAIN, VAL, TEST = "scene-0061", "scene-0103", "scene-0077"
RELEASE = "v1.0-mini"
HEAD = "index,name,nuscenes_category,prompt,red,green,blue,foreground\n"
POINTS = len(world(0)[0]) + len(OWN)  # of a sweep


@pytest.fixture
def root(tmp_path):
    return write_root(tmp_path / "nuscenes", VAL, TRAIN)


def read(root, scene=f"{VAL}_02", **options):
    return NuScenes(root, "test", **options).read(scene)


def key_time(index=2):
    return START + index * INTERVAL


def lidar_file(root, time, kind="samples"):
    return root / f"{kind}/LIDAR_TOP/{VAL}__LIDAR_TOP__{time}.pcd.bin"


def image_file(root, channel="CAM_FRONT", index=2):
    time = camera_time(key_time(index), list(CAMERAS).index(channel))
    return root / f"samples/{channel}/{VAL}__{channel}__{time}.jpg"


def test_official_splits():
    splits = reader.official_splits()
    assert [list(splits.values()).count(n) for n in ("train", "val", "test")] == [700, 150, 150]
    assert (splits[TRAIN], splits[VAL], splits[TEST]) == ("train", "val", "test")
    mini_train = [61, 553, 655, 757, 796, 1077, 1094, 1100]
    assert [n for n in mini_train if splits[f"scene-{n:04}"] != "train"] == [553, 796]
    assert {splits["scene-0103"], splits["scene-0916"]} == {"val"}


def test_keyframes_are_scenes_with_the_split_of_their_drive(root):
    dataset = NuScenes(root, "test")
    assert dataset.splits() == {f"{TRAIN}_{k:02d}": "train" for k in range(3)} | {
        f"{VAL}_{k:02d}": "val" for k in range(3)
    }
    assert sorted(dataset.truth_keys()) == sorted(dataset.keys()) == list(dataset.splits())
    assert (dataset.read(f"{TRAIN}_01").split, dataset.read(f"{TRAIN}_01").dataset) == ("train", "test")
    assert dataset.read_frame_truth(f"{VAL}_00", "CAM_FRONT") is None


def test_stride_counts_keyframes(root):
    dataset = NuScenes(root, "test", stride=2)
    assert list(dataset.splits()) == [f"{TRAIN}_00", f"{TRAIN}_02", f"{VAL}_00", f"{VAL}_02"]
    assert len(dataset.read(f"{VAL}_02").frames) == 6


def test_drives_in_no_list_are_an_error_until_one_lists_them(tmp_path):
    root = write_root(tmp_path, VAL, "scene-9999", keyframes=1)
    keys = NuScenes(root, "test").keys()
    assert isinstance(keys[f"{VAL}_00"], str)
    assert "scene-9999 is in none of nuScenes' official splits" in str(keys["scene-9999_00"])
    (root / "splits").mkdir()
    (root / "splits" / "test.txt").write_text("scene-9999\nscene-0000\n")
    dataset = NuScenes(root, "test")
    keys = dataset.keys()
    assert isinstance(keys["scene-9999_00"], str) and sorted(keys) == ["scene-0000", "scene-9999_00"]
    assert "scene-0000: in the tables of no v1.0-*" in str(keys["scene-0000"])
    assert "scene-0000" in str(dataset.truth_keys()["scene-0000"])
    assert dataset.read("scene-9999_00").split == "test"


def test_drives_that_were_not_downloaded_are_left_out_unless_listed(root):
    for file in (root / "samples/LIDAR_TOP").glob(f"{TRAIN}*"):
        file.unlink()
    assert list(NuScenes(root, "test").splits()) == [f"{VAL}_{k:02d}" for k in range(3)]
    (root / "splits").mkdir()
    (root / "splits" / "train.txt").write_text(f"{TRAIN}\n")
    keys = NuScenes(root, "test").keys()
    assert list(keys) == [f"{TRAIN}_{k:02d}" for k in range(3)]
    assert "pcd.bin: missing; unpack the part of the data set that holds it" in str(keys[f"{TRAIN}_00"])


def test_no_tables_and_no_drives(tmp_path):
    with pytest.raises(DataError, match=r"no folder v1\.0-\*; dataset\.root must hold v1\.0-trainval"):
        NuScenes(tmp_path, "test").splits()
    root = write_root(tmp_path / "nuscenes", VAL)
    shutil.rmtree(root / "samples")
    with pytest.raises(DataError, match="no drives; unpack a part of the data set"):
        NuScenes(root, "test").splits()


def test_trainval_counts_where_mini_is_there_too(tmp_path):
    root = write_root(tmp_path, VAL, keyframes=2)
    write_root(tmp_path, TRAIN, VAL, version="v1.0-trainval", keyframes=3)
    assert list(NuScenes(root, "test").splits()) == [f"{d}_{k:02d}" for d in (TRAIN, VAL) for k in range(3)]


def test_points_are_where_they_stand_seen_from_the_car(root):
    """x ahead, y to the left, z up, from the car at the time of the keyframe's sweep."""
    scene = read(root)
    xyz, _, intensity = world(0)
    expected = into(xyz, ego(0, key_time()))
    assert scene.xyz.dtype == np.float32 and scene.rgb.dtype == np.uint8 and scene.face.shape == (0, 3)
    assert len(scene.xyz) == POINTS + 3 * len(xyz)  # of the sweeps before, all but the car's roof
    for start in (0, *range(POINTS, len(scene.xyz), len(xyz))):
        np.testing.assert_allclose(scene.xyz[start : start + len(xyz)], expected, atol=1e-4)
        assert (scene.rgb[start : start + len(xyz)] == intensity[:, None]).all()
    assert (scene.rgb[len(xyz) : POINTS, 0] == (200, 201)).all()
    np.testing.assert_allclose(scene.xyz_in("source")[: len(xyz)], xyz, atol=1e-4)  # on the map
    roof = scene.xyz[len(xyz) : POINTS, 2]
    np.testing.assert_allclose(roof, MOUNTS["LIDAR_TOP"]["translation"][2] + OWN[:, 2], atol=1e-5)


def test_normals_look_at_the_sensor(root):
    scene = read(root, seconds=0.0)
    np.testing.assert_allclose(np.linalg.norm(scene.normal, axis=1), 1, atol=1e-5)
    sensor = np.array(MOUNTS["LIDAR_TOP"]["translation"])
    assert (np.einsum("nc,nc->n", scene.normal, sensor - scene.xyz) >= -1e-5).all()
    index = world(0)[1]
    upwards = np.abs(scene.normal[: len(index)][index == 24][:, 2])
    assert np.median(upwards) > 0.99  # of the road


def test_pixels_are_those_of_the_cameras_at_their_own_time(root):
    scene = read(root)
    assert [frame.id for frame in scene.frames] == sorted(CAMERAS)
    xyz = world(0)[0]
    for turn, (frame, channel) in enumerate(zip(scene.frames, CAMERAS, strict=True)):
        at = ego(0, camera_time(key_time(), turn))
        eye = into(into(xyz, at), MOUNTS[channel])
        ahead = eye[:, 2] > 0.5
        pixel = eye[ahead] @ np.array(INTRINSICS).T
        assert ahead.sum() > 10
        seen = (scene.xyz[: len(xyz)] - frame.camera.pose[:3, 3]) @ frame.camera.pose[:3, :3]
        seen = seen[ahead] @ frame.camera.intrinsics.T
        difference = seen[:, :2] / seen[:, 2:] - pixel[:, :2] / pixel[:, 2:]
        assert np.abs(difference).max() < 2e-3
        assert (frame.camera.width, frame.camera.height, frame.depth) == (*SIZE, None)
        assert frame.read_depth() is None and frame.read_color().shape == (*SIZE[::-1], 3)


def test_the_front_camera_sees_what_is_ahead_the_left_one_the_wall(root):
    """The wall is on the left, which shows that axes are not mirrored, beside the exact pixels."""
    frames = {frame.id: frame.camera for frame in read(root).frames}
    np.testing.assert_allclose(frames["CAM_FRONT"].pose[:3, 2], (1, 0, 0), atol=0.02)  # looks along x
    np.testing.assert_allclose(frames["CAM_FRONT"].pose[:3, 0], (0, -1, 0), atol=0.02)  # its right is -y
    assert frames["CAM_FRONT_LEFT"].pose[1, 2] > 0.7 and frames["CAM_BACK_RIGHT"].pose[1, 2] < -0.7
    assert frames["CAM_BACK"].pose[0, 2] < -0.99


@pytest.mark.parametrize(
    ("scene", "seconds", "sweeps"),
    [("00", 0.5, 1), ("02", 0.0, 1), ("02", 0.2, 2), ("02", 0.5, 4), ("02", 9.0, 7)],
)
def test_sweeps_before_the_keyframe_join_it(root, scene, seconds, sweeps):
    """At 0.5 s the keyframe before is the earliest; nothing is after, nor of another drive."""
    points = len(read(root, f"{VAL}_{scene}", seconds=seconds).xyz)
    assert points == POINTS + (sweeps - 1) * len(world(0)[0])


def test_labels_of_the_keyframe_and_of_no_other_point(root):
    truth = NuScenes(root, "test").read_truth(f"{VAL}_02")
    scene = read(root)
    index = sweep(0, key_time())[1]
    expected = [{24: 10, 28: 14, 2: 6, 3: 6}.get(int(value), -1) for value in index]  # none: dust, roof
    assert truth.label.dtype == np.int16 and truth.instance.dtype == np.int32
    assert truth.label[:POINTS].tolist() == expected and {-1, 6, 10, 14} == set(expected)
    assert len(truth.label) == len(truth.instance) == len(scene.xyz) > POINTS
    assert (truth.label[POINTS:] == -1).all() and (truth.instance == -1).all()
    assert truth.file.name.endswith("_lidarseg.bin")


def test_the_test_split_has_no_annotation(tmp_path):
    root = write_root(tmp_path, TEST, version="v1.0-test", keyframes=1, annotated=False)
    dataset = NuScenes(root, "test")
    assert dataset.splits() == {f"{TEST}_00": "test"} and dataset.truth_keys() == {}
    (root / "v1.0-test/lidarseg.json").unlink()
    assert dataset.truth_keys() == {} and len(dataset.read(f"{TEST}_00").xyz) == POINTS


def test_nuscenes16_is_the_challenge_asked_for_by_openscenes_names():
    """python-sdk/nuscenes/eval/lidarseg/README.md; NUSCENES_LABELS_DETAILS and MAPPING_NUSCENES_DETAILS."""
    labels = label_set("nuscenes16")
    assert labels.ids["nuscenes"].tolist() == list(range(1, 17))
    merged = {
        category: row for row, of_class in enumerate(labels.categories["nuscenes"]) for category in of_class
    }
    known = [merged.get(name, -1) + 1 for name in CATEGORIES]
    assert known == [
        0, 0, 7, 7, 7, 0, 7, 0, 0, 1, 0, 0, 8, 0, 2, 3, 3, 4, 5, 0, 0, 6, 9, 10, 11, 12, 13, 14, 15, 0, 16, 0
    ]  # fmt: skip
    assert len(merged) == 20
    assert labels.prompt_class.tolist() == [
        0, 0, 1, 2, 3, 4, 4, 4, 4, 4, 5, 6, 6, 7, 8, 8, 8, 8, 8, 9, 10, 11, 11, 11, 12, 13, 13, 13, 13, 13,
        13, 14, 14, 14, 14, 15, 15, 15, 15, 15, 15, 15, 15,
    ]  # fmt: skip
    assert labels.prompts[:6] == ("barrier", "barricade", "bicycle", "bus", "car", "bulldozer")
    assert labels.prompts[20:25] == ("road", "curb", "traffic island", "traffic median", "sidewalk")
    assert labels.prompts[-8:] == (
        "tree", "trunk", "tree trunk", "bush", "shrub", "plant", "flower", "woods"
    )  # fmt: skip
    assert labels.names[10:] == (
        "drivable surface", "other flat", "sidewalk", "terrain", "manmade", "vegetation"
    )  # fmt: skip


def test_keys_change_with_what_is_read_and_with_nothing_else(root):
    def keys(**options):
        return NuScenes(root, "test", **options).keys()

    def changed(before):
        return [scene for scene, key in keys().items() if key != before[scene]]

    before = keys()
    assert len(set(before.values())) == 6 and not set(before.values()) & set(keys(seconds=0.0).values())
    image_file(root).write_bytes(b"other")
    assert changed(before) == [f"{VAL}_02"]
    before = keys()
    file = lidar_file(root, key_time() - INTERVAL // 3, "sweeps")
    file.write_bytes(file.read_bytes()[::-1])
    assert changed(before) == [f"{VAL}_02"]
    before = keys()
    pose = token(VAL, "CAM_BACK", camera_time(key_time(1), 0), "pose")
    edit(root, "ego_pose", lambda rows: [r.update(translation=[0, 0, 0]) for r in rows if r["token"] == pose])
    assert changed(before) == [f"{VAL}_01"]
    before = keys()
    mount = token(TRAIN, "CAM_BACK")
    edit(
        root,
        "calibrated_sensor",
        lambda rows: [r.update(translation=[0, 0, 0]) for r in rows if r["token"] == mount],
    )
    assert changed(before) == [f"{TRAIN}_{k:02d}" for k in range(3)]
    before, truth = keys(), NuScenes(root, "test").truth_keys()
    edit(root, "category", lambda rows: rows[5].update(description="changed"))
    (root / "samples/RADAR_FRONT").mkdir()
    assert keys() == before and NuScenes(root, "test").truth_keys() == truth


def test_truth_changes_with_labels_categories_and_label_set(root):
    dataset = NuScenes(root, "test")
    before = dataset.truth_keys()
    file = dataset.read_truth(f"{VAL}_00").file
    file.write_bytes(file.read_bytes()[::-1])
    after = dataset.truth_keys()
    assert [scene for scene in after if after[scene] != before[scene]] == [f"{VAL}_00"]
    edit(root, "category", lambda rows: (rows[24].update(index=25), rows[25].update(index=24)))
    assert not set(dataset.truth_keys().values()) & set(after.values())
    assert dataset.read_truth(f"{VAL}_01").label.tolist().count(11) > 0  # now other flat


def test_a_table_is_read_in_blocks(root, monkeypatch):
    whole = tables.read(shutil.copytree(root / RELEASE, root / "copy"), True)
    monkeypatch.setattr(tables, "BLOCK", 701)
    blocks = tables.read(root / RELEASE, True)
    assert blocks is not whole
    assert (blocks.captures, blocks.sweeps, blocks.mounts) == (whole.captures, whole.sweeps, whole.mounts)
    assert (blocks.ego_poses, blocks.keyframes) == (whole.ego_poses, whole.keyframes)
    path = root / RELEASE / "sample_data.json"
    path.write_text(path.read_text().replace("}", ";;", 1))
    with pytest.raises(DataError, match=r"sample_data\.json: not a readable table"):
        tables.read(root / RELEASE, True)


def drop(name):
    return lambda rows: [row.pop(name) for row in rows]


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("sample_data", drop("is_key_frame"), r"sample_data\.json: object 0 has no field 'is_key_frame'"),
        ("scene", lambda rows: rows.clear(), r"scene\.json: lacks \w+, which sample\.json names; unpack"),
        ("sample", lambda rows: rows.pop(), r"sample\.json: lacks \w+, which sample_data\.json names"),
        ("sensor", lambda rows: rows.clear(), r"sensor\.json: lacks .*calibrated_sensor\.json names"),
        (
            "calibrated_sensor",
            lambda rows: rows.pop(),
            "lacks .*, which sample_data.json names; unpack the meta",
        ),
        (
            "sample_data",
            lambda rows: rows[0].update(filename="../secret"),
            r"file \.\./secret is not below dataset\.root",
        ),
    ],
)
def test_bad_tables(root, table, change, message):
    edit(root, table, change)
    with pytest.raises(DataError, match=message):
        NuScenes(root, "test").splits()


@pytest.mark.parametrize("table", tables.TABLES)
def test_missing_and_truncated_tables(root, table):
    path = root / RELEASE / f"{table}.json"
    content = path.read_text()
    path.write_text(content[: len(content) // 2])
    with pytest.raises(DataError, match=rf"{table}\.json: not a readable table"):
        NuScenes(root, "test").splits()
    path.unlink()
    with pytest.raises(DataError, match=rf"{table}\.json: missing; unpack the metadata of {RELEASE}"):
        NuScenes(root, "test").splits()


def test_the_metadata_of_lidarseg_alone(root):
    for path in (root / RELEASE).iterdir():
        if path.stem not in ("category", "lidarseg"):
            path.unlink()
    with pytest.raises(DataError, match=rf"{RELEASE}/\w+\.json: missing; unpack the metadata of {RELEASE}"):
        NuScenes(root, "test").splits()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not a readable table .*it does not end as a list"),
        ("3", "not a readable table .*it does not end as a list"),
        ('{"a": 1}', "object 0 has no field"),
        ('[{"token": "a"}', "object 0 has no field"),
        ("\x00", "not a readable table"),
    ],
)
def test_what_is_no_table(root, content, said):
    (root / RELEASE / "sensor.json").write_text(content)
    with pytest.raises(DataError, match=rf"sensor\.json: {said}"):
        NuScenes(root, "test").splits()


@pytest.mark.parametrize(
    ("channel", "value", "message"),
    [
        ("LIDAR_TOP", {"rotation": [1, 1, 0, 0]}, r"ego_pose\.json: \w+: not rigid"),
        ("CAM_BACK", {"rotation": [0, 0, 0, 0]}, r"ego_pose\.json: \w+: not rigid"),
        (
            "CAM_BACK",
            {"rotation": [1, 0, 0]},
            "not rigid, it takes a translation of three numbers and a unit",
        ),
        ("CAM_BACK", {"translation": [float("nan"), 0, 0]}, "not rigid"),
        ("CAM_BACK", {"translation": None}, "not rigid"),
        ("CAM_BACK", {"token": "another"}, r"ego_pose\.json: lacks \w+, the pose of samples/CAM_BACK/"),
    ],
)
def test_bad_poses_spoil_their_own_keyframe_alone(root, channel, value, message):
    time = key_time() if channel == "LIDAR_TOP" else camera_time(key_time(), list(CAMERAS).index(channel))
    wanted = token(VAL, channel, time, "pose")
    edit(root, "ego_pose", lambda rows: [row.update(value) for row in rows if row["token"] == wanted])
    assert all(isinstance(key, str) for key in NuScenes(root, "test").keys().values())
    with pytest.raises(DataError, match=message):
        read(root)
    assert len(read(root, f"{VAL}_01").frames) == 6


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"camera_intrinsic": []}, r"calibrated_sensor\.json: \w+: camera needs intrinsics \[3,3\]"),
        ({"camera_intrinsic": [[-1, 0, 0], [0, 1, 0], [0, 0, 1]]}, "focal lengths must be positive"),
        ({"camera_intrinsic": [[1, 0], [0, 1, 0]]}, r"calibrated_sensor\.json: \w+: "),
        ({"rotation": [2, 0, 0, 0]}, r"calibrated_sensor\.json: \w+: not rigid"),
    ],
)
def test_bad_calibration(root, value, message):
    wanted = token(VAL, "CAM_BACK")
    edit(root, "calibrated_sensor", lambda rows: [r.update(value) for r in rows if r["token"] == wanted])
    with pytest.raises(DataError, match=message):
        read(root)
    assert len(read(root, f"{TRAIN}_00").frames) == 6


@pytest.mark.parametrize(
    ("channels", "message"),
    [({"LIDAR_TOP"}, "has no file of LIDAR_TOP"), (set(CAMERAS), " has no image; unpack the metadata")],
)
def test_a_keyframe_without_a_sweep_or_images(root, channels, message):
    wanted = {token(VAL, "sample", 1)}

    def remove(rows):
        gone = {token(VAL, c) for c in channels}
        rows[:] = [
            r for r in rows if r["sample_token"] not in wanted or r["calibrated_sensor_token"] not in gone
        ]

    edit(root, "sample_data", remove)
    keys = NuScenes(root, "test").keys()
    assert [scene for scene, key in keys.items() if isinstance(key, DataError)] == [f"{VAL}_01"]
    assert message in str(keys[f"{VAL}_01"])
    with pytest.raises(DataError, match=message):
        read(root, f"{VAL}_01")


def test_bad_sweeps(root):
    file = lidar_file(root, key_time())
    content = file.read_bytes()
    file.write_bytes(content[:-4])
    with pytest.raises(DataError, match=r"pcd\.bin: \d+ bytes are not points of 5 floats; unpack it again"):
        read(root)
    file.write_bytes(b"")
    with pytest.raises(DataError, match=r"pcd\.bin: 0 bytes are not points"):
        read(root)
    file.write_bytes(content[:20] + np.full(5, np.nan, "<f4").tobytes() + content[40:])
    with pytest.raises(DataError, match=r"pcd\.bin: point 1 is NaN or infinite; unpack it again"):
        read(root)
    file.write_bytes(content[:160])
    with pytest.raises(DataError, match=r"pcd\.bin: hardly any points, 8"):
        read(root, seconds=0.0)
    file.write_bytes(content)
    lidar_file(root, key_time() - INTERVAL // 3, "sweeps").unlink()
    with pytest.raises(DataError, match=r"sweeps/.*pcd\.bin: cannot be read .*sweep_seconds to 0"):
        read(root)
    keys = NuScenes(root, "test").keys()
    assert "dataset.nuscenes.sweep_seconds 0 does without" in str(keys[f"{VAL}_02"])
    assert isinstance(keys[f"{VAL}_01"], str)
    assert all(isinstance(key, str) for key in NuScenes(root, "test", seconds=0.0).keys().values())


def test_bad_images(root):
    file = image_file(root)
    Image.new("RGB", (16, 9)).save(file)
    with pytest.raises(DataError, match=r"CAM_FRONT__\d+\.jpg: 16x9, the tables say 32x18"):
        read(root)
    file.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"\.jpg: not a readable image"):
        read(root)
    file.unlink()
    with pytest.raises(DataError, match=r"\.jpg: missing; unpack the part"):
        read(root)


def test_bad_labels(root):
    dataset = NuScenes(root, "test")
    file = dataset.read_truth(f"{VAL}_02").file
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    with pytest.raises(DataError, match=rf"{POINTS - 1} labels for the {POINTS} points of samples/LIDAR_TOP"):
        dataset.read_truth(f"{VAL}_02")
    file.write_bytes(b"\x63" * (POINTS // 2 + 1) + content[POINTS // 2 + 1 :])
    with pytest.raises(DataError, match=r"\d+ of \d+ points have categories that .*category\.json lacks"):
        dataset.read_truth(f"{VAL}_02")
    file.unlink()
    with pytest.raises(DataError, match=r"lidarseg\.bin: cannot be read .*unpack nuScenes-lidarseg"):
        dataset.read_truth(f"{VAL}_02")
    keys = dataset.truth_keys()
    assert "missing; unpack nuScenes-lidarseg" in str(keys[f"{VAL}_02"])
    assert isinstance(keys[f"{VAL}_01"], str)


def test_a_keyframe_that_no_file_annotates(root):
    edit(root, "lidarseg", lambda rows: rows.clear())
    with pytest.raises(DataError, match=r"lidarseg\.json: names no labels of \w+; unpack nuScenes-lidarseg"):
        NuScenes(root, "test").read_truth(f"{VAL}_02")


@pytest.mark.parametrize("scene", [VAL, f"{VAL}_2x", "_02", ""])
def test_names_of_no_keyframe_are_refused(scene):
    wanted = rf"scene '{scene}': not a keyframe of a drive; name it like scene-0103_07"
    with pytest.raises(DataError, match=wanted):
        reader.drive_and_index(scene)


def test_a_category_that_the_table_lacks_is_unlabelled_and_counted(root):
    dataset = NuScenes(root, "test")
    expected = dataset.read_truth(f"{VAL}_02")
    content = bytearray(expected.file.read_bytes())
    content[3] = content[5] = 99
    content[6] = 100
    expected.file.write_bytes(content)
    truth = dataset.read_truth(f"{VAL}_02")
    assert truth.label[[3, 5, 6]].tolist() == [-1] * 3
    others = np.delete(np.arange(len(truth.label)), [3, 5, 6])
    assert np.array_equal(truth.label[others], expected.label[others]) and expected.unknown == {}
    lacking = "category {}, which category.json lacks"
    assert truth.unknown == {lacking.format(99): 2, lacking.format(100): 1}


def test_categories_without_an_index(root):
    edit(root, "category", lambda rows: rows[0].update(index=256))
    with pytest.raises(DataError, match=r"category\.json: not the table of .* \(an index is not a byte\)"):
        NuScenes(root, "test").truth_keys()
    edit(root, "category", drop("index"))
    with pytest.raises(
        DataError, match=r"category\.json: not the table of nuScenes-lidarseg, which has an index"
    ):
        NuScenes(root, "test").truth_keys()


def test_a_label_set_of_ones_own(root, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(HEAD + "0,people,human.pedestrian.adult | human.pedestrian.child,person,1,2,3,1\n")
    label = NuScenes(root, "test", labels=path).read_truth(f"{VAL}_00").label
    assert np.array_equal(label == 0, np.isin(sweep(0, START)[1], (2, 3))) and set(label) == {-1, 0}
    path.write_text(HEAD + "0,people,human.walker,person,1,2,3,1\n")
    with pytest.raises(DataError, match=r"no category 'human\.walker', which label set mine names"):
        NuScenes(root, "test", labels=path).truth_keys()
    with pytest.raises(DataError, match="label set scannet20 has no column nuscenes_category; add one"):
        NuScenes(root, "test", labels="scannet20").truth_keys()


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        (f"{VAL}_03", r"sample\.json: scene-0103 has 3 keyframes, 'scene-0103_03' names none"),
        (VAL, "'scene-0103' names none; name it like scene-0103_07"),
        ("kitchen_00", r"kitchen: in the tables of no v1\.0-\*"),
    ],
)
def test_what_is_no_keyframe(root, scene, message):
    with pytest.raises(DataError, match=message):
        read(root, scene)
