"""A miniature of Matterport3D through the stages, run as a user runs them, with a made-up 2D model."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.tasks.truth import split_by_annotation
from stages import labels, projection, scenes, superpoints
from tests.builders.matterport import image_names, room, write_house, write_root

HOUSES = TRAIN, VAL = "17DRP5sb8fy", "2azQ1b91cZZ"


@pytest.fixture
def houses(project):
    write_root(project.folder, *HOUSES)
    project.change(
        dataset={
            "root": "scans", "name": "matterport3d", "reader": "matterport", "label_set": "matterport21",
        },
        projection={"width": 16, "height": 12, "border": 1, "tolerance": 0.25},
        superpoints={"min_vertices": 4},
        scenes={"contradictions": "warn"},  # the images see 2 m everywhere, which is not this room
    )  # fmt: skip
    return project


def run(stage, *arguments):
    return CliRunner().invoke(stage.app, arguments)


def test_from_house_to_features(houses, two_axes):
    assert run(scenes).exit_code == 0
    assert store.scene_ids("data/scenes") == [f"{house}_region{r}" for house in HOUSES for r in range(2)]
    scene = store.read_scene(f"data/scenes/{VAL}_region1.zarr", Path("scans"))
    assert (scene.split, scene.dataset, len(scene.frames)) == ("val", "matterport3d", 6)
    assert run(labels).exit_code == 0
    label = store.open_scene(f"data/labels/{VAL}_region1.zarr")["label"][:]
    assert set(label.tolist()) == {-1, 0, 7, 20}  # none, wall, door, ceiling
    assert run(superpoints).exit_code == 0

    result = run(projection, "dense")
    assert result.exit_code == 0, result.stderr
    group = store.open_scene(f"data/projection/dense/{VAL}_region0.zarr")
    feature, count = group["feature"][:], group["count"][:]
    x = room(0)[0][:16, 0]  # of the wall, which the level camera sees head on
    seen = count[:16] > 0
    assert seen[x < 0.4].any() and seen[x > 0.6].any()
    assert (feature[:16][seen & (x < 0.4)].argmax(1) == 0).all()
    assert (feature[:16][seen & (x > 0.6)].argmax(1) == 1).all()


def test_published_scores_are_of_the_test_split(houses):
    houses.change(evaluation={"split": "test"})
    write_house(houses.folder / "scans", "2t7WUuJeko7", regions=1, assigned=(0,))
    assert run(scenes).exit_code == 0
    assert run(labels).exit_code == 0
    split = houses.params.evaluation.split
    assert split_by_annotation(Artefacts(houses.folder), split) == (["2t7WUuJeko7_region0"], [])


def test_bad_regions_are_listed_and_the_others_finished(houses):
    (houses.folder / "scans" / TRAIN / "undistorted_depth_images" / image_names(1, 0, 0)[0]).unlink()
    mesh = houses.folder / "scans" / VAL / "region_segmentations" / "region0.ply"
    mesh.write_bytes(mesh.read_bytes()[:-3])
    result = run(scenes)
    assert result.exit_code == 1 and "2 of 4 scenes failed" in result.stderr
    assert f"{VAL}_region0: scans/{VAL}/region_segmentations/region0.ply: not a readable" in result.stderr
    assert store.scene_ids("data/scenes") == [f"{TRAIN}_region0", f"{VAL}_region1"]
