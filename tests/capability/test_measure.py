"""The stage capability: a model's masks against pseudo masks."""

import json
from pathlib import Path

import numpy as np
import pytest

from anyscene.capability import measure
from anyscene.project import layout, parameters, store


class LeftHalf:
    """Calls the left half of every image the first name of the vocabulary, the right half nothing."""

    def label(self, images, vocabulary):
        labels = np.full(images.shape[:3], -1, np.int16)
        labels[:, :, : images.shape[2] // 2] = 0
        return labels


@pytest.fixture
def left_half(monkeypatch):
    monkeypatch.setattr(measure, "load_segmenter", lambda name, params, captions: LeftHalf())


def write_synthesis(scene, shares):
    """One image for each of the shares, from the left, that a pseudo mask covers."""
    path = store.scene_path(layout.SYNTHESIS, scene)
    path.parent.mkdir(parents=True, exist_ok=True)
    group = store.create(path, "key")
    mask = np.zeros((len(shares), 4, 8), bool)
    for image, share in zip(mask, shares, strict=True):
        image[:, : int(8 * share)] = True
    store.write(group, "image", np.zeros((*mask.shape, 3), np.uint8))
    store.write(group, "mask", mask)


def measured():
    measure.measure("dense", parameters.load())
    return json.loads(Path("data/capability/dense.json").read_text())


def test_stage_writes_both_recipes(project, left_half):
    project.change(vocabulary=["bed", "tv/shower curtain"], segmenters={"batch": 2})
    for scene, share in (("bed", 0.5), ("tv%2Fshower_curtain", 1.0)):
        write_synthesis(scene, [share] * 3)
    result = measured()
    assert result["capability"] == result["pooled"] == result["per_image_mean"] == [1.0, 0.0]
    assert result["vocabulary"] == ["bed", "tv/shower curtain"]
    assert result["model"] == "dense" and result["images"] == 3


@pytest.mark.parametrize(("pooled", "capability"), [(True, 9 / 16), (False, (1 + 1 / 4 + 1 / 2) / 3)])
def test_stage_takes_the_recipe_that_is_asked_for(project, left_half, pooled, capability):
    project.change(vocabulary=["bed"], capability={"pooled": pooled})
    write_synthesis("bed", [0.5, 0.125, 1.0])  # where the left half is predicted
    assert measured()["capability"] == [pytest.approx(capability)]


def test_models_may_answer_the_other_class(project, monkeypatch):
    asked = []

    class Unsure(LeftHalf):
        def label(self, images, vocabulary):
            asked.append(tuple(vocabulary))
            labels = super().label(images, vocabulary)
            labels[:, :, :2] = len(vocabulary) - 1
            return labels

    monkeypatch.setattr(measure, "load_segmenter", lambda name, params, captions: Unsure())
    write_synthesis("bed", [0.5])  # four of eight columns, of which the model calls two something else
    project.change(vocabulary=["bed"], capability={"other": "other"})
    assert measured()["capability"] == [0.5] and measured()["vocabulary"] == ["bed"]
    assert set(asked) == {("bed", "other")}
