"""Tables for `dvc plots` and for the report, as csv with one row for each point of a plot."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anyscene.arrays import I8
from anyscene.study import rows
from anyscene.study.evaluation import Study
from anyscene.study.losses import Loss

CLASS = ("class", "IoU", "precision", "recall")


def write(study: Study, names: Sequence[str], folder: Path) -> None:
    """Write the tables to `folder`, which is made: {rows, per_class, capability, losses}.csv; {classes,
    confusion}.csv of the last step; and confusion.json with all matrices. names: of the label set's K
    classes."""
    metrics = study.metrics
    folder.mkdir(parents=True, exist_ok=True)
    _csv(folder / "rows.csv", ("row", "mIoU", "low", "high"), _rows(metrics))
    each = {row: list(_per_class(scores)) for row, scores in metrics["semantic"].items()}
    _csv(
        folder / "per_class.csv",
        ("row", *CLASS),
        ((row, *values) for row, classes in each.items() for values in classes),
    )
    last = rows.last_step(rows.measured(metrics))
    best_first = sorted(each[last.name], key=lambda values: -values[1]) if last else ()
    _csv(folder / "classes.csv", CLASS, best_first)
    _csv(folder / "capability.csv", ("model", "class", "capability", "true_iou"), _capability(metrics))
    _csv(folder / "losses.csv", ("network", "step", "loss"), _losses(study.losses))
    counted = _hundredths(study.confusion[last.name], names) if last else ()
    _csv(folder / "confusion.csv", ("actual", "predicted"), counted)
    matrices = {row: matrix.tolist() for row, matrix in study.confusion.items()}
    of_last = last.name if last else None
    text = json.dumps({"row": of_last, "names": list(names), "confusion": matrices}, separators=(",", ":"))
    _write(folder / "confusion.json", text + "\n")


def _rows(metrics: dict[str, Any]) -> Iterable[tuple[str, float, float, float]]:
    for row, scores in metrics["semantic"].items():
        doubt = metrics["bootstrap"]["mIoU"][row]
        yield row, scores["mIoU"], doubt["low"], doubt["high"]


def _per_class(scores: dict[str, Any]) -> Iterable[tuple[str, float, float, float]]:
    for name, iou in scores["per_class"].items():
        yield name, iou, scores["precision"][name], scores["recall"][name]


def _capability(metrics: dict[str, Any]) -> Iterable[tuple[str, str, float, float]]:
    for model, entry in metrics["capability"]["model"].items():
        for name, value in entry["capability"].items():
            if (true := entry.get("true_iou", {}).get(name)) is not None:
                yield model, name, value, true


def _losses(losses: Iterable[Loss]) -> Iterable[tuple[str, int, float]]:
    for of_network in losses:
        for step, loss in zip(of_network.step, of_network.loss, strict=True):
            yield of_network.network.name, int(step), float(loss)


def _hundredths(matrix: I8, names: Sequence[str]) -> Iterable[tuple[str, str]]:
    """A hundred pairs (actual, predicted) for each annotated class, in the proportions of its points. DVC's
    template for confusion counts rows, so its cells then show percent."""
    columns = (*names, "nothing")
    for name, counts in zip(names, matrix, strict=True):
        if counts.sum() == 0:
            continue
        share = 100 * counts / counts.sum()
        whole = np.floor(share).astype(int)
        largest = np.argsort(whole - share, kind="stable")[: 100 - whole.sum()]
        whole[largest] += 1
        for column, count in zip(columns, whole, strict=True):
            yield from ((name, column) for _ in range(count))


def _csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str | float]]) -> None:
    with io.StringIO() as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        _write(path, file.getvalue())


def _write(partial: Path, text: str) -> None:
    partial.write_text(text, encoding="utf-8", errors="backslashreplace")  # in a folder that appears whole
