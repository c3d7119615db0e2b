"""The table at the end of an evaluation: metrics.json for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from anyscene.errors import StoreError
from anyscene.project.console import stdout
from anyscene.project.layout import METRICS
from anyscene.study import rows
from anyscene.study.literature import beside, differences, note, published
from anyscene.study.trained_on import said

UNANNOTATED = (
    "No scene of the split {!r} is annotated, so there is nothing to measure; "
    "`anyscene predict` and `anyscene query` need no annotation."
)
NAMED = 20  # classes that a note lists
COLUMNS = ("mIoU", "mAcc", "f_mIoU", "f_mAcc")


def splits(metrics: Mapping[str, Any]) -> list[str]:
    """The splits of the label set (ScanNet200: head, common, tail) that have a score."""
    return list(dict.fromkeys(name for row in metrics["semantic"].values() for name in row.get("splits", {})))


def drawn(metrics: Mapping[str, Any]) -> str:
    """What the intervals are over: "scenes", or what several scenes come from."""
    return str(metrics["bootstrap"].get("drawn", {"what": "scenes"})["what"])


def show(metrics: Mapping[str, Any], page: Path) -> None:
    """Print the tables. page: path of the report, which is printed too where it exists. Raises StoreError
    where metrics.json is not as an evaluation writes it."""
    console = stdout()
    try:
        console.print(tables(metrics))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise StoreError(
            f"{METRICS}: damaged, cannot be shown ({type(error).__name__}: {error}); run "
            "`dvc repro evaluation`"
        ) from error
    if page.is_file():
        console.print(f"\nreport: {page.resolve()}")


def tables(metrics: Mapping[str, Any]) -> Group:
    """The ablation with its controls, then capability beside true IoU, then the tasks, for rich to print."""
    if not metrics["semantic"]:
        return Group(Text(UNANNOTATED.format(metrics["split"])), *_capability(metrics))
    return Group(
        _ablation(metrics),
        *_label_sets(metrics),
        *_capability(metrics),
        *_tasks(metrics),
        *_notes(metrics),
    )


def _ablation(metrics: Mapping[str, Any]) -> Table:
    scenes = metrics["bootstrap"]["scenes"]
    table = Table(
        title=f"{metrics['label_set']}, {metrics['split']}: {scenes} scenes, {metrics['points']:,} points",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("")
    for name in COLUMNS:
        table.add_column(name.replace("_", "-"), justify="right")
    for name in (parts := splits(metrics)):
        table.add_column(f"mIoU {name}", justify="right")
    table.add_column(f"95 % over {drawn(metrics)}", justify="right")
    known = published(metrics)
    if known is not None and not known.rows:
        known = None  # no row has a score
    if known is not None:
        table.add_column("mIoU in SAS", justify="right")
    semantic, measured = metrics["semantic"], rows.measured(metrics)
    best = max((row for row in measured if not row.control), key=lambda row: semantic[row.name]["mIoU"])
    first_control = next((row for row in measured if row.control), None)
    for row in measured:
        if row is first_control:
            table.add_row(Text("controls", "dim"))
        scores, doubt = semantic[row.name], metrics["bootstrap"]["mIoU"][row.name]
        cells = [f"{scores[name]:.1f}" for name in COLUMNS]
        of_split = scores.get("splits", {})
        cells += [f"{of_split[name]['mIoU']:.1f}" if name in of_split else "" for name in parts]
        cells.append(f"{doubt['low']:.1f} to {doubt['high']:.1f}")
        if known is not None:
            theirs = beside(row, metrics, known)
            cells.append("" if theirs is None else f"{theirs:.1f}")
        table.add_row(row.title, *cells, style="bold" if row is best else None)
    return table


def _label_sets(metrics: Mapping[str, Any]) -> list[Table | Text]:
    """The same rows by other label sets."""
    sets = metrics.get("label_sets", {})
    if not sets:
        return []
    table = Table(title="the same by other label sets", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for name in sets:
        table.add_column(f"{name}: mIoU", justify="right")
        table.add_column(f"95 % over {drawn(metrics)}", justify="right")
        table.add_column("mAcc", justify="right")
        table.add_column("f-mIoU", justify="right")
    for row in rows.measured(metrics):
        cells = []
        for of_set in sets.values():
            scores, doubt = of_set["semantic"][row.name], of_set["bootstrap"]["mIoU"][row.name]
            cells += [
                f"{scores['mIoU']:.1f}",
                f"{doubt['low']:.1f} to {doubt['high']:.1f}",
                f"{scores['mAcc']:.1f}",
                f"{scores['f_mIoU']:.1f}",
            ]
        table.add_row(row.title, *cells)
    return [Text(), table]


def _capability(metrics: Mapping[str, Any]) -> list[Table | Text]:
    section = metrics["capability"]["model"]
    if not section:
        return []
    table = Table(title="capability / true IoU", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for model in section:
        table.add_column(model, justify="right")
    for name in next(iter(section.values()))["capability"]:
        table.add_row(name, *(_pair(entry, name) for entry in section.values()))
    table.add_row("Spearman", *(_rank(entry.get("spearman")) for entry in section.values()), style="bold")
    difference = metrics["capability"]["difference"]
    ranks = ((pair, _rank(value["spearman"])) for pair, value in difference.items())
    return [Text(), table, *(Text(f"Spearman of the difference {pair}: {rank}") for pair, rank in ranks)]


def _tasks(metrics: Mapping[str, Any]) -> list[Table | Text]:
    """The figures of each task, by the source of the features."""
    found: list[Table | Text] = []
    for task, by_source in metrics["tasks"].items():
        table = Table(title=task, title_justify="left", box=None, pad_edge=False)
        table.add_column("")
        figures = list(dict.fromkeys(name for scores in by_source.values() for name in scores))
        for name in figures:
            table.add_column(name, justify="right")
        for source, scores in by_source.items():
            table.add_row(source, *(f"{scores[name]:.1f}" if name in scores else "" for name in figures))
        found += [Text(), table]
    return found


def _pair(entry: dict[str, Any], name: str) -> str:
    true = entry.get("true_iou", {}).get(name)
    return f"{entry['capability'][name]:.0f} / " + ("-" if true is None else f"{true:.0f}")


def _rank(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def supervised(metrics: Mapping[str, Any]) -> str | None:
    """A sentence that names the networks that were trained with labels; None where there are none."""
    titles = [row.plain_title for row in rows.of(metrics) if row.name in metrics["supervised"]]
    named = ", ".join(titles)
    return f"these networks were trained with labels, the others were not: {named}" if titles else None


def _notes(metrics: Mapping[str, Any]) -> list[Text]:
    notes = [
        f"left out, {metrics['missing'][row.name]}: {row.title}"
        for row in rows.of(metrics)
        if row.name in metrics["missing"]
    ]
    notes += [f"left out, failed in {cause}: {scene}" for scene, cause in metrics.get("failed", {}).items()]
    if metrics["unannotated"]:
        notes.append(f"left out, no annotation: {', '.join(metrics['unannotated'])}")
    notes += [
        sentence
        for sentence in (
            supervised(metrics),
            note(metrics),
            *(note(metrics, name) for name in metrics.get("label_sets", {})),
            differences(metrics),
        )
        if sentence is not None
    ]
    notes += said(metrics)
    if absent := metrics["absent"]:
        few = len(absent) <= NAMED
        names = ", ".join(absent) if few else f"{len(absent)} classes (`absent` in reports/metrics.json)"
        notes.append(f"not in these scenes, so in no mean: {names}")
    notes += metrics["problems"]
    return [Text(note, style="dim") for note in notes]
