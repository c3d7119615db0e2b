"""Intersection over union of mask stacks: both recipes and their empty cases, by hand."""

import json

import numpy as np
import pytest
import yaml

from anyscene.capability.score import score
from anyscene.project import store
from stages import capability as stage
from tests.builders import REPOSITORY


def row(*cells):
    return np.array(cells, bool).reshape(len(cells), 1, -1)


def test_pooled_is_sum_over_sum():
    pseudo = row([1, 1, 1, 1], [1, 0, 0, 0])
    predicted = row([1, 1, 0, 0], [1, 1, 0, 0])
    assert score(pseudo, predicted) == pytest.approx(3 / 6)
    assert score(pseudo, predicted, pooled=False) == pytest.approx((2 / 4 + 1 / 2) / 2)


def test_large_objects_weigh_more_when_pooled():
    pseudo = row([1, 1, 1, 1], [1, 0, 0, 0])
    predicted = row([1, 1, 1, 1], [0, 1, 0, 0])
    assert score(pseudo, predicted) == pytest.approx(4 / 6)
    assert score(pseudo, predicted, pooled=False) == pytest.approx(0.5)


@pytest.mark.parametrize("pooled", [True, False])
def test_empty_masks(pooled):
    nothing, something = row([0, 0]), row([1, 0])
    assert score(nothing, nothing, pooled) == 0
    assert score(something, nothing, pooled) == 0
    assert score(nothing, something, pooled) == 0
    assert score(something, something, pooled) == 1
    both = np.concatenate([nothing, something])
    assert score(both, both, pooled) == 1  # the empty pair says nothing
    assert score(both[:0], both[:0], pooled) == 0


@pytest.mark.parametrize(
    ("pseudo", "predicted"),
    [
        (np.zeros((1, 2, 2), bool), np.zeros((2, 2, 2), bool)),
        (np.zeros((2, 2), bool), np.zeros((2, 2), bool)),
        (np.zeros((1, 2, 2), np.uint8), np.zeros((1, 2, 2), np.uint8)),
    ],
)
def test_other_input_is_refused(pseudo, predicted):
    with pytest.raises(ValueError):
        score(pseudo, predicted)


def test_agrees_with_sets_of_pixels():
    rng = np.random.default_rng(0)
    pseudo, predicted = rng.random((2, 5, 6, 7)) < 0.3
    a, b = ({tuple(p) for p in np.argwhere(x)} for x in (pseudo, predicted))
    assert score(pseudo, predicted) == pytest.approx(len(a & b) / len(a | b))


class LeftHalf:
    """Calls the left half of every image the first name of the vocabulary, the right half nothing."""

    def label(self, images, vocabulary):
        labels = np.full(images.shape[:3], -1, np.int16)
        labels[:, :, : images.shape[2] // 2] = 0
        return labels


def test_stage_writes_both_recipes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    values["vocabulary"] = ["bed", "shower curtain"]
    values["segmenters"]["batch"] = 2
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    for scene, share in (("bed", 0.5), ("shower_curtain", 1.0)):
        path = store.scene_path(stage.SYNTHESIS, scene)
        path.parent.mkdir(parents=True, exist_ok=True)
        group = store.create(path, "key")
        mask = np.zeros((3, 4, 8), bool)
        mask[:, :, : int(8 * share)] = True
        store.write(group, "image", np.zeros((3, 4, 8, 3), np.uint8))
        store.write(group, "mask", mask)
    monkeypatch.setattr(stage, "load_segmenter", lambda name, params, captions: LeftHalf())
    stage.main("dense")
    result = json.loads((tmp_path / "data/capability/dense.json").read_text())
    assert result["capability"] == result["pooled"] == result["per_image_mean"] == [1.0, 0.0]
    assert result["vocabulary"] == ["bed", "shower curtain"]
    assert result["model"] == "dense" and result["images"] == 3
