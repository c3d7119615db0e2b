"""A miniature of nuScenes through the stages, run as a user runs them, with a made-up 2D model."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from anyscene.project import store
from stages import labels, projection, scenes, superpoints
from tests.builders.nuscenes import (
    CAMERAS,
    INTERVAL,
    INTRINSICS,
    MOUNTS,
    SIZE,
    START,
    camera_time,
    ego,
    into,
    world,
    write_root,
)

pytestmark = pytest.mark.integration

DRIVES = VAL, TRAIN = "scene-0103", "scene-0061"
BORDER = 1


@pytest.fixture
def drives(project):
    write_root(project.folder / "nuscenes", *DRIVES, keyframes=2)
    project.change(
        dataset={
            "root": "nuscenes", "name": "nuscenes", "reader": "nuscenes", "label_set": "nuscenes16",
        },
        projection={"width": SIZE[0], "height": SIZE[1], "border": BORDER},
        superpoints={"method": "identity"},
    )  # fmt: skip
    return project


def run(stage, *arguments):
    return CliRunner().invoke(stage.app, arguments)


def seen_by(xyz, index):
    """Camera -> pixels i[N,2] of keyframe `index` of the first drive, -1 where it does not see a point."""
    found = {}
    for turn, channel in enumerate(CAMERAS):
        at = ego(0, camera_time(START + index * INTERVAL, turn))
        eye = into(into(xyz, at), MOUNTS[channel])
        with np.errstate(divide="ignore", invalid="ignore"):
            pixel = np.rint((eye @ np.array(INTRINSICS).T)[:, :2] / eye[:, 2:])
        inside = (pixel >= BORDER).all(1) & (pixel < np.array(SIZE) - BORDER).all(1) & (eye[:, 2] > 0)
        found[channel] = np.where(inside[:, None], pixel, -1)
    return found


def test_from_tables_to_features(drives, two_axes):
    assert run(scenes).exit_code == 0
    assert store.scene_ids("data/scenes") == [f"{drive}_{k:02d}" for drive in (TRAIN, VAL) for k in range(2)]
    scene = store.read_scene(f"data/scenes/{VAL}_01.zarr", Path("nuscenes"))
    assert (scene.split, scene.dataset, len(scene.frames)) == ("val", "nuscenes", 6)
    assert scene.frames[0].read_color().shape == (SIZE[1], SIZE[0], 3)

    result = run(labels)
    assert result.exit_code == 0, result.stderr
    group = store.open_scene(f"data/labels/{VAL}_01.zarr")
    xyz, index, _ = world(0)
    assert group["label"].shape == scene.xyz.shape[:1]
    assert (group["label"][: len(xyz)] == 14).tolist() == (index == 28).tolist()  # manmade
    assert (group["label"][len(xyz) :] == -1).all()

    assert run(superpoints).exit_code == 0
    superpoint = store.open_scene(f"data/superpoints/{VAL}_01.zarr")["superpoint"][:]
    assert np.array_equal(superpoint, np.arange(len(scene.xyz)))

    result = run(projection, "dense")
    assert result.exit_code == 0, result.stderr
    group = store.open_scene(f"data/projection/dense/{VAL}_01.zarr")
    feature, count = group["feature"][: len(xyz)], group["count"][: len(xyz)]
    pixels = np.stack(list(seen_by(xyz, 1).values()))  # [6, N, 2]
    expected = (pixels[:, :, 0] >= 0).sum(0)
    assert np.array_equal(count, expected) and set(count.tolist()) >= {0, 1}
    once = expected == 1
    column = pixels[:, :, 0].max(0)
    left, right = once & (column < SIZE[0] / 2 - 3), once & (column > SIZE[0] / 2 + 3)
    assert left.any() and right.any()  # the model sees one thing on the left, another on the right
    assert (feature[left] == (1, 0)).all() and (feature[right] == (0, 1)).all()


def test_superpoints_of_sweeps_without_faces(drives):
    """By nearest neighbours and normals, where identity (the paper's) is not asked for."""
    drives.change(superpoints={"method": "mesh", "min_vertices": 4})
    assert run(scenes).exit_code == 0
    assert run(superpoints).exit_code == 0
    superpoint = store.open_scene(f"data/superpoints/{VAL}_00.zarr")["superpoint"][:]
    index = world(0)[1]
    road, wall = superpoint[: len(index)][index == 24], superpoint[: len(index)][index == 28]
    assert 1 < len(np.unique(superpoint)) < len(superpoint) / 2
    common = np.bincount(road).argmax(), np.bincount(wall).argmax()
    assert common[0] != common[1] and (road == common[0]).mean() > 0.7


def test_bad_keyframes_are_listed_and_the_others_finished(drives):
    next((drives.folder / "nuscenes/samples/CAM_BACK").glob(f"{TRAIN}*")).unlink()
    sweep = drives.folder / f"nuscenes/samples/LIDAR_TOP/{VAL}__LIDAR_TOP__{START}.pcd.bin"
    sweep.write_bytes(sweep.read_bytes()[:-3])
    result = run(scenes)
    assert result.exit_code == 1 and "3 of 4 scenes failed" in result.stderr  # the sweep is of two keyframes
    assert "bytes are not points of 5 floats; unpack it again" in result.stderr
    assert "CAM_BACK" in result.stderr and "missing; unpack the part of the data set" in result.stderr
    assert len(store.scene_ids("data/scenes")) == 1
