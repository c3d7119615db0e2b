"""The rooms and masks by which own labels are compared."""

import csv

import numpy as np
import pytest
from PIL import Image

from anyscene.project import parameters
from anyscene.segmenters.precomputed.image_index import image_key
from anyscene_demo.rooms import CLASSES
from benchmarks.quality import own_labels
from tests.builders import REPOSITORY

pytestmark = pytest.mark.integration


def test_labels_are_those_of_seem_and_outside_the_vocabulary():
    params = parameters.load(REPOSITORY / "params.yaml")
    with (REPOSITORY / "data/demo/selection.csv").open(encoding="utf-8") as file:
        others = {row["model"] for row in csv.DictReader(file) if row["class"] == "otherfurniture"}
    found = own_labels.outside()
    assert set(found) <= others
    assert set(found.values()) <= set(own_labels.LABELS) - set(params.vocabulary)


def test_masks_are_those_of_instances_and_of_walls_and_floors(tmp_path):
    for part in ("color", "truth/frame_instance", "truth/frame"):
        (tmp_path / part).mkdir(parents=True)
    color = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    instance = np.array([[0, 2, 2], [0, 0, 1]], np.uint16)
    wall, floor, chair, other = map(CLASSES.index, ("wall", "floor", "chair", "otherfurniture"))
    kind = np.array([[wall, other, other], [floor, 255, chair]], np.uint8)
    for part, image in (("color", color), ("truth/frame_instance", instance), ("truth/frame", kind)):
        Image.fromarray(image).save(tmp_path / part / "0000.png")
    (masks,) = own_labels.true_masks(tmp_path, {1: "chair", 2: "vase"}).values()
    said = [[own_labels.LABELS[masks.name[number]] for number in row] for row in masks.owner]
    assert said == [["wall", "vase", "vase"], ["floor", "ceiling", "chair"]]
    assert [*own_labels.true_masks(tmp_path, {1: "chair", 2: "vase"})] == [image_key(color)]


def test_the_table_counts_ranks():
    both = own_labels.By.both
    asked = [_asked(before=5, after=1), _asked(before=None, after=2)]
    lines = own_labels.table(asked).splitlines()
    assert f"| vocabulary | {both} | 0 of 2 | 0 | never | 1 |" in lines
    assert f"| own | {both} | 1 of 2 | 2 | 1.5 | 0 |" in lines
    assert "| vase | 2 | 0 | 1 |" in lines


def _asked(before, after):
    ranks = {"vocabulary": before, "own": after}
    every = {(nouns, by): rank for nouns, rank in ranks.items() for by in own_labels.By}
    return own_labels.Asked("a", "vase", every)
