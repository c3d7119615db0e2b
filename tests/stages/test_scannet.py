"""A miniature ScanNet data set through the stages, run as a user runs them, with a made-up 2D model."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from anyscene.project import store
from anyscene.scene import LeftOut
from stages import labels, projection, scenes, superpoints
from tests.builders.capture import grid
from tests.builders.files import tree_hash
from tests.builders.scannet import SEGMENT, segment_of_vertices, write_root

pytestmark = pytest.mark.integration

SCANS = TRAIN, BAD, VAL = "scene0000_00", "scene0001_00", "scene0011_00"


@pytest.fixture
def three_scans(project):
    write_root(project.folder, *SCANS)
    project.change(
        dataset={"root": "scans", "name": "scannet", "reader": "scannet"},
        scenes={"frame_stride": 2},
        projection={"width": 16, "height": 12, "border": 1, "tolerance": 0.25},
        superpoints={"min_vertices": 5},
    )
    return project


def run(stage, *arguments):
    return CliRunner().invoke(stage.app, arguments)


def test_from_stream_to_features(three_scans, two_axes):
    result = run(scenes)
    assert result.exit_code == 0
    assert "scenes: 3 frames of 3 scenes were left out: 3 no pose" in " ".join(result.stderr.split())
    scene = store.read_scene(f"data/scenes/{VAL}.zarr", Path("scans"))
    assert (scene.split, scene.dataset) == ("val", "scannet")
    assert scene.lost == (LeftOut("4", "no pose"),)
    assert [frame.id for frame in scene.frames] == ["0", "2"]
    assert store.open_scene(f"data/scenes/{TRAIN}.zarr").attrs["split"] == "train"
    assert run(labels).exit_code == 0
    label = store.open_scene(f"data/labels/{VAL}.zarr")["label"][:]
    assert label.tolist() == [{7: 4, 3: 2, 11: -1}[s] for s in segment_of_vertices()]
    assert run(superpoints).exit_code == 0
    assert store.open_scene(f"data/superpoints/{VAL}.zarr")["superpoint"].shape == (36,)

    result = run(projection, "dense")
    assert result.exit_code == 0, result.stderr
    group = store.open_scene(f"data/projection/dense/{VAL}.zarr")
    feature, count = group["feature"][:], group["count"][:]
    x = grid(6)[0][:, 0]  # the cameras stand at 0.5 and 0.54 and look straight at the wall
    assert (count == 2).any()
    assert np.array_equal(
        feature[(x < 0.3) & (count > 0)].argmax(1), np.zeros(((x < 0.3) & (count > 0)).sum())
    )
    assert (feature[(x > 0.7) & (count > 0)].argmax(1) == 1).all()


def test_bad_scans_are_listed_and_the_others_finished(three_scans):
    stream = three_scans.folder / "scans" / BAD / f"{BAD}.sens"
    stream.write_bytes(stream.read_bytes()[:4000])
    result = run(scenes)
    assert result.exit_code == 1 and "1 of 3 scenes failed" in result.stderr
    assert f"{BAD}: scans/{BAD}/{BAD}.sens: truncated" in result.stderr
    assert store.scene_ids("data/scenes") == [TRAIN, VAL]


def test_labels_of_no_known_category_are_counted_and_said(three_scans):
    run(scenes)
    file = three_scans.folder / "scans" / BAD / f"{BAD}_vh_clean_2.labels.ply"
    data = bytearray(file.read_bytes())
    start = data.index(b"end_header\n") + 11
    for vertex in range(7):
        data[start + 16 + 18 * vertex] = 50
    file.write_bytes(data)
    result = run(labels)
    assert result.exit_code == 0, result.stderr
    said = [line for line in result.stderr.splitlines() if "no label" in line]
    assert said == [f"labels: {BAD}: 7 vertices have no label: their annotation says NYU40 id 50"]
    assert (store.open_scene(f"data/labels/{BAD}.zarr")["label"][:7] == -1).all()


def test_bad_annotation_is_listed_and_the_others_finished(three_scans):
    run(scenes)
    (three_scans.folder / "scans" / BAD / f"{BAD}_vh_clean_2.0.010000.segs.json").unlink()
    result = run(labels)
    assert result.exit_code == 1 and f"{BAD}: scans/{BAD}/{BAD}_vh_clean_2.0.010000.segs.json: missing" in (
        result.stderr
    )
    assert store.scene_ids("data/labels") == [TRAIN, VAL]


def test_missing_table_stops_the_labels_of_categories_alone(three_scans):
    run(scenes)
    (three_scans.folder / "scannetv2-labels.combined.tsv").unlink()
    assert run(labels).exit_code == 0
    Path("mine.csv").write_text(
        "index,name,scannet_id,prompt,red,green,blue,foreground\n0,chair,2,chair,1,2,3,1\n"
    )
    three_scans.change(dataset={"label_set": "mine.csv"})
    result = run(labels)
    assert result.exit_code == 1 and "scannetv2-labels.combined.tsv: missing; download it" in result.stderr


def test_other_label_set_changes_labels_alone(three_scans):
    run(scenes)
    run(labels)
    before = tree_hash(Path("data/scenes"))
    Path("mine.csv").write_text(
        "index,name,scannet_id,prompt,red,green,blue,foreground\n0,chair,2,chair,1,2,3,1\n"
    )
    three_scans.change(dataset={"label_set": "mine.csv"})
    assert "3 unchanged" in run(scenes).stderr and tree_hash(Path("data/scenes")) == before
    assert "3 computed" in run(labels).stderr
    label = store.open_scene(f"data/labels/{VAL}.zarr")["label"][:]
    assert np.array_equal(label == 0, segment_of_vertices() == SEGMENT["left"])


def test_alignment_moves_points_and_computes_scenes_again(three_scans):
    run(scenes)
    three_scans.change(dataset={"scannet": {"axis_alignment": True, "intrinsics": "own"}})
    assert "3 computed" in run(scenes).stderr
    xyz = store.open_scene(f"data/scenes/{VAL}.zarr")["xyz"][:]
    assert np.allclose(xyz[:, 2], grid(6)[0][:, 2] + 0.25, atol=1e-6)
