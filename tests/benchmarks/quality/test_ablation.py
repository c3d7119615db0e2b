"""What the benchmarks are made of and what they write."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from anyscene.datasets import ply
from anyscene.errors import ConfigError
from anyscene.project import parameters
from benchmarks.quality import ablation, glosses, precision
from benchmarks.speed import viewer
from tests.builders import figures
from tests.builders.capture import grid

pytestmark = pytest.mark.integration


def test_the_ablation_has_a_line_for_each_row_of_the_papers_table():
    measured = {
        "dense": 26,
        "mask": 27,
        "add": 26.5,
        "linear": 26.98,
        "capability": 37,
        "pixelwise": 38,
        "max": 3,
    }
    missing = {"distilled": "", "ensembled": "the network was not trained"}
    found = figures.metrics(measured, best="mask", missing=missing)
    del found["missing"]["distilled"]
    asked = ablation.changes({"mine": {"kind": "superpoint", "title": "any", "seed": 0}})
    text = ablation.markdown(found, asked)
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert lines == [
        "| 2D model dense | 26.0 | -1.0 | 25.0 to 27.0 | 46.0 | 36.0 | 51.2 |  |",
        "| 2D model mask | 27.0 |  | 26.0 to 28.0 | 47.0 | 37.0 | 47.3 | -3.9 |",
        "| add | 26.5 | -0.5 | 25.5 to 27.5 | 46.5 | 36.5 | 48.6 | -2.6 |",
        "| linear | 27.0 | 0.0 | 26.0 to 28.0 | 47.0 | 37.0 | 49.9 | -1.3 |",
        "| capability fusion | 37.0 | +10.0 | 36.0 to 38.0 | 57.0 | 47.0 | 55.5 | +4.3 |",
        "| pixel distillation | 38.0 | +11.0 | 37.0 to 39.0 | 58.0 | 48.0 | 56.7 | +5.5 |",
        "| superpoint distillation | not measured |  |  |  |  | 59.2 | +8.0 |",
        "| temporal ensembling | the network was not trained |  |  |  |  | 61.9 | +10.7 |",
    ]
    assert shlex.join(asked) in text and "10 scenes of the split val" in text


def test_the_baseline_is_the_papers_distillation_point_by_point():
    mine = {"kind": "superpoint", "title": "any: {thing}", "from": None, "rate": 3e-05, "parts": [1, True]}
    (_, change) = ablation.changes({"pixel": {"kind": "another"}, "mine": mine})
    (override,) = OverridesParser.create().parse_overrides([change])
    assert override.is_add() and override.key_or_group == "training.pixel_baseline"
    assert override.value() == {**mine, "kind": "pixel", "title": "pixel distillation"}
    assert ablation.changes({"mine": mine, "theirs": mine | {"kind": "pixel"}}) == []
    with pytest.raises(ConfigError, match="superpoint"):
        ablation.changes({"other": {"kind": "masked_scene"}})


def test_the_ablation_of_other_models_claims_nothing_of_the_papers():
    found = figures.metrics({"mask": 27, "third": 20}, best="mask")
    (line,) = [line for line in ablation.markdown(found, ()).splitlines() if "third" in line]
    assert line.endswith("| 30.0 |  |  |")


def test_the_ablation_says_which_steps_go_another_way_than_the_papers():
    measured = {"mask": 26, "add": 26, "linear": 27, "capability": 37, "distilled": 36, "ensembled": 36}
    found = figures.metrics(measured)
    found["bootstrap"]["difference"] = {"distilled - capability": {"low": -2.5, "high": 0.04}}
    text = ablation.markdown(found, ())
    assert [line for line in text.splitlines() if line.startswith("- ")] == [
        "- from capability fusion to superpoint distillation -1.0 (95 % over scenes -2.5 to 0.0, paper +3.7)",
        "- from superpoint distillation to temporal ensembling 0.0 (paper +2.7)",
    ]
    found["bootstrap"]["difference"] = {"capability - distilled": {"low": -0.04, "high": 2.5}}
    assert "(95 % over scenes -2.5 to 0.0, paper +3.7)" in ablation.markdown(found, ())
    right = figures.metrics({"mask": 26, "add": 26, "linear": 27})
    assert "every step goes the way" in ablation.markdown(right, ())


def test_glosses_are_those_of_the_synsets_that_the_tables_name(tmp_path):
    nouns = tmp_path / "data.noun"
    nouns.write_text(
        "  1 This is the licence | of all  \n"
        '02818832 06 n 01 bed 0 002 @ 03405725 n 0000 ~ 02705201 n 0000 | a place to sleep; "on the bed"  \n'
        "04209239 06 n 01 shower_curtain 0 001 @ 03151077 n 0000 | a curtain; it keeps water in  \n"
        "04446276 06 n 02 toilet 0 lavatory 0 001 @ 04105893 n 0000 | a room  \n"
        "04446521 06 n 02 toilet 0 can 1 001 @ 03961939 n 0000 | a fixture  \n"
        "03991062 06 n 02 pot 0 flowerpot 0 001 @ 03094503 n 0000 | a container  \n"
    )
    head = "raw_category\tcategory\twnsynsetid\n"
    one, other = tmp_path / "one.tsv", tmp_path / "other.tsv"
    one.write_text(f"{head}couch\tbed\tn02818832\ntoilet\ttoilet\tn04446276\nsink\tsink\t\n")
    other.write_text(f"{head}bed\tbed\tn04446276\nshower curtain\tcurtain\tn04209239\n")
    assert list(glosses.rows([one, other], nouns)) == [
        ("bed", "n02818832", "a place to sleep"),  # the first table, though under its second heading
        ("couch", "n02818832", "a place to sleep"),
        ("curtain", "n04209239", "a curtain; it keeps water in"),
        ("pot", "n03991062", "a container"),
        ("shower curtain", "n04209239", "a curtain; it keeps water in"),
        ("toilet", "n04446521", "a fixture"),  # not the room
    ]


@pytest.mark.parametrize("points", [37, 60, 121, 500])
def test_a_mesh_is_made_finer_and_keeps_its_shape_and_annotation(tmp_path, points):
    xyz, face = grid(6)
    label = (xyz[:, 0] > 0.5).astype(np.int16)
    (tmp_path / "truth").mkdir()
    np.save(tmp_path / "truth/vertex_label.npy", label)
    ply.write_mesh(tmp_path / "mesh.ply", xyz, np.repeat((255 * xyz[:, :1]).astype(np.uint8), 3, 1), face)
    viewer.finer(tmp_path, points)
    fine, rgb, normal, faces = ply.read_mesh(tmp_path / "mesh.ply")
    assert points <= len(fine) <= max(1.5 * points, 40)
    np.testing.assert_array_equal(fine[: len(xyz)], xyz)
    assert (fine[:, 1] == 2).all() and (np.abs(normal[:, 1]) > 0.999).all()
    corner = fine[faces].astype(np.float64)
    area = (
        np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1).sum() / 2
    )
    assert area == pytest.approx(1)
    np.testing.assert_allclose(rgb[:, 0], 255 * fine[:, 0], atol=2)
    found = np.load(tmp_path / "truth/vertex_label.npy")
    clear = np.abs(fine[:, 0] - 0.5) > 0.11
    np.testing.assert_array_equal(found[clear], fine[clear, 0] > 0.5)


class Coarse:
    """Labels a pixel by its red, which half precision rounds."""

    def __init__(self, precision):
        self.step = {"float32": 1, "bfloat16": 4}[precision]

    def label(self, images, vocabulary):
        return (images[..., 0] // self.step * self.step).astype(np.int16)


def test_the_share_of_labels_that_half_precision_changes(monkeypatch):
    monkeypatch.setattr(
        precision, "load_segmenter", lambda model, params, captions: Coarse(params.segmenters.precision)
    )
    images = np.arange(2 * 4 * 8 * 3, dtype=np.uint8).reshape(2, 4, 8, 3)
    found = list(precision.compare(parameters.load(), images, ["float32", "bfloat16"]))
    assert [one[:2] for one in found] == [
        (model, kind) for model in ("dense", "mask") for kind in ("float32", "bfloat16")
    ]
    assert [share for *_, share, _ in found] == [0, 0.75, 0, 0.75]  # reds are 0, 3, 6, ...
