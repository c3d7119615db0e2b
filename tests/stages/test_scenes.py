"""The stages scenes and labels, run as a user runs them, on small captures."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from anyscene.project import store
from anyscene.scene import LeftOut
from stages import labels, scenes
from tests.builders import box_room
from tests.builders.capture import grid, write_ply, write_scan, write_scans, write_splits
from tests.builders.files import tree_hash

pytestmark = pytest.mark.integration


@pytest.fixture
def captured(project):
    write_scans(project.folder / "raw", train=["a", "b"], val=["c"])
    project.change(dataset={"root": "raw", "name": "small"})
    return project


def run(stage):
    return CliRunner().invoke(stage.app, [])


def test_scenes(captured):
    assert run(scenes).exit_code == 0
    scene = store.read_scene("data/scenes/c.zarr", Path("raw"))
    assert scene.split == "val" and scene.dataset == "small" and scene.xyz.shape == (36, 3)
    assert scene.frames[0].read_color().shape == (24, 32, 3)
    group = store.open_scene("data/scenes/c.zarr")
    assert sorted(group) == ["face", "normal", "rgb", "xyz"]
    assert group.attrs["units"] == "m" and group.attrs["up"] == "z"


def test_bad_scenes_are_listed_and_the_others_finished(captured):
    for index in range(3):
        np.savetxt(f"raw/b/pose/{index}.txt", np.full((4, 4), np.nan))
    write_splits(captured.folder / "raw", ["a", "b"], ["c", "gone", "../c"])
    result = run(scenes)
    assert result.exit_code == 1
    for cause in (
        "3 of 5 scenes failed",
        "b: raw/b/pose/0.txt",
        "gone: raw/gone: no such folder",
        "'../c' cannot",
    ):
        assert cause in result.stderr
    assert store.scene_ids("data/scenes") == ["a", "c"]


def test_frames_that_are_left_out_are_counted_by_their_faults(captured):
    Path("raw/a/pose/1.txt").unlink()
    np.savetxt("raw/b/pose/1.txt", np.full((4, 4), np.nan))
    Path("raw/b/color/2.png").write_bytes(b"")
    write_scan(captured.folder / "raw", "d", frames=4)
    write_splits(captured.folder / "raw", ["a"], ["c", "d"])
    result = run(scenes)
    assert result.exit_code == 0, result.stderr
    assert "scenes: 1 frames of 1 scenes were left out: 1 no pose" in " ".join(result.stderr.split())
    assert store.lost_frames("data/scenes/a.zarr") == (LeftOut("1", "no pose"),)
    write_splits(captured.folder / "raw", ["a", "b"], ["c", "d"])
    result = run(scenes)  # of three frames two are left out, of which one is damaged, and as many are whole
    assert result.exit_code == 1 and "b: raw/b/color/2.png: not a readable image" in result.stderr


def test_annotation_does_not_reach_scenes(captured):
    assert run(scenes).exit_code == 0
    before = tree_hash(captured.folder / "data/scenes")
    for name in ("a", "b", "c"):
        for file in (captured.folder / "raw" / name / "truth").iterdir():
            file.unlink()
        (captured.folder / "raw" / name / "truth").rmdir()
    result = run(scenes)
    assert "0 computed, 3 unchanged" in result.stderr
    assert tree_hash(captured.folder / "data/scenes") == before


def test_what_readers_did_to_the_world_is_kept_and_said(captured):
    for number, scene in enumerate("abc"):
        xyz, face = grid(6)
        away = (xyz + [5000.2 * number, 0, 0.2], np.zeros((len(xyz), 3), np.uint8), face)
        write_ply(captured.folder / f"raw/{scene}/mesh.ply", *away)
    result = run(scenes)
    said = " ".join(result.stderr.split())
    assert result.exit_code == 0 and said.count("moved to the origin") == 2
    assert "scenes: raw/c: moved to the origin from 10001,2,1; --world source gives results there" in said
    world = {scene: store.world(store.open_scene(f"data/scenes/{scene}.zarr")) for scene in "abc"}
    assert np.array_equal(world["a"], np.eye(4)) and world["b"][:3, 3].tolist() == [5001, 2, 1]
    read = store.read_scene(Path("data/scenes/c.zarr"), captured.folder / "raw")
    assert np.array_equal(read.world, world["c"]) and len(read.remarks) == 1
    np.testing.assert_allclose(read.xyz_in("source"), xyz + [10000.4, 0, 0.2], atol=1e-3)


def test_labels(captured):
    run(scenes)
    assert run(labels).exit_code == 0
    group = store.open_scene("data/labels/a.zarr")
    assert group["label"].dtype == np.int16 and group["instance"].dtype == np.int32
    assert group["label"].shape == (36,)


def test_labels_of_unannotated_scenes_are_left_out(captured):
    run(scenes)
    for file in (captured.folder / "raw/b/truth").iterdir():
        file.unlink()
    (captured.folder / "raw/b/truth").rmdir()
    assert run(labels).exit_code == 0
    assert store.scene_ids("data/labels") == ["a", "c"]


@pytest.mark.parametrize(
    ("label", "message"),
    [(np.zeros(35, int), "35 labels for 36 vertices"), (np.full(36, 20), "labels must lie in -1..19")],
)
def test_bad_labels_are_listed(captured, label, message):
    np.save("raw/a/truth/vertex_label.npy", label)
    np.save("raw/a/truth/vertex_instance.npy", np.zeros(len(label), int))
    run(scenes)
    result = run(labels)
    assert (
        result.exit_code == 1
        and message in result.stderr
        and "a: raw/a/truth/vertex_label.npy" in result.stderr
    )
    assert store.scene_ids("data/labels") == ["b", "c"]


def test_unknown_parameter_is_a_message(captured):
    captured.change(scenes={"stride": 2})
    result = run(scenes)
    assert result.exit_code == 1 and "scenes: unknown key 'stride'" in result.stderr


def test_labels_of_a_scene_that_was_not_imported_are_listed(captured):
    run(scenes)
    shutil.rmtree("data/scenes/b.zarr")
    result = run(labels)
    assert result.exit_code == 1 and "data/scenes/b.zarr: missing; run scenes first" in result.stderr
    assert store.scene_ids("data/labels") == ["a", "c"]


def test_labels_are_of_the_cloud_that_they_were_made_for(captured):
    run(scenes)
    assert run(labels).exit_code == 0
    xyz, face = grid(5)
    write_ply(captured.folder / "raw/a/mesh.ply", xyz, np.zeros((len(xyz), 3), np.uint8), face)
    run(scenes)
    result = run(labels)
    assert result.exit_code == 1 and "1 of 3 scenes failed" in result.stderr
    assert "36 labels for 25 vertices" in result.stderr


def test_scenes_of_another_root_are_not_removed_without_a_word(captured):
    assert run(scenes).exit_code == 0
    before = tree_hash(captured.folder / "data/scenes")
    write_scans(captured.folder / "other", train=[], val=["d"])
    captured.change(dataset={"root": "other"})
    result = run(scenes)
    said = " ".join(result.stderr.split())
    assert result.exit_code == 1 and tree_hash(captured.folder / "data/scenes") == before
    for words in (
        "data/scenes: holds 3 scenes (a to c), none of which is in other",
        "`anyscene init FOLDER --root other`",
        "`anyscene scenes --replace`, then `dvc repro`",
        "`dvc checkout`",
    ):
        assert words in said
    result = CliRunner().invoke(scenes.app, ["--replace"])
    assert result.exit_code == 0 and "1 computed, 0 unchanged, 3 removed" in result.stderr
    assert run(scenes).exit_code == 0 and store.scene_ids("data/scenes") == ["d"]


def test_a_scan_that_is_gone_goes_from_the_scenes(captured):
    assert run(scenes).exit_code == 0
    write_splits(captured.folder / "raw", ["a"], ["c"])
    result = run(scenes)
    assert result.exit_code == 0 and "0 computed, 2 unchanged, 1 removed" in result.stderr


def test_a_scene_that_contradicts_itself_is_refused_and_stops_no_other(captured):
    for name, pose in (("right", lambda one: one), ("wrong", np.linalg.inv)):
        box_room.write_scan(captured.folder / "rooms" / name, pose=pose)
    captured.change(dataset={"root": "rooms"})
    result = run(scenes)
    assert result.exit_code == 1 and "1 of 2 scenes failed" in result.stderr
    assert "wrong: rooms/wrong: its depth maps contradict each other" in result.stderr
    assert 'write {"poses": "world-to-camera"} in rooms/wrong/capture.json' in result.stderr
    assert store.scene_ids("data/scenes") == ["right"]
    found = store.agreement(Path("data/scenes/right.zarr"))
    assert found["frames"]["agree"] > 0.9 and found["frames"]["seen_past"] < 0.01
    assert found["surface"]["agree"] > 0.9 and "warning" not in found
    captured.change(scenes={"contradictions": "warn"})
    result = run(scenes)
    assert result.exit_code == 0 and "2 computed" in result.stderr  # a parameter makes all stale
    assert "scenes: rooms/wrong: its depth maps contradict each other" in result.stderr
    assert store.scene_ids("data/scenes") == ["right", "wrong"]
    assert "world-to-camera" in store.agreement(Path("data/scenes/wrong.zarr"))["warning"]


def test_frames_that_contradict_the_others_are_named_and_kept(captured):
    folder = box_room.write_scan(captured.folder / "rooms" / "swapped")
    for one, other in (("3", "7"), ("7", "3")):
        depth = box_room.frames()[int(other)].depth
        Image.fromarray(np.rint(1000 * depth).astype(np.uint16)).save(folder / "depth" / f"{one}.png")
    captured.change(dataset={"root": "rooms"})
    result = run(scenes)
    assert result.exit_code == 0 and "scenes: rooms/swapped: frames 3 (" in result.stderr
    warning = store.agreement(Path("data/scenes/swapped.zarr"))["warning"]
    assert warning.endswith("are their depth maps or poses swapped?")
    assert len(store.open_scene(Path("data/scenes/swapped.zarr")).attrs["frames"]) == 12


def test_scenes_without_depth_say_how_far_images_show_the_mesh(captured):
    for depth in (captured.folder / "raw").glob("*/depth"):
        shutil.rmtree(depth)
    assert run(scenes).exit_code == 0
    found = store.agreement(Path("data/scenes/a.zarr"))
    assert found.keys() == {"colours", "warning"} and abs(found["colours"]) < 0.5  # both are noise
