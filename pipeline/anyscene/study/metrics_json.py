"""metrics.json: every figure of an evaluation. All are in percent, except rank correlations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from itertools import combinations
from typing import Any

import numpy as np

from anyscene.arrays import F8, I4, I8
from anyscene.datasets import LabelSet
from anyscene.project.parameters import Evaluation, Unpredicted
from anyscene.study.bootstrap import Interval, draws, resampled_miou
from anyscene.study.rows import BEST_SINGLE, Row
from anyscene.study.true_iou import agreement
from anyscene.tasks.segmentation.metrics import Metrics, Tally, class_counts, measure

DECIMALS = 4


class SceneTallies:
    """What was predicted in each scene, by every row and every variant of it, collected scene by scene.

    Confusion matrices are kept summed over scenes. Of a single scene only what the bootstrap needs is kept:
    with 200 classes 2.4 kB for each variant, where its matrices would take 643 kB.
    """

    def __init__(self, unpredicted: Unpredicted) -> None:
        """unpredicted: how points without a prediction count."""
        self._unpredicted = unpredicted
        self._sums: dict[str, list[Tally]] = {}  # row -> variant
        self._counts: dict[str, list[I4]] = {}  # row -> scene -> i4[P, 3, K]

    def add(self, row: str, variants: Sequence[Tally]) -> None:
        """Add one more scene of the row `row`."""
        before = self._sums.get(row)
        self._sums[row] = (
            list(variants) if before is None else [a + b for a, b in zip(before, variants, strict=True)]
        )
        every = np.stack([variant.every for variant in variants])
        self._counts.setdefault(row, []).append(class_counts(every, self._unpredicted).astype(np.int32))

    def counts(self, row: str) -> I4:
        """i4[P, S, 3, K]: what `metrics.class_counts` says of P variants in S scenes."""
        return np.stack(self._counts[row], 1)

    def confusion(self, row: str) -> I8:
        """i8[K, K+1]: the confusion matrix of a row, summed over scenes and variants."""
        total: I8 = np.sum([variant.every for variant in self._sums[row]], 0)
        return total

    def metrics(self, label_set: LabelSet) -> dict[str, Metrics]:
        """The scores of each row over all scenes, as means over its variants."""
        return {
            row: _average(
                [measure(one.every, one.foreground, label_set, self._unpredicted) for one in variants]
            )
            for row, variants in self._sums.items()
        }


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
    origins: Sequence[str] | None = None,
    drawn: str = "scenes",
) -> dict[str, Any]:
    """The section `bootstrap`: the mIoU of each row, and the differences that matter, over resampled scenes.

    origins: where each scene comes from, in their order; scenes of one origin are drawn together. None: each
    is drawn by itself. drawn: what the origins are.

    `value` is a difference on all scenes. It need not be the mean over the samples: where few scenes have a
    class, samples often lack it. The best single model is the same in all samples: the one with the highest
    mIoU on all scenes.
    """
    if not metrics:
        return {"scenes": 0, "resamples": 0, "mIoU": {}, "difference": {}}
    count = scenes.counts(next(iter(metrics))).shape[1]
    place = np.arange(count) if origins is None else np.unique(origins, return_inverse=True)[1]
    draw = draws(int(place.max()) + 1, settings.bootstrap, np.random.default_rng(settings.seed))[:, place]
    resampled = {row: resampled_miou(scenes.counts(row), draw) for row in metrics}
    result: dict[str, Any] = {
        "scenes": count,
        "drawn": {"what": drawn, "count": int(place.max()) + 1},
        "resamples": settings.bootstrap,
        "mIoU": {row: asdict(Interval.of(values)) for row, values in resampled.items()},
    }
    whole = {row: of_row.mIoU for row, of_row in metrics.items()}
    if single := [row.name for row in rows if row.role == "2d_model" and row.name in metrics]:
        best = result["best_single"] = max(single, key=lambda model: whole[model])
        resampled[BEST_SINGLE], whole[BEST_SINGLE] = resampled[best], whole[best]
    result["difference"] = {
        f"{row.name} - {other}": {
            "value": whole[row.name] - whole[other],
            **asdict(Interval.of(resampled[row.name] - resampled[other])),
        }
        for row in rows
        for other in row.against
        if row.name in resampled and other in resampled
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
