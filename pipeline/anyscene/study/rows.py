"""What the rows of the ablation are. Everything that shows rows reads the section `rows` of metrics.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

# a 2D model alone, a rule that fuses all of them, means over superpoints, a trained network, or the surer of
# fusion and a network at each point
Role = Literal["2d_model", "fusion", "superpoints", "network", "ensemble"]
CAPABILITY = "capability"  # the name of the row that is fused by the measured capability
BEST_SINGLE = "best single"  # stands for the 2D model with the highest mIoU in names of differences


R = TypeVar("R", bound="Row")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way from 2D models to labelled points."""

    name: str  # its key in the other sections of metrics.json
    title: str  # for people; a title that begins with "+ " is a step more on the row before
    role: Role
    kind: str  # within its role: the 2D model, the rule of fusion, or the objective that trained the network
    control: bool = False  # whether it is the same fusion with other weights, to tell what weights are worth
    summary: bool = True  # whether `dvc metrics` has a column for it
    start: str | None = None  # the row of the network that a network began from; None: of none
    fused: str | None = None  # the row of the fusion on whose features it was built; None: none, or unknown
    supervised: bool = False  # whether labels were used to train it
    against: tuple[str, ...] = ()  # rows, or BEST_SINGLE, from which its difference is measured

    @property
    def plain_title(self) -> str:
        """The title to use where the row stands alone."""
        return self.title.removeprefix("+ ")


def section(rows: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """The section `rows` of metrics.json: what each row is, by its name, in the order of the table."""
    found = {row.name: {field.name: getattr(row, field.name) for field in fields(Row)} for row in rows}
    for entry in found.values():
        del entry["name"]
    return found


def of(metrics: Mapping[str, Any]) -> tuple[Row, ...]:
    """All rows in metrics.json in the order of the table, also those that could not be computed."""
    rows = metrics["rows"].items()
    return tuple(Row(name=name, **entry | {"against": tuple(entry["against"])}) for name, entry in rows)


def measured(metrics: Mapping[str, Any]) -> tuple[Row, ...]:
    """The rows in metrics.json that have scores."""
    return tuple(row for row in of(metrics) if row.name in metrics["semantic"])


def last_step(rows: Sequence[Row]) -> Row | None:
    """The last row that is neither a control nor an ensemble, which is the most refined network where there
    is one."""
    return next((row for row in reversed(rows) if not row.control and row.role != "ensemble"), None)


def steps(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The way to the last step: the fusion that it was built on, which is that by capability unless another
    was asked for, then the networks that lead to the last, in order."""
    by_name = {row.name: row for row in rows}
    networks: list[Row] = []
    last = row = last_step(rows)
    while row is not None and row.role == "network" and row not in networks:
        networks.insert(0, row)
        row = by_name.get(row.start or "")
    fused = (last and last.fused) or CAPABILITY
    return *(row for row in rows if row.name == fused), *networks


def pictured(rows: Sequence[R]) -> tuple[R, ...]:
    """The rows of which there are pictures: 2D models, fusion by capability or what others were built on, and
    what follows it."""
    fused = {CAPABILITY, *(row.fused for row in rows)}
    return tuple(
        row
        for row in rows
        if not row.control and row.role != "ensemble" and (row.role != "fusion" or row.name in fused)
    )
