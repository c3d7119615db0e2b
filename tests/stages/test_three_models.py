"""Any number of 2D models is a matter of parameters: two of this project's and one that ran elsewhere."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from anyscene.cli import convert, frames
from anyscene.fusion import fuse
from anyscene.lifting import project_scenes
from anyscene.project import store
from anyscene.project.parameters import Text
from anyscene.segmenters.class_names import SEEM
from anyscene.text import embeddings, load_text_encoder
from stages import capability, fusion, projection, scenes, superpoints
from tests.builders import small_demo
from tests.builders.capture import write_scans
from tests.builders.project import Project

pytestmark = pytest.mark.integration

VOCABULARY = ("wall", "floor", "chair", "table")
OWN = {"wall": "wall-other-merged", "floor": "floor-other-merged", "chair": "chair", "table": "table-merged"}


@pytest.fixture
def three_kinds(project):
    """Two scans, images of the vocabulary with pseudo masks, and the weights of two models."""
    write_scans(project.folder / "raw", train=["a"], val=["b"])
    project.change(
        dataset={"root": "raw", "name": "small"},
        projection={"width": 32, "height": 24, "border": 1, "tolerance": 0.25},
        segmenters={"names": ["dense", "mask", "seem"], "weights": "weights", "batch": 2},
        superpoints={"min_vertices": 5},
        vocabulary=list(VOCABULARY),
    )
    small_demo.write(project.folder / "weights")
    random = np.random.default_rng(0)
    for name in VOCABULARY:
        path = store.scene_path(Path("data/synthesis"), name)
        path.parent.mkdir(parents=True, exist_ok=True)
        group = store.create(path, "key")
        mask = np.zeros((3, 24, 24), bool)
        mask[:, 6:18, 6:18] = True
        store.write(group, "image", random.integers(0, 256, (3, 24, 24, 3), dtype=np.uint8))
        store.write(group, "mask", mask)
    return project


def run(stage, *arguments):
    result = CliRunner().invoke(stage.app, list(arguments))
    assert result.exit_code == 0, result.output


def answer_as_seem():
    """Of images of a class exactly that, where the pseudo mask is; of frames a chair on the left, and a
    table."""
    Path("seem/pano_seg").mkdir(parents=True)
    with Path("data/frames/index.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            width, height = Image.open(f"data/frames/{row['key']}.png").size
            segment = torch.zeros(height, width, dtype=torch.int32)
            if row["of"].startswith("synthesis/"):
                segment[6:18, 6:18] = 1
                names = [row["of"].removeprefix("synthesis/")]
            else:
                segment[:, : width // 2], segment[12:, width // 2 :] = 1, 2
                names = ["chair", "table"]
            info = [{"id": n + 1, "category_id": SEEM.index(OWN[name])} for n, name in enumerate(names)]
            torch.save((segment, info), f"seem/pano_seg/{row['key']}.pth")


def results(scene, names):
    """Of the fusion, and what the library makes of the models' projections and capabilities."""
    group = store.open_scene(f"data/fusion/{scene}.zarr")
    projected = [store.open_scene(f"data/projection/{name}/{scene}.zarr") for name in names]
    measured = [json.loads(Path(f"data/capability/{name}.json").read_text())["capability"] for name in names]
    text = embeddings(load_text_encoder(Text("minilm", "a {} in a scene")), VOCABULARY)
    valid = np.stack([one["count"][:] > 0 for one in projected])
    fused = fuse(np.stack([one["feature"][:] for one in projected]), valid, np.array(measured), text)
    return group, fused, valid, measured


def test_three_models(three_kinds):
    run(scenes)
    run(superpoints)
    run(frames)
    answer_as_seem()
    Path("labels.json").write_text(json.dumps(SEEM))
    run(convert, "seem", "--from", "seem", "--labels", "labels.json", "--out", "weights/seem")
    names = ["dense", "mask", "seem"]
    for name in names:
        run(projection, name)
        run(capability, name)
    run(fusion)
    for scene in ("a", "b"):
        group, fused, valid, measured = results(scene, names)
        assert measured[2] == [1, 1, 1, 1] and max(measured[0]) < 1 and max(measured[1]) < 1
        assert group["weight"].shape == group["prediction"].shape == (36, 3)
        for name, expected in fused._asdict().items():
            np.testing.assert_allclose(group[name][:], expected, atol=2e-2 if name == "feature" else 1e-3)
        weight = group["weight"][:]
        assert (weight[~valid.T] == 0).all()
        seen = valid.all(0)
        assert seen.sum() > 5 and np.allclose(weight[seen].sum(1), 1, atol=2e-3)
        assert (weight[seen].argmax(1) == 2).all()  # it knows every class better
        assert valid[2].sum() < valid[0].sum()  # nothing is said of the upper right
    before = {scene: store.open_scene(f"data/fusion/{scene}.zarr")["weight"][:] for scene in ("a", "b")}
    three_kinds.change(segmenters={"names": ["seem", "dense", "mask"]})
    run(fusion)
    for scene, weight in before.items():
        turned = store.open_scene(f"data/fusion/{scene}.zarr")["weight"][:]
        np.testing.assert_allclose(turned, weight[:, [2, 0, 1]], atol=1e-3)


def refused(stage, *arguments):
    result = CliRunner().invoke(stage.app, list(arguments))
    assert result.exit_code == 1
    return result.output


def test_missing_answers_are_told_before_anything_is_computed(three_kinds):
    run(scenes)
    run(frames)
    answer_as_seem()
    Path("labels.json").write_text(json.dumps(SEEM))
    run(convert, "seem", "--from", "seem", "--labels", "labels.json", "--out", "weights/seem")
    with Path("data/frames/index.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    of_b = [row for row in rows if row["of"] == "b"]
    of_chair = [row for row in rows if row["of"] == "synthesis/chair"]
    kept = Path("kept")
    kept.mkdir()
    for row in (of_b[-1], *of_chair):
        Path(f"weights/seem/{row['key']}.npz").rename(kept / f"{row['key']}.npz")
    said = refused(projection, "seem")
    assert f"no answer for 1 of {len([row for row in rows if '/' not in row['of']])} images" in said
    assert "in 1 of 2 scenes" in said and "`anyscene frames`" in said
    assert f"b {of_b[-1]['image']}: weights/seem/{of_b[-1]['key']}.npz" in said
    assert not Path("data/projection").exists()  # nor of the scene that has all of its answers
    said = refused(capability, "seem")
    assert "no answer for 3 of 12 images, in 1 of 4 scenes or classes" in said
    assert all(f"synthesis/chair {row['image']}: weights/seem/{row['key']}.npz" in said for row in of_chair)
    # an index of other images says nothing of these: the answer is missed when it is asked for
    other = Project.create(Path("other"))
    shutil.copy("params.yaml", other.folder)
    other.change(projection={"tolerance": 0.2, "width": 16, "height": 12})
    said = refused(projection, "seem", "--params", "other/params.yaml")
    assert "2 of 2 scenes failed" in said and "no answer for this image of 16x12" in said
    for file in kept.iterdir():
        file.rename(Path("weights/seem") / file.name)
    project_scenes.models.cache_clear()  # a process of its own
    run(projection, "seem")
    run(capability, "seem")
    Path("data/frames/index.csv").unlink()
    for row in of_b:
        Path(f"weights/seem/{row['key']}.npz").unlink()
    project_scenes.models.cache_clear()
    said = refused(projection, "seem")  # without an index the scene fails that lacks it, the other is done
    assert "1 of 2 scenes failed" in said and "b: weights/seem" in said
