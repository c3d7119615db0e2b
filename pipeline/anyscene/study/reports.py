"""The files of an evaluation: reports/metrics.json, reports/summary.json and reports/plots."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anyscene.errors import StoreError
from anyscene.project import outputs
from anyscene.project.layout import METRICS, PLOTS, SUMMARY
from anyscene.study import plots
from anyscene.study.evaluation import Study
from anyscene.study.summary import summary

CONFUSION = Path(PLOTS.name, "confusion.json")


def write(study: Study, names: Sequence[str], folder: Path) -> None:
    """Write the files to `folder`, which is reports/ in a project. names: of the label set's classes.

    None takes its place before all are written, so where one cannot be, the older ones stay together."""
    with outputs.replaced(folder / PLOTS.name, wholly=True) as tables:
        plots.write(study, names, tables)
        with outputs.replaced(folder / SUMMARY.name) as partial:
            _dump(summary(study.metrics), partial)
            with outputs.replaced(folder / METRICS.name) as partial:
                _dump(study.metrics, partial)


def _dump(content: Any, partial: Path) -> None:
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8", errors="backslashreplace")


def read(folder: Path) -> dict[str, Any]:
    """The content of metrics.json. Raises StoreError where nothing was evaluated yet, or where the file is
    damaged or does not say what its rows are."""
    path = folder / METRICS.name
    metrics = read_json(path)
    if metrics is None:
        raise StoreError(f"{path}: nothing was evaluated yet; run `dvc repro`")
    if "rows" not in metrics:
        raise StoreError(f"{path} says nothing of its rows: run `dvc repro evaluation`")
    return metrics


def read_json(path: Path) -> dict[str, Any] | None:
    """The content of a JSON file that `write` wrote; None where it does not exist. Raises StoreError where it
    is damaged."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise StoreError(f"{path} is damaged ({error}): run `dvc repro evaluation`") from error
