"""Predictions of another program -> IoU of each class, mIoU and mAcc."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from anyscene.cli.command import command
from anyscene.cli.options import Json, ParamsFile
from anyscene.datasets import label_set
from anyscene.library.opening import located
from anyscene.project.console import stdout
from anyscene.tasks.segmentation.metrics import Metrics
from anyscene.tasks.segmentation.scoring import Score, score_on_files, score_on_project

NAMED = 20  # classes that a note lists


def score(
    folder: Annotated[
        Path,
        typer.Argument(
            help="of the predictions, a file for each scene: ID.txt of ScanNet's benchmark; ID.npy or "
            "ID_pred.npy of Pointcept; ID/prediction.npy of `anyscene export`; ID.zarr with `label`"
        ),
    ],
    labels: Annotated[str, typer.Option(help="label set (name or csv); default: dataset.label_set")] = "",
    truth: Annotated[
        Path | None,
        typer.Option(
            help="folder of the annotation: the same forms, or scans (ID/truth/vertex_label.npy); default: "
            "that of the project"
        ),
    ] = None,
    params: ParamsFile = None,
    as_json: Json = False,
) -> None:
    """Score the classes that another program gave the points of the annotated scenes of the split.

    Where points have no prediction, scores are given twice: with these points as errors, as ScanNet's
    benchmark counts them, and without these points, as OpenScene's evaluation does.
    """
    settings, artefacts = located(params)
    classes = label_set(labels or settings.dataset.label_set)
    if truth is None:
        found = score_on_project(folder, classes, settings, artefacts)
    else:
        found = score_on_files(folder, classes, truth)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
        return
    console = stdout()
    console.print(_table(found))
    for note in _notes(found):
        console.print(Text(note, style="dim"))


def _table(found: Score) -> Table:
    """IoU and accuracy of each class, their means, and those over parts of the label set."""
    title = f"{found.label_set}: {len(found.scenes)} scenes, {found.points:,} points"
    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False)
    rules = {"": found.error, " predicted": found.ignore} if found.unpredicted else {"": found.error}
    table.add_column("class")
    for rule in rules:
        table.add_column(f"IoU{rule}", justify="right")
        table.add_column(f"accuracy{rule}", justify="right")
    for name in found.error.per_class:
        table.add_row(name, *(cell for rule in rules.values() for cell in _of_class(rule, name)))
    means = [(one.mIoU, one.mAcc) for one in rules.values()]
    table.add_row("mean", *(f"{value:.1f}" for pair in means for value in pair), style="bold")
    for part in found.error.splits:
        of_part = [one.splits.get(part, {}) for one in rules.values()]
        cells = [_figure(scores.get(name)) for scores in of_part for name in ("mIoU", "mAcc")]
        table.add_row(f"mean {part}", *cells)
    return table


def _of_class(rule: Metrics, name: str) -> tuple[str, str]:
    return _figure(rule.per_class.get(name)), _figure(rule.recall.get(name))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _notes(found: Score) -> list[str]:
    notes = []
    if found.unpredicted:
        share = 100 * found.unpredicted / found.points
        notes.append(
            f"{share:.1f} % of the points have no prediction: errors, and left out under `predicted`"
        )
    if found.left_out:
        notes.append(f"left out, not among the annotated scenes of the split: {', '.join(found.left_out)}")
    if absent := found.error.absent:
        names = ", ".join(absent) if len(absent) <= NAMED else f"{len(absent)} classes (`absent` in --json)"
        notes.append(f"not in these scenes, so in no mean: {names}")
    return notes


app = command(score)

if __name__ == "__main__":
    app()
