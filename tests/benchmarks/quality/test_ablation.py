"""What the benchmarks are made of and what they write."""

from __future__ import annotations

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from anyscene.errors import ConfigError
from benchmarks.quality import ablation
from tests.builders import figures

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
