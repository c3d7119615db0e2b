"""The reader of ScanNet v2 on miniature scans.

What people report of them: poses of -inf (ScanNet/ScanNet, issue 9); SCENE.txt counts other frames than the
stream (issue 59); maps without a depth reading (issue 55; OpenGVLab/PonderV2, issue 11); annotated frames are
of another size than depth (issue 16); ids that NYU40 has not (issues 20 and 86).
"""

import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image
from plyfile import PlyData, PlyElement

from anyscene.datasets import contradictions
from anyscene.datasets.scannet import reader
from anyscene.datasets.scannet.reader import ScanNet
from anyscene.errors import DataError
from anyscene.scene import LeftOut
from tests.builders.capture import LEVEL, grid
from tests.builders.scannet import (
    DEPTH,
    FOCAL,
    TABLE,
    TURN,
    intrinsics,
    make_frames,
    segment_of_vertices,
    write_annotation,
    write_extracted,
    write_root,
    write_scan,
    write_sens,
    write_table,
)
from tests.twins import released_code

TRAIN, VAL, TEST = "scene0000_00", "scene0011_00", "scene0707_00"
HEAD = "index,name,scannet_id,prompt,red,green,blue,foreground\n"
LOST = (LeftOut("4", "no pose"),)


@pytest.fixture
def root(tmp_path):
    return write_root(tmp_path, VAL)


@pytest.fixture
def categories(tmp_path):
    """A label set with ids of the table, in another order."""
    path = tmp_path / "mine.csv"
    path.write_text(HEAD + "0,cupboard,29,cupboard,1,2,3,1\n1,wall,1,wall,1,2,3,0\n2,chair,2,chair,1,2,3,1\n")
    return path


def extracted(root, every=1):
    """The same scan without its stream."""
    (root / VAL / f"{VAL}.sens").unlink()
    write_extracted(root / VAL, make_frames(6, (4,)), every)
    return ScanNet(root, "test")


def test_official_splits():
    splits = reader.official_splits()
    counts = {name: list(splits.values()).count(name) for name in ("train", "val", "test")}
    assert counts == {"train": 1201, "val": 312, "test": 100}
    assert (splits[TRAIN], splits[VAL], splits[TEST]) == ("train", "val", "test")
    rooms = [{scene[:9] for scene, split in splits.items() if split == name} for name in counts]
    assert not rooms[0] & rooms[1] and not rooms[2] & (rooms[0] | rooms[1])  # no room is in two of them


def test_scans_that_are_there_have_their_official_split(root):
    write_scan(root, TRAIN)
    write_scan(root, TEST, annotated=False)
    (root / "notes").mkdir()
    dataset = ScanNet(root, "test")
    assert dataset.splits() == {TRAIN: "train", VAL: "val", TEST: "test"}
    assert sorted(dataset.truth_keys()) == [TRAIN, VAL]
    assert dataset.read(TEST).split == "test"


def test_scans_in_no_list_are_an_error_until_one_lists_them(root):
    write_scan(root, "scene9999_00")
    keys = ScanNet(root, "test").keys()
    assert isinstance(keys[VAL], str)
    assert "scene9999_00: in none of ScanNet's official splits; list it in" in str(keys["scene9999_00"])
    (root / "splits").mkdir()
    (root / "splits" / "train.txt").write_text("scene9999_00\n")
    assert ScanNet(root, "test").splits() == {"scene9999_00": "train"}
    assert isinstance(ScanNet(root, "test").keys()["scene9999_00"], str)


def test_no_scans(tmp_path):
    with pytest.raises(DataError, match="no scenes; each is a folder named like scene0000_00"):
        ScanNet(tmp_path, "test").splits()
    with pytest.raises(DataError, match=r"dataset\.root must hold the folders scene0000_00, "):
        ScanNet(tmp_path / "none", "test").splits()


def test_reads_what_was_written(root):
    scene = ScanNet(root, "test").read(VAL)
    xyz, face = grid(6)
    assert np.array_equal(scene.xyz, xyz) and np.array_equal(scene.face, face)
    assert scene.rgb.dtype == np.uint8 and np.allclose(np.abs(scene.normal), [0, 1, 0])
    assert [frame.id for frame in scene.frames] == ["0", "1", "2", "3", "5"] and scene.lost == LOST
    camera = scene.frames[4].camera
    assert np.array_equal(camera.intrinsics, intrinsics(DEPTH)[:3, :3]) and camera.intrinsics[0, 0] == FOCAL
    assert (camera.width, camera.height) == DEPTH
    assert np.allclose(camera.pose[:3, 3], [0.6, 0, 0.5]) and np.array_equal(camera.pose[:3, :3], LEVEL)
    assert np.array_equal(scene.frames[4].read_depth(), make_frames(6)[5]["depth"] / np.float32(1000))


def test_depth_maps_without_a_reading_and_a_wrong_count_do_no_harm(root):
    frames = make_frames(6, lost=(4,))
    frames[2]["depth"][:] = 0
    write_sens(root / VAL / f"{VAL}.sens", frames)
    with (root / VAL / f"{VAL}.txt").open("a") as file:
        file.write("numColorFrames = 7\nnumDepthFrames = 7\n")
    scene, findings = contradictions.read(ScanNet(root, "test", align=True), VAL)
    assert [frame.id for frame in scene.frames] == ["0", "1", "2", "3", "5"]
    assert not scene.frames[2].read_depth().any() and findings.frames.share > 0.9


def test_stride_counts_frames_of_the_stream_with_or_without_pose(root):
    scene = ScanNet(root, "test", stride=2).read(VAL)
    assert [frame.id for frame in scene.frames] == ["0", "2"] and scene.lost == LOST


def test_extracted_frames_are_those_of_the_stream(root):
    streamed = ScanNet(root, "test").read(VAL)
    images = [(frame.read_color(), frame.read_depth()) for frame in streamed.frames]
    scene = extracted(root).read(VAL)
    assert scene.lost == LOST and [f.id for f in scene.frames] == [f.id for f in streamed.frames]
    for a, b, (color, depth) in zip(scene.frames, streamed.frames, images, strict=True):
        assert np.array_equal(a.read_color(), color) and np.array_equal(a.read_depth(), depth)
        assert np.allclose(a.camera.pose, b.camera.pose, atol=1e-6)
        assert np.allclose(a.camera.intrinsics, b.camera.intrinsics)


def test_frames_resized_by_openscene_have_one_file_of_intrinsics(root):
    dataset = extracted(root, every=5)
    shutil.rmtree(root / VAL / "intrinsic")
    with pytest.raises(DataError, match=r"intrinsic_depth\.txt: missing; export it with the frames"):
        dataset.read(VAL)
    for file in (root / VAL / "depth").iterdir():
        Image.fromarray(np.full((12, 16), 2000, np.uint16)).save(file)
    before = dataset.keys()[VAL]
    np.savetxt(root / "intrinsics.txt", intrinsics((16, 12)))
    scene = dataset.read(VAL)
    assert [frame.id for frame in scene.frames] == ["0", "5"]
    assert scene.frames[0].camera.intrinsics[0, 0] == FOCAL / 2 and scene.frames[0].camera.width == 16
    assert dataset.keys()[VAL] != before


def test_intrinsics_of_another_size_are_refused(root):
    dataset = extracted(root)
    for file in (root / VAL / "depth").iterdir():
        Image.fromarray(np.full((12, 16), 2000, np.uint16)).save(file)
    with pytest.raises(DataError, match=r"intrinsic_depth\.txt: centre \(15\.5, 11\.5\) is not near .*16x12"):
        dataset.read(VAL)


@pytest.mark.parametrize("size", [(640, 480), (320, 240), (32, 24)])
def test_one_camera_for_all_scans_is_that_of_the_released_code(root, size):
    """Whatever the scan says of its own; nothing else changes."""
    assert np.allclose(reader.openscene_camera(size), released_code.intrinsics(size), rtol=0, atol=1e-9)
    own, one = ScanNet(root, "test").read(VAL), ScanNet(root, "test", intrinsics="openscene").read(VAL)
    assert np.array_equal(one.frames[0].camera.intrinsics, reader.openscene_camera(DEPTH))
    for a, b in zip(own.frames, one.frames, strict=True):
        assert np.array_equal(a.camera.pose, b.camera.pose)
        assert not np.allclose(a.camera.intrinsics, b.camera.intrinsics)
    keys = [ScanNet(root, "test", intrinsics=kind).keys()[VAL] for kind in ("own", "openscene")]
    assert keys[0] != keys[1]


def test_one_camera_for_all_scans_needs_no_file_of_intrinsics(root):
    extracted(root)
    shutil.rmtree(root / VAL / "intrinsic")
    frames = ScanNet(root, "test", intrinsics="openscene").read(VAL).frames
    assert np.allclose(frames[0].camera.intrinsics, released_code.intrinsics(DEPTH), rtol=0, atol=1e-9)


def test_axis_alignment_turns_points_normals_and_poses_together(root):
    plain, turned = ScanNet(root, "test").read(VAL), ScanNet(root, "test", align=True).read(VAL)
    assert np.allclose(turned.xyz, plain.xyz @ TURN[:3, :3].T + TURN[:3, 3], atol=1e-5)
    assert np.allclose(turned.normal, plain.normal @ TURN[:3, :3].T, atol=1e-6)
    assert np.array_equal(plain.world, np.eye(4))
    assert np.allclose(turned.xyz_in("source"), plain.xyz, atol=1e-5)
    for a, b in zip(plain.frames, turned.frames, strict=True):
        seen = [
            (scene.xyz - frame.camera.pose[:3, 3]) @ frame.camera.pose[:3, :3]
            for scene, frame in ((plain, a), (turned, b))
        ]
        assert np.allclose(*seen, atol=1e-5)


def test_scan_without_alignment_stays_as_it_is(root):
    (root / VAL / f"{VAL}.txt").write_text("appVersionId = 205\n")
    assert np.array_equal(ScanNet(root, "test", align=True).read(VAL).xyz, grid(6)[0])


def test_labels_by_nyu40_ids(root):
    truth, segment = ScanNet(root, "test").read_truth(VAL), segment_of_vertices()
    assert truth.label.dtype == np.int16 and truth.instance.dtype == np.int32
    assert truth.label.tolist() == [{7: 4, 3: 2, 11: -1}[s] for s in segment]  # chair, cabinet, none
    assert truth.instance.tolist() == [{7: 0, 3: 1, 11: -1}[s] for s in segment]
    assert truth.file.name == f"{VAL}_vh_clean_2.labels.ply"


def test_labels_without_objects_have_no_instances(root):
    for file in (f"{VAL}.aggregation.json", f"{VAL}_vh_clean_2.0.010000.segs.json"):
        (root / VAL / file).unlink()
    truth = ScanNet(root, "test").read_truth(VAL)
    assert truth.label.max() == 4 and set(truth.instance) == {-1}


def test_labels_by_category(root, categories):
    truth, segment = ScanNet(root, "test", labels=categories).read_truth(VAL), segment_of_vertices()
    assert truth.label.tolist() == [{7: 2, 3: 0, 11: -1}[s] for s in segment]
    assert truth.instance.tolist() == [{7: 0, 3: 1, 11: -1}[s] for s in segment]


def test_category_outside_the_label_set_has_no_label_but_is_an_object(root, categories):
    write_annotation(root / VAL, [("bag", ["left"]), ("chair", ["right", "left"])])
    truth = ScanNet(root, "test", labels=categories).read_truth(VAL)
    assert set(truth.label[segment_of_vertices() == 7]) == {2}  # the later object has a shared segment
    write_annotation(root / VAL, [("chair", ["right"]), ("bag", ["left"])])
    truth = ScanNet(root, "test", labels=categories).read_truth(VAL)
    left = segment_of_vertices() == 7
    assert set(truth.label[left]) == {-1} and set(truth.instance[left]) == {1}


@pytest.mark.parametrize("packed", [False, True])
def test_annotated_frames(root, categories, packed):
    pixels = np.zeros((36, 48), np.uint16)
    pixels[:, 10:20], pixels[:, 20:] = 29, 13  # kitchen cabinet, office chair
    (root / VAL / "label-filt").mkdir()
    file = root / VAL / "label-filt" / "3.png"
    Image.fromarray(pixels).save(file)
    if packed:
        with zipfile.ZipFile(root / VAL / f"{VAL}_2d-label-filt.zip", "w") as archive:
            archive.write(file, "label-filt/3.png")
        shutil.rmtree(file.parent)
    nyu40 = ScanNet(root, "test").read_frame_truth(VAL, "3")
    assert nyu40.dtype == np.uint8 and [nyu40[0, x] for x in (0, 10, 20)] == [255, 2, 4]
    mine = ScanNet(root, "test", labels=categories).read_frame_truth(VAL, "3")
    assert [mine[5, x] for x in (0, 10, 20)] == [255, 0, 255]  # an office chair is none of its classes
    assert ScanNet(root, "test").read_frame_truth(VAL, "4") is None
    write_table(root.parent / "scannetv2-labels.combined.tsv", TABLE[:3])
    older = ScanNet(root, "test").read_frame_truth(VAL, "3")  # of a table that lacks office chairs
    assert [older[0, x] for x in (0, 10, 20)] == [255, 2, 255]


def test_damaged_annotation_of_a_frame_is_named(root):
    (root / VAL / "label-filt").mkdir()
    file = root / VAL / "label-filt" / "3.png"
    Image.new("RGB", (4, 3)).save(file)
    with pytest.raises(DataError, match=r"3\.png: expected one integer per pixel, not uint8\[3, 4, 3\]"):
        ScanNet(root, "test").read_frame_truth(VAL, "3")
    Image.new("F", (4, 3), 0.9).save(file, "TIFF")
    with pytest.raises(DataError, match=r"3\.png: expected one integer per pixel, not float32\[3, 4\]"):
        ScanNet(root, "test").read_frame_truth(VAL, "3")
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(DataError, match=r"3\.png: frame 3 is not readable \(.*\); download it again"):
        ScanNet(root, "test").read_frame_truth(VAL, "3")


def test_a_category_without_nyu40id_is_no_label_of_a_frame(root):
    rows = [(name, id, "" if id == 13 else nyu40) for name, id, nyu40 in TABLE]
    write_table(root.parent / "scannetv2-labels.combined.tsv", rows)
    (root / VAL / "label-filt").mkdir()
    pixels = np.array([[0, 29, 13]], np.uint16)
    Image.fromarray(pixels).save(root / VAL / "label-filt" / "3.png")
    assert ScanNet(root, "test").read_frame_truth(VAL, "3").tolist() == [[255, 2, 255]]


def test_keys_change_with_what_is_read_alone(root):
    dataset = ScanNet(root, "test")
    key, truth = dataset.keys()[VAL], dataset.truth_keys()[VAL]
    (root / VAL / f"{VAL}.txt").write_text("")  # read where axis_alignment asks for it
    (root / VAL / f"{VAL}_vh_clean.ply").write_text("another mesh")
    (root / VAL / "color").mkdir()
    (root / VAL / "color" / "0.jpg").write_text("not looked at beside the stream")
    write_annotation(root / VAL, [("bag", ["left"])])
    assert dataset.keys()[VAL] == key and dataset.truth_keys()[VAL] != truth
    assert ScanNet(root, "test", align=True).keys()[VAL] != key
    write_sens(root / VAL / f"{VAL}.sens", make_frames(6, (3,)))
    changed = dataset.keys()[VAL]
    mesh = root / VAL / f"{VAL}_vh_clean_2.ply"
    mesh.write_bytes(mesh.read_bytes()[:-1] + b"\1")
    assert len({key, changed, dataset.keys()[VAL]}) == 3


def test_aligned_key_changes_with_the_alignment(root):
    dataset = ScanNet(root, "test", align=True)
    key = dataset.keys()[VAL]
    (root / VAL / f"{VAL}.txt").write_text("")
    assert dataset.keys()[VAL] != key


def test_key_of_categories_changes_with_the_table(root, categories):
    dataset = ScanNet(root, "test", labels=categories)
    key, plain = dataset.truth_keys()[VAL], ScanNet(root, "test").truth_keys()[VAL]
    write_table(root.parent / "scannetv2-labels.combined.tsv", [("chair", 3, 5), *TABLE[1:]])
    assert dataset.truth_keys()[VAL] != key and ScanNet(root, "test").truth_keys()[VAL] == plain


def test_damaged_frames_are_left_out(root):
    dataset = extracted(root)
    folder = root / VAL
    (folder / "depth" / "3.png").unlink()
    np.savetxt(folder / "pose" / "2.txt", np.diag([1.1, 1.1, 1.1, 1]))
    assert dataset.read(VAL).lost == (LeftOut("2", "pose not rigid"), LeftOut("3", "no depth"), *LOST)
    (folder / "color" / "5.jpg").write_bytes((folder / "color" / "5.jpg").read_bytes()[:99])
    with pytest.raises(DataError, match=r"pose/2\.txt: camera pose is scaled by 1\.1"):  # 2 of 4
        dataset.read(VAL)


# Bad files: each damage, and what is said of it.


def cut_stream(folder):
    file = folder / f"{VAL}.sens"
    file.write_bytes(file.read_bytes()[:3000])


def sheared_poses(folder):
    frames = make_frames(4)
    for frame in frames[2:]:
        frame["pose"][0, 0] = 2
    write_sens(folder / f"{VAL}.sens", frames)


def no_pose(folder):
    write_sens(folder / f"{VAL}.sens", make_frames(3, (0, 1, 2)))


def no_frames(folder):
    (folder / f"{VAL}.sens").unlink()


def no_mesh(folder):
    (folder / f"{VAL}_vh_clean_2.ply").unlink()


def cut_mesh(folder):
    file = folder / f"{VAL}_vh_clean_2.ply"
    file.write_bytes(file.read_bytes()[:-40])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_stream, r"\.sens: truncated, it ends within frame \d of 6; download it again"),
        (sheared_poses, r"\.sens: frame 2: camera pose is singular or not rigid.*\(as 2 of 4 frames\)"),
        (no_pose, rf"{VAL}: none of 3 frames has a pose; take {VAL} off the split"),
        (no_frames, r"\.sens: missing; download it, or extract its frames to color/"),
        (no_mesh, r"_vh_clean_2\.ply: missing; download it"),
        (cut_mesh, r"_vh_clean_2\.ply: not a readable PLY mesh"),
    ],
)
def test_damage_is_named(root, damage, message):
    damage(root / VAL)
    with pytest.raises(DataError, match=message):
        ScanNet(root, "test").read(VAL)


@pytest.mark.parametrize("value", ["1 0 0", "2 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1", "a " * 16])
def test_alignment_that_is_no_rigid_matrix(root, value):
    (root / VAL / f"{VAL}.txt").write_text(f"axisAlignment = {value}\n")
    with pytest.raises(DataError, match=rf"{VAL}\.txt: axisAlignment is not a rigid 4x4 matrix; download"):
        ScanNet(root, "test", align=True).read(VAL)


def test_alignment_that_is_missing(root):
    (root / VAL / f"{VAL}.txt").unlink()
    assert ScanNet(root, "test").read(VAL).lost == LOST
    with pytest.raises(DataError, match=rf"{VAL}\.txt: missing; download it, or set dataset\.scannet\.axis"):
        ScanNet(root, "test", align=True).read(VAL)


def no_table(folder):
    (folder.parent.parent / "scannetv2-labels.combined.tsv").unlink()


def other_table(folder):
    (folder.parent.parent / "scannetv2-labels.combined.tsv").write_text("a\tb\n1\t2\n")


def no_aggregation(folder):
    (folder / f"{VAL}.aggregation.json").unlink()


def no_segments(folder):
    (folder / f"{VAL}_vh_clean_2.0.010000.segs.json").unlink()


def cut_aggregation(folder):
    file = folder / f"{VAL}.aggregation.json"
    file.write_text(file.read_text()[:60])


def other_segment(folder):
    file = folder / f"{VAL}.aggregation.json"
    file.write_text(json.dumps({"segGroups": [{"objectId": 5, "segments": [7, 8], "label": "chair"}]}))


def groups_of_nothing(folder):
    (folder / f"{VAL}.aggregation.json").write_text(json.dumps({"segGroups": [{"label": "chair"}]}))


def latin_table(folder):
    file = folder.parent.parent / "scannetv2-labels.combined.tsv"
    file.write_bytes(file.read_bytes() + "tür\t1\n".encode("latin-1"))


def large_table(folder):
    file = folder.parent.parent / "scannetv2-labels.combined.tsv"
    first, *rows = file.read_text().splitlines()
    columns = first.split("\t")
    cells = rows[0].split("\t")
    cells[columns.index("id")] = str(2**40)
    file.write_text("\n".join([first, "\t".join(cells), *rows[1:]]) + "\n")


def half_an_object(folder):
    file = folder / f"{VAL}.aggregation.json"
    file.write_text(json.dumps({"segGroups": [{"objectId": 5.5, "segments": [7], "label": "chair"}]}))


def large_object(folder):
    file = folder / f"{VAL}.aggregation.json"
    file.write_text(json.dumps({"segGroups": [{"objectId": 2**32 + 1, "segments": [7], "label": "chair"}]}))


def half_a_segment(folder):
    file = folder / f"{VAL}.aggregation.json"
    file.write_text(json.dumps({"segGroups": [{"objectId": 5, "segments": [7.5], "label": "chair"}]}))


def large_segment(folder):
    (folder / f"{VAL}_vh_clean_2.0.010000.segs.json").write_text('{"segIndices": [0, 1099511627776]}')


def half_of_the_segments(folder):
    (folder / f"{VAL}_vh_clean_2.0.010000.segs.json").write_text('{"segIndices": [7, 0.9]}')


def half_a_row(folder):
    file = folder.parent.parent / "scannetv2-labels.combined.tsv"
    first, *rows = file.read_text().splitlines()
    cells = rows[0].split("\t")
    cells[first.split("\t").index("id")] = "0.9"
    file.write_text("\n".join([first, "\t".join(cells), *rows[1:]]) + "\n")


def segments_in_words(folder):
    (folder / f"{VAL}_vh_clean_2.0.010000.segs.json").write_text('{"segIndices": ["a", "b"]}')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (no_table, r"scannetv2-labels\.combined\.tsv: missing; download it \(.*--label_map\)"),
        (other_table, r"scannetv2-labels\.combined\.tsv: not ScanNet's table of categories"),
        (no_aggregation, r"aggregation\.json: missing; download it"),
        (no_segments, r"segs\.json: missing; download it"),
        (cut_aggregation, r"aggregation\.json: not readable JSON .*download it again"),
        (other_segment, r"aggregation\.json: object 5 has segment 8, which no vertex of .*segs\.json has"),
        (groups_of_nothing, r"aggregation\.json: not a list of objects \(KeyError\('segments'\)\)"),
        (latin_table, r"combined\.tsv: line \d+ is not UTF-8 \(byte 0xfc\); save it as UTF-8"),
        (
            large_table,
            r"combined\.tsv: not ScanNet's table of categories .*id 1099511627776, ids go up to 16,777,216",
        ),
        (half_an_object, r"aggregation\.json: not a list of objects .*5\.5 is no whole number"),
        (large_object, r"aggregation\.json: not a list of objects .*4294967297 is no whole number"),
        (half_a_segment, r"aggregation\.json: not a list of objects .*7\.5 is no whole number"),
        (
            large_segment,
            r"segs\.json: not a segmentation of the mesh .*segment 1099511627776, ids go up to 16,777,216",
        ),
        (half_of_the_segments, r"segs\.json: not a segmentation of the mesh .*integers, one per vertex"),
        (half_a_row, r"combined\.tsv: not ScanNet's table of categories .*'0\.9'"),
        (segments_in_words, r"segs\.json: not a segmentation of the mesh .*integers, one per vertex"),
    ],
)
def test_damaged_annotation_is_named(root, categories, damage, message):
    damage(root / VAL)
    with pytest.raises(DataError, match=message):
        ScanNet(root, "test", labels=categories).read_truth(VAL)


@pytest.mark.parametrize("strange", [50, 149, 41, 65535])
def test_ids_that_nyu40_has_not_are_unlabelled_and_counted(root, strange):
    """As in three released training scans: 50 and 149 (ScanNet/ScanNet, issues 20 and 86)."""
    expected = ScanNet(root, "test").read_truth(VAL)
    file = root / VAL / f"{VAL}_vh_clean_2.labels.ply"
    data = bytearray(file.read_bytes())
    start = data.index(b"end_header\n") + 11
    for vertex in range(7):
        data[start + 16 + 18 * vertex : start + 18 + 18 * vertex] = strange.to_bytes(2, "little")
    file.write_bytes(data)
    truth = ScanNet(root, "test").read_truth(VAL)
    assert truth.label[:7].tolist() == [-1] * 7 and np.array_equal(truth.label[7:], expected.label[7:])
    assert truth.unknown == {f"NYU40 id {strange}": 7} and expected.unknown == {}
    assert np.array_equal(truth.instance, expected.instance)


@pytest.mark.parametrize("value", [0.9, 39.5, np.nan])
def test_fractions_are_ids_that_nyu40_has_not(root, value):
    """A cast would make class 39 of 39.5."""
    expected = ScanNet(root, "test").read_truth(VAL)
    file = root / VAL / f"{VAL}_vh_clean_2.labels.ply"
    mesh = PlyData.read(file, mmap=False)
    old = mesh["vertex"].data
    vertex = np.empty(len(old), [(n, "f4" if n == "label" else old.dtype[n]) for n in old.dtype.names])
    for each in old.dtype.names:
        vertex[each] = old[each]
    vertex["label"][:7] = value
    PlyData([PlyElement.describe(vertex, "vertex"), mesh["face"]], byte_order="<").write(file)
    truth = ScanNet(root, "test").read_truth(VAL)
    assert truth.label[:7].tolist() == [-1] * 7 and np.array_equal(truth.label[7:], expected.label[7:])
    assert sum(truth.unknown.values()) == 7


def test_a_category_that_the_table_lacks_is_unlabelled_and_counted(root, categories):
    write_annotation(root / VAL, [("chair", ["left"]), ("chair", ["right"])])
    dataset = ScanNet(root, "test", labels=categories)
    expected = dataset.read_truth(VAL)
    file = root / VAL / f"{VAL}.aggregation.json"
    file.write_text(file.read_text().replace("chair", "chaise longue", 1))
    truth = dataset.read_truth(VAL)
    left = expected.instance == 0
    assert left.any() and (truth.label[left] == -1).all()
    assert np.array_equal(truth.label[~left], expected.label[~left])
    lacking = "category 'chaise longue', which scannetv2-labels.combined.tsv lacks"
    assert truth.unknown == {lacking: int(left.sum())}
    assert np.array_equal(truth.instance, expected.instance)


def test_damaged_vertex_labels_are_named(root):
    file = root / VAL / f"{VAL}_vh_clean_2.labels.ply"
    data = file.read_bytes()
    start = data.index(b"end_header\n") + 11
    vertices = bytearray(data)
    for vertex in range(20):
        vertices[start + 16 + 18 * vertex] = 57
    file.write_bytes(vertices)
    with pytest.raises(DataError, match=r"labels\.ply: 20 of 36 vertices have ids outside NYU40's 1\.\.40"):
        ScanNet(root, "test").read_truth(VAL)
    file.write_bytes(data[:-30])
    with pytest.raises(DataError, match=r"labels\.ply: not a readable PLY with a label per vertex"):
        ScanNet(root, "test").read_truth(VAL)
    file.write_bytes(data.replace(b"ushort label", b"ushort libel"))
    with pytest.raises(DataError, match=r"labels\.ply: not a readable PLY with a label per vertex"):
        ScanNet(root, "test").read_truth(VAL)
    file.unlink()
    with pytest.raises(DataError, match=r"labels\.ply: missing; download it beside aggregation\.json"):
        ScanNet(root, "test").read_truth(VAL)


def test_segments_of_another_mesh_are_refused(root):
    file = root / VAL / f"{VAL}_vh_clean_2.0.010000.segs.json"
    file.write_text(json.dumps({"segIndices": [7, 3, 11]}))
    with pytest.raises(DataError, match=r"segs\.json: 3 vertices, .*labels\.ply has 36; download both again"):
        ScanNet(root, "test").read_truth(VAL)


def test_label_set_without_ids_is_refused(root, tmp_path):
    path = tmp_path / "plain.csv"
    path.write_text("index,name,prompt,red,green,blue,foreground\n0,cup,cup,1,2,3,1\n")
    with pytest.raises(DataError, match="label set plain has neither a column nyu40_id nor scannet_id; add"):
        ScanNet(root, "test", labels=path).read_truth(VAL)
