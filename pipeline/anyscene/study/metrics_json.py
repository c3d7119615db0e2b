"""metrics.json: every figure of an evaluation. All are in percent, except rank correlations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from itertools import combinations
from typing import Any

import numpy as np

from anyscene.arrays import F8, I8
from anyscene.datasets import LabelSet
from anyscene.project.parameters import Evaluation
from anyscene.study.bootstrap import Interval, draws, resampled_miou
from anyscene.study.rows import BEST_SINGLE, Row
from anyscene.study.true_iou import agreement
from anyscene.tasks.segmentation.metrics import Metrics, Tally, Unpredicted, measure

DECIMALS = 4


class SceneTallies:
    """The confusion matrices of each scene, row and variant of the row, collected scene by scene."""

    def __init__(self) -> None:
        self._tallies: dict[str, list[list[Tally]]] = {}  # row -> scene -> variant

    def add(self, row: str, variants: Sequence[Tally]) -> None:
        """Add one more scene of the row `row`."""
        self._tallies.setdefault(row, []).append(list(variants))

    def matrices(self, row: str) -> I8:
        """i8[P, S, K, K+1]: the matrices of P variants in S scenes."""
        return np.stack([[variant.every for variant in scene] for scene in self._tallies[row]], 1)

    def metrics(self, label_set: LabelSet, unpredicted: Unpredicted) -> dict[str, Metrics]:
        """The scores of each row over all scenes, as means over its variants."""
        found = {}
        for row, scenes in self._tallies.items():
            sums = [sum(variants[1:], variants[0]) for variants in zip(*scenes, strict=True)]
            found[row] = _average([measure(s.every, s.foreground, label_set, unpredicted) for s in sums])
        return found


def _average(variants: Sequence[Metrics]) -> Metrics:
    """The mean scores of variants that were measured on the same points, so that all have the same
    classes."""

    def mean(values: Sequence[Any]) -> Any:
        if isinstance(values[0], dict):
            return {name: mean([value[name] for value in values]) for name in values[0]}
        return float(np.mean(values))

    names = [field.name for field in fields(Metrics) if field.name != "absent"]
    means = {name: mean([getattr(metrics, name) for metrics in variants]) for name in names}
    return Metrics(**means, absent=variants[0].absent)


def semantic(metrics: Mapping[str, Metrics]) -> dict[str, Any]:
    """The section `semantic` of metrics.json. It has `splits` only where the label set has any."""
    found = {row: asdict(scores) for row, scores in metrics.items()}
    for scores in found.values():
        del scores["absent"]
        if not scores["splits"]:
            del scores["splits"]
    return found


def doubt(
    scenes: SceneTallies,
    metrics: Mapping[str, Metrics],
    rows: Sequence[Row],
    settings: Evaluation,
) -> dict[str, Any]:
    """The section `bootstrap`: the mIoU of each row, and the differences that matter, over resampled scenes.

    `value` is a difference on all scenes. It need not be the mean over the samples: where few scenes have a
    class, samples often lack it. The best single model is the same in all samples: the one with the highest
    mIoU on all scenes.
    """
    if not metrics:
        return {"scenes": 0, "resamples": 0, "mIoU": {}, "difference": {}}
    count = scenes.matrices(next(iter(metrics))).shape[1]
    draw = draws(count, settings.bootstrap, np.random.default_rng(settings.seed))
    drawn = {row: resampled_miou(scenes.matrices(row), draw, settings.unpredicted) for row in metrics}
    result: dict[str, Any] = {
        "scenes": count,
        "resamples": settings.bootstrap,
        "mIoU": {row: asdict(Interval.of(values)) for row, values in drawn.items()},
    }
    whole = {row: of_row.mIoU for row, of_row in metrics.items()}
    if single := [row.name for row in rows if row.role == "2d_model" and row.name in metrics]:
        best = result["best_single"] = max(single, key=lambda model: whole[model])
        drawn[BEST_SINGLE], whole[BEST_SINGLE] = drawn[best], whole[best]
    result["difference"] = {
        f"{row.name} - {other}": {
            "value": whole[row.name] - whole[other],
            **asdict(Interval.of(drawn[row.name] - drawn[other])),
        }
        for row in rows
        for other in row.against
        if row.name in drawn and other in drawn
    }
    return result


def capability(
    measured: Mapping[str, F8 | None],
    truth: Mapping[str, F8 | None],
    vocabulary: Sequence[str],
) -> dict[str, Any]:
    """The section `capability`: measured capability beside true IoU, class by class, and their agreement.

    measured, truth: f8[V] in 0..1 for each 2D model, None where it is not known.
    """
    section: dict[str, Any] = {"model": {}, "difference": {}}
    for model, values in measured.items():
        if values is None:
            continue
        true = truth.get(model)
        entry: dict[str, Any] = {"capability": _percent(values, vocabulary)}
        if true is not None:
            entry |= {"true_iou": _percent(true, vocabulary), "spearman": agreement(values, true)}
        section["model"][model] = entry
    both = [
        (model, values, true)
        for model, values in measured.items()
        if values is not None and (true := truth.get(model)) is not None
    ]
    for (a, measured_a, true_a), (b, measured_b, true_b) in combinations(both, 2):
        rank = agreement(measured_a - measured_b, true_a - true_b)
        section["difference"][f"{a} - {b}"] = {"spearman": rank}
    return section


def _percent(values: F8, names: Sequence[str]) -> dict[str, float]:
    return {name: 100 * float(v) for name, v in zip(names, values, strict=True) if np.isfinite(v)}


def rounded(value: Any) -> Any:
    """The same structure with every float rounded to DECIMALS decimals, so that files compare well."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return round(value, DECIMALS) if isinstance(value, float) else value
