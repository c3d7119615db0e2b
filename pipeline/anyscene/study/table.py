"""The closing table: metrics.json for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from anyscene.study.literature import note, published

TITLES = {
    "add": "add",
    "linear": "linear",
    "capability": "capability fusion",
    "superpoint": "+ superpoint means",
    "pixel_distillation": "pixel distillation",
    "superpoint_distillation": "superpoint distillation",
    "ensembling": "+ temporal ensembling",
    "max": "more confident model",
    "vocabulary": "fusion by taught classes",
    "shuffled": "fusion by shuffled capability",
    "swapped": "fusion by swapped capability",
    "oracle": "fusion by true IoU",
}
CONTROLS = ("max", "vocabulary", "shuffled", "swapped", "oracle")
UNANNOTATED = (
    "No scene of the split {!r} is annotated, so there is nothing to measure; "
    "`anyscene predict` and `anyscene query` need no annotation."
)
NAMED = 20  # classes that a note lists
COLUMNS = ("mIoU", "mAcc", "f_mIoU", "f_mAcc")


def splits(metrics: dict[str, Any]) -> list[str]:
    """Splits of the label set (ScanNet200: head, common, tail) that have a score."""
    return list(dict.fromkeys(name for row in metrics["semantic"].values() for name in row.get("splits", {})))


def title(row: str) -> str:
    """A row's name for people; a 2D model is called by its own."""
    return TITLES.get(row, f"2D model {row}")


def tables(metrics: dict[str, Any]) -> Group:
    """Ablation with controls, then capability beside true IoU, to print with rich."""
    if not metrics["semantic"]:
        return Group(Text(UNANNOTATED.format(metrics["split"])), *_capability(metrics))
    return Group(_ablation(metrics), *_capability(metrics), *_notes(metrics))


def _ablation(metrics: dict[str, Any]) -> Table:
    rooms = metrics["bootstrap"]["rooms"]
    table = Table(
        title=f"{metrics['label_set']}, {metrics['split']}: {rooms} rooms, {metrics['points']:,} points",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("")
    for name in COLUMNS:
        table.add_column(name.replace("_", "-"), justify="right")
    for name in (parts := splits(metrics)):
        table.add_column(f"mIoU {name}", justify="right")
    table.add_column("95 % over rooms", justify="right")
    known = published(metrics)
    if known is not None:
        table.add_column("mIoU in SAS", justify="right")
    semantic = metrics["semantic"]
    best = max((row for row in semantic if row not in CONTROLS), key=lambda row: semantic[row]["mIoU"])
    first_control = next((row for row in semantic if row in CONTROLS), None)
    for row, scores in semantic.items():
        if row == first_control:
            table.add_row("[dim]controls[/]")
        doubt = metrics["bootstrap"]["mIoU"][row]
        cells = [f"{scores[name]:.1f}" for name in COLUMNS]
        of_split = scores.get("splits", {})
        cells += [f"{of_split[name]['mIoU']:.1f}" if name in of_split else "" for name in parts]
        cells.append(f"{doubt['low']:.1f} to {doubt['high']:.1f}")
        if known is not None:
            cells.append(f"{known.rows[row]:.1f}" if row in known.rows else "")
        table.add_row(title(row), *cells, style="bold" if row == best else None)
    return table


def _capability(metrics: dict[str, Any]) -> list[Table | Text]:
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


def _pair(entry: dict[str, Any], name: str) -> str:
    true = entry.get("true_iou", {}).get(name)
    return f"{entry['capability'][name]:.0f} / " + ("-" if true is None else f"{true:.0f}")


def _rank(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _notes(metrics: dict[str, Any]) -> list[Text]:
    notes = [f"left out, {reason}: {title(row)}" for row, reason in metrics["missing"].items()]
    if metrics["unannotated"]:
        notes.append(f"left out, no annotation: {', '.join(metrics['unannotated'])}")
    if (literature := note(metrics)) is not None:
        notes.append(literature)
    if absent := metrics["absent"]:
        few = len(absent) <= NAMED
        names = ", ".join(absent) if few else f"{len(absent)} classes (`absent` in reports/metrics.json)"
        notes.append(f"not in these rooms, so in no mean: {names}")
    return [Text(note, style="dim") for note in notes]
