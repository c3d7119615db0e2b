"""The reader of Matterport3D on miniature houses.

What people report of them: faces of category -1, and of 0, which the table has not (niessner/Matterport,
issues 15 and 4: neither is a class); panoramas that .house gives to another region (issue 11); images that do
not fit each other, by intrinsics whose centre is counted from the wrong edge (issues 25 and 66).
"""

import numpy as np
import pytest
from plyfile import PlyData, PlyElement

from anyscene.datasets import label_set
from anyscene.datasets.matterport import reader
from anyscene.datasets.matterport import truth as matterport_truth
from anyscene.datasets.matterport.reader import Matterport
from anyscene.errors import DataError
from tests.builders.matterport import (
    BOTTOM,
    CENTRE,
    FOCAL,
    SIZE,
    STEP,
    TABLE,
    image_names,
    name,
    pose,
    room,
    write_house,
    write_house_file,
    write_region,
    write_root,
    write_table,
)

TRAIN, VAL, TEST = "17DRP5sb8fy", "2azQ1b91cZZ", "2t7WUuJeko7"
HEAD = "index,name,matterport_id,prompt,red,green,blue,foreground\n"


@pytest.fixture
def root(tmp_path):
    return write_root(tmp_path, VAL)


def conf(root):
    return root / VAL / "undistorted_camera_parameters" / f"{VAL}.conf"


def test_official_splits():
    splits = reader.official_splits()
    assert [list(splits.values()).count(n) for n in ("train", "val", "test")] == [61, 11, 18]
    assert (splits[TRAIN], splits[VAL], splits[TEST]) == ("train", "val", "test")


def test_regions_are_scenes_with_the_split_of_their_house(root):
    write_house(root, TRAIN, regions=1)
    (root / "notes").mkdir()
    dataset = Matterport(root, "test")
    regions = {f"{VAL}_region0": "val", f"{VAL}_region1": "val"}
    assert dataset.splits() == {f"{TRAIN}_region0": "train"} | regions
    assert sorted(dataset.truth_keys()) == sorted(dataset.splits())
    assert dataset.read(f"{TRAIN}_region0").split == "train"


def test_houses_in_no_list_are_an_error_until_one_lists_them(root):
    write_house(root, "somewhere", regions=1)
    keys = Matterport(root, "test").keys()
    assert isinstance(keys[f"{VAL}_region0"], str)
    assert "somewhere: in none of Matterport3D's official splits" in str(keys["somewhere_region0"])
    (root / "splits").mkdir()
    (root / "splits" / "test.txt").write_text("somewhere\nabsent\n")
    keys = Matterport(root, "test").keys()
    assert isinstance(keys["somewhere_region0"], str) and sorted(keys) == ["absent", "somewhere_region0"]
    assert "absent/region_segmentations: no regionN.ply; unzip" in str(keys["absent"])
    assert list(Matterport(root, "test").truth_keys()) == ["somewhere_region0"]


def test_no_houses(tmp_path):
    with pytest.raises(DataError, match="no houses; each is a folder with region_segmentations/"):
        Matterport(tmp_path, "test").splits()
    with pytest.raises(DataError, match=r"dataset\.root must hold the houses' folders"):
        Matterport(tmp_path / "none", "test").splits()


def test_reads_what_was_written(root):
    scene = Matterport(root, "test").read(f"{VAL}_region1")
    xyz, face, *_ = room(1)
    assert np.array_equal(scene.xyz, xyz) and np.array_equal(scene.face, face)
    expected = [f"{name(1)}_i{camera}_{yaw}" for camera in range(3) for yaw in range(2)]
    assert [frame.id for frame in scene.frames] == expected
    assert [frame.camera.intrinsics[0, 0] for frame in scene.frames] == [FOCAL[c] for c in (0, 0, 1, 1, 2, 2)]
    assert (scene.frames[0].camera.width, scene.frames[0].camera.height) == SIZE
    depth = scene.frames[0].read_depth()
    assert np.all(depth[0] == 0) and np.all(depth[1:] == 2.0)
    assert scene.frames[0].read_color().shape == (SIZE[1], SIZE[0], 3)


def test_pixels_are_those_of_the_canonical_camera(root):
    """As the .conf says it: view direction -z, y up, rows counted from the bottom."""
    scene = Matterport(root, "test").read(f"{VAL}_region0")
    for frame, (camera, yaw) in zip(scene.frames, ((c, y) for c in range(3) for y in range(2)), strict=True):
        eye = (scene.xyz - pose(0, camera, yaw)[:3, 3]) @ pose(0, camera, yaw)[:3, :3]
        eye = eye[eye[:, 2] < -0.1]
        column = FOCAL[camera] * eye[:, 0] / -eye[:, 2] + CENTRE[0]
        from_bottom = FOCAL[camera] * eye[:, 1] / -eye[:, 2] + BOTTOM
        seen = (scene.xyz - frame.camera.pose[:3, 3]) @ frame.camera.pose[:3, :3]
        seen = seen[seen[:, 2] > 0.1] @ frame.camera.intrinsics.T
        assert 0 < len(seen) == len(eye)
        assert np.allclose(seen[:, 0] / seen[:, 2], column, atol=1e-3)
        assert np.allclose(seen[:, 1] / seen[:, 2], SIZE[1] - 1 - from_bottom, atol=1e-3)


def test_stride(root):
    scene = Matterport(root, "test", stride=4).read(f"{VAL}_region0")
    assert [frame.id for frame in scene.frames] == [f"{name(0)}_i0_0", f"{name(0)}_i2_0"]


def test_frames_by_box_or_by_house_file(root):
    path = root / VAL / "house_segmentations" / f"{VAL}.house"
    write_house_file(path, 2, (1, 1))

    def panoramas(region, rule):
        frames = Matterport(root, "test", region_frames=rule).read(f"{VAL}_region{region}").frames
        return {frame.id[:32] for frame in frames}

    assert panoramas(0, "box") == {name(0)} and panoramas(1, "box") == {name(1)}
    assert panoramas(1, "house") == {name(0), name(1)}
    write_house_file(path, 2, (1, 0))
    assert panoramas(1, "house") == {name(0)} and panoramas(1, "box") == {name(1)}


def test_region_without_a_camera_takes_the_nearest_frames(root, monkeypatch):
    monkeypatch.setattr(reader, "NEAREST", 6)
    write_house(root, TEST, regions=3, assigned=(0, 1))
    scene = Matterport(root, "test").read(f"{TEST}_region2")
    assert {frame.id[:32] for frame in scene.frames} == {name(1)} and len(scene.frames) == 6
    scene = Matterport(root, "test", region_frames="house").read(f"{TEST}_region2")
    assert {frame.camera.pose[0, 3] for frame in scene.frames} == {STEP + 0.5}


def test_keys_change_with_what_is_read(root):
    def keys(**options):
        return Matterport(root, "test", **options).keys()

    before, of_house = keys(), keys(region_frames="house")
    assert before != of_house
    path = root / VAL / "house_segmentations" / f"{VAL}.house"
    path.write_text(path.read_text().replace("R 1 0 0 0 b", "R 1 0 0 0 k"))
    assert keys() == before and keys(region_frames="house") != of_house
    (root / VAL / "undistorted_color_images" / image_names(0, 0, 0)[1]).write_bytes(b"other")
    changed = keys()
    assert not set(changed.values()) & set(before.values())
    mesh = root / VAL / "region_segmentations" / "region0.ply"
    mesh.write_bytes(mesh.read_bytes()[:-1] + b"\1")
    assert [scene for scene in changed if keys()[scene] != changed[scene]] == [f"{VAL}_region0"]


def slow_labels(region, rows):
    """Vertex by vertex as OpenScene counts: no class first, then the order of the label set."""
    xyz, face, category, _ = room(region)
    votes = np.zeros((len(xyz), 1 + max(rows.values()) + 1), int)
    for corners, value in zip(face, category, strict=True):
        for vertex in corners:
            votes[vertex, rows.get(int(value), -1) + 1] += 1
    return votes.argmax(1) - 1


def test_labels_by_nyu40_ids(root):
    truth = Matterport(root, "test").read_truth(f"{VAL}_region0")
    assert truth.label.dtype == np.int16 and truth.instance.dtype == np.int32
    expected = slow_labels(0, {1: 0, 2: 7, 3: 20, 6: 7})  # wall, door, ceiling, door frame
    assert np.array_equal(truth.label, expected) and set(expected) == {-1, 0, 7, 20}
    assert set(truth.instance[truth.label == 20]) == {9}
    assert truth.instance[:4].tolist() == [4, 4, 7, 7]
    assert truth.instance[12:16].tolist() == [-1] * 4  # the wall's upper row


def test_labels_by_nyu_class(root, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(HEAD + "0,door,2,door,1,2,3,1\n1,ceiling,3,ceiling,1,2,3,0\n")
    truth = Matterport(root, "test", labels=path).read_truth(f"{VAL}_region0")
    expected = slow_labels(0, {3: 1, 6: 0})
    assert np.array_equal(truth.label, expected) and set(expected) == {-1, 0, 1}


def test_a_category_that_the_table_lacks_is_unlabelled_and_counted(root):
    dataset, scene = Matterport(root, "test"), f"{VAL}_region0"
    expected = dataset.read_truth(scene)
    write_table(root.parent / "category_mapping.tsv", TABLE[:5])  # a door frame is 6
    truth = dataset.read_truth(scene)
    assert np.array_equal(truth.label, slow_labels(0, {1: 0, 3: 20}))
    _, face, category, _ = room(0)
    frame = np.unique(face[category == 6])
    unlabelled = int((truth.label[frame] < 0).sum())
    assert truth.unknown == {"category 6, which category_mapping.tsv lacks": unlabelled}
    assert unlabelled > (expected.label[frame] < 0).sum() and expected.unknown == {}
    assert np.array_equal(truth.instance, expected.instance)


def test_a_category_of_0_is_none(root):
    xyz, face, category, instance = room(0)
    path = root / VAL / "region_segmentations" / "region0.ply"
    rgb = np.zeros((len(xyz), 3), np.uint8)
    write_region(path, xyz, rgb, face, np.where(category == 6, 0, category), instance)
    truth = Matterport(root, "test").read_truth(f"{VAL}_region0")
    assert np.array_equal(truth.label, slow_labels(0, {1: 0, 3: 20}))


def test_majority_takes_none_before_any_and_then_the_smallest():
    face = np.array([[0, 1, 2], [0, 1, 3], [0, 3, 4]])
    assert matterport_truth.majority(face, np.array([5, 2, 5]), 6).tolist() == [5, 2, 5, 2, 5, -1]
    assert matterport_truth.majority(face, np.array([5, -1, 2]), 6).tolist() == [-1, -1, 5, -1, 2, -1]
    assert matterport_truth.majority(np.zeros((0, 3), int), np.zeros(0, int), 2).tolist() == [-1, -1]


def test_truth_changes_with_table_and_label_set(root):
    before = Matterport(root, "test").truth_keys()
    write_table(root.parent / "category_mapping.tsv", TABLE[:-1])
    after = Matterport(root, "test").truth_keys()
    assert not set(before.values()) & set(after.values())
    assert Matterport(root, "test", labels="nyu40").truth_keys() != after


def test_label_sets_are_nested():
    large = label_set("matterport160")
    for classes in (40, 80):
        small = label_set(f"matterport{classes}")
        assert small.names == large.names[:classes]
        assert np.array_equal(small.ids["matterport"], large.ids["matterport"][:classes])
        assert np.array_equal(small.colours, large.colours[:classes])
    assert np.all(np.diff(large.ids["matterport"]) > 0) and large.ids["matterport"][-1] == 399
    assert large.colours.any(1).all()


def test_matterport21_is_scannet20_with_a_ceiling():
    small, large = label_set("scannet20"), label_set("matterport21")
    assert large.names[:19] == small.names[:19] and large.names[19:] == ("other", "ceiling")
    assert large.ids["nyu40"].tolist() == [*small.ids["nyu40"].tolist(), 22]
    assert large.prompts[:20] == small.prompts


def test_missing_table(root):
    (root.parent / "category_mapping.tsv").unlink()
    with pytest.raises(DataError, match=r"category_mapping\.tsv: missing; put metadata"):
        Matterport(root, "test").truth_keys()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (TABLE[:2], r"region0\.ply: 22 of 36 faces have categories that .*lacks, which has 1\.\.2; take the"),
        ((("wall", "one", "wall"), *TABLE[1:]), "not Matterport3D's table of categories"),
        ((("wall", "0.9", "wall"), *TABLE[1:]), r"table of categories .*'0\.9'"),
    ],
)
def test_bad_tables(root, rows, message):
    write_table(root.parent / "category_mapping.tsv", rows)
    with pytest.raises(DataError, match=message):
        Matterport(root, "test").read_truth(f"{VAL}_region0")


def test_a_table_in_another_encoding_is_named(root):
    file = root.parent / "category_mapping.tsv"
    file.write_bytes(file.read_bytes() + "tür\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"category_mapping\.tsv: line \d+ is not UTF-8 \(byte 0xfc\)"):
        Matterport(root, "test").read_truth(f"{VAL}_region0")


def test_label_set_without_ids_or_of_one_class_twice(root, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("index,name,prompt,red,green,blue,foreground\n0,door,door,1,2,3,1\n")
    with pytest.raises(DataError, match="mine has neither a column nyu40_id nor matterport_id"):
        Matterport(root, "test", labels=path).read_truth(f"{VAL}_region0")
    path.write_text(HEAD + "0,door,2,door,1,2,3,1\n1,frame,6,frame,1,2,3,0\n")  # both have nyuClass door
    with pytest.raises(DataError, match="needs categories of different nyuClass"):
        Matterport(root, "test", labels=path).read_truth(f"{VAL}_region0")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n_images 12", "n_images 13", "12 scans, n_images says 13; it is cut short"),
        ("intrinsics_matrix 30 0", "intrinsics_matrix 30", r"line 6: not of a camera file \(cannot reshape"),
        ("scan ", "view ", r"line 7: not of a camera file \(unknown command 'view'"),
        ("intrinsics_matrix", "dataset", "line 7: .*no intrinsics_matrix before it"),
        (
            "intrinsics_matrix 30",
            "intrinsics_matrix -30",
            "line 7: focal lengths must be positive.*; unzip the file again",
        ),
        (" 0 0 0 1 ", " 0 0 0 2 ", "line 7: camera pose ends in the row 0, 0, 0, 2, not 0, 0, 0, 1"),
        (" 14.5 ", " 29.5 ", r"line 7: centre \(29\.5, 13\) is not near the middle of the depth images"),
    ],
)
def test_bad_camera_files(root, old, new, message):
    text = conf(root).read_text()
    assert old in text
    conf(root).write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message):
        Matterport(root, "test").read(f"{VAL}_region0")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ASCII 1.1", "PLY 1.1", "begins with 'PLY', not ASCII"),
        (f"P  {name(1)}", "X", "2 lines P for 2 panoramas and 1 portals"),
        (f"P  {name(1)}  1 1", f"P  {name(1)}  1 one", "not a readable house file"),
        (name(0), name(7), f"panorama {name(0)} is not in .*house; unzip both again"),
    ],
)
def test_bad_house_files(root, old, new, message):
    path = root / VAL / "house_segmentations" / f"{VAL}.house"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message):
        Matterport(root, "test", region_frames="house").read(f"{VAL}_region0")


@pytest.mark.parametrize("kind", [0, 1])
def test_missing_images(root, kind):
    folder = ("undistorted_depth_images", "undistorted_color_images")[kind]
    (root / VAL / folder / image_names(0, 1, 1)[kind]).unlink()
    with pytest.raises(
        DataError,
        match=rf"{folder}/.*1_1\.\w+: missing, .*conf: line \d+ names it; unzip the house's {folder}",
    ):
        Matterport(root, "test").read(f"{VAL}_region0")


def test_truncated_mesh_and_mesh_without_categories(root):
    mesh = root / VAL / "region_segmentations" / "region0.ply"
    content = mesh.read_bytes()
    mesh.write_bytes(content[:-9])
    with pytest.raises(DataError, match=r"region0\.ply: not a readable"):
        Matterport(root, "test").read(f"{VAL}_region0")
    with pytest.raises(DataError, match=r"region0\.ply: not a readable mesh with category_id"):
        Matterport(root, "test").read_truth(f"{VAL}_region0")
    mesh.write_bytes(content.replace(b"category_id", b"category_no"))
    with pytest.raises(DataError, match=r"category_id and segment_id per face"):
        Matterport(root, "test").read_truth(f"{VAL}_region0")


def test_a_table_that_lacks_a_row(root):
    file = root.parent / "category_mapping.tsv"
    head, _, *rows = file.read_text().splitlines()
    file.write_text("\n".join([head, *rows]))
    with pytest.raises(DataError, match=r"table of categories .*index must count from 1"):
        Matterport(root, "test").read_truth(f"{VAL}_region0")


@pytest.mark.parametrize("corner", [-1, 32])
def test_a_face_outside_the_mesh_of_annotation_is_refused(root, corner):
    path = root / VAL / "region_segmentations" / "region0.ply"
    xyz, face, category, instance = room(0)
    face[5, 1] = corner
    write_region(path, xyz, np.zeros((32, 3), np.uint8), face, category, instance)
    with pytest.raises(
        DataError, match=r"region0\.ply: a face names vertex \d+, there are 32; unzip it again"
    ):
        Matterport(root, "test").read_truth(f"{VAL}_region0")


@pytest.mark.parametrize("name", ["vertex_indices", "category_id", "segment_id"])
@pytest.mark.parametrize(
    ("value", "said"), [(1.0, None), (0.9, r"0\.9|0\.89"), (np.nan, "nan"), (1e20, "1[.0-9]*e")]
)
def test_fractions_in_the_mesh_of_annotation_are_refused(root, name, value, said):
    """A cast would make vertex 0, or no category, of 0.9."""
    path = root / VAL / "region_segmentations" / "region0.ply"
    mesh = PlyData.read(path, mmap=False)
    old = mesh["face"].data
    kinds = {each: "f4" if each == name else "i4" for each in ("segment_id", "category_id")}
    face = np.empty(len(old), [("vertex_indices", "O"), *kinds.items()])
    for each in ("vertex_indices", *kinds):
        face[each] = old[each]
    if name == "vertex_indices":
        for row in range(len(face)):
            face[name][row] = face[name][row].astype("f4")
        face[name][3][1] = value
    else:
        face[name][3] = value
    lists = {"vertex_indices": "f4" if name == "vertex_indices" else "i4"}
    elements = [mesh["vertex"], PlyElement.describe(face, "face", {}, lists)]
    PlyData(elements, byte_order="<").write(path)
    if said is None:
        assert Matterport(root, "test").read_truth(f"{VAL}_region0").label.any()
        return
    with pytest.raises(
        DataError, match=rf"region0\.ply: not a readable mesh .*({said})\S* is no whole number"
    ):
        Matterport(root, "test").read_truth(f"{VAL}_region0")


def test_scene_that_is_no_region(root):
    with pytest.raises(DataError, match="not a region of a house; name it like"):
        Matterport(root, "test").read(VAL)
    conf(root).unlink()
    with pytest.raises(DataError, match=r"\.conf: missing; unzip the house's undistorted_camera_parameters"):
        Matterport(root, "test").read(f"{VAL}_region0")
