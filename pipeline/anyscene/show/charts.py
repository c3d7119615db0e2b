"""Where the marks of a chart go. The page draws them as SVG, so that they follow its colours and print
well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anyscene.arrays import F8

LETTER = 5.6  # width of a letter of the labels, in units of the drawing
LINE = 11.0  # height of a line of them

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Tick:
    """A mark on an axis."""

    at: float  # along the axis, in units of the drawing
    text: str


@dataclass(frozen=True)
class Mark:
    """A point of a scatter, and its name. Places are in units of the drawing."""

    x: float
    y: float
    name: str  # "" where it would cover another
    hint: str  # the text under the pointer
    label_x: float = 0  # where the name stands
    label_y: float = 0
    anchor: str = "start"  # SVG's text-anchor of the name


@dataclass(frozen=True)
class Scatter:
    """Points in a square. y points downwards."""

    title: str
    note: str  # beside the title
    side: float  # of the square, in units of the drawing
    marks: tuple[Mark, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    line: tuple[float, float, float, float]  # x1, y1, x2, y2 of the diagonal of equality


@dataclass(frozen=True)
class LineChart:
    """A line in a box."""

    title: str
    width: float  # of the box, in units of the drawing
    height: float
    path: str  # the line, as the attribute d of SVG
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def scatter(
    title: str, note: str, names: Sequence[str], x: Sequence[float], y: Sequence[float], *, side: float = 260
) -> Scatter:
    """A scatter of y over x. Both axes have the same range: 0..100, or one that is symmetric about 0 where
    there are negative values."""
    reach = max(1e-9, float(np.abs([*x, *y]).max()))
    low, high = (-_round_up(reach), _round_up(reach)) if min([*x, *y]) < 0 else (0.0, 100.0)
    place = [
        (side * (a - low) / (high - low), side * (high - b) / (high - low)) for a, b in zip(x, y, strict=True)
    ]
    ticks = np.linspace(low, high, 5)
    marks = _labelled(
        names, place, [f"{n}: {a:.0f} | {b:.0f}" for n, a, b in zip(names, x, y, strict=True)], side
    )
    return Scatter(
        title,
        note,
        side,
        marks,
        tuple(Tick(side * (t - low) / (high - low), f"{t:.0f}") for t in ticks),
        tuple(Tick(side * (high - t) / (high - low), f"{t:.0f}") for t in ticks),
        (0, side, side, 0),
    )


def curve(
    title: str,
    x: Sequence[float] | F8,
    y: Sequence[float] | F8,
    *,
    width: float = 300,
    height: float = 150,
    points: int = 160,
) -> LineChart:
    """A curve of y over x, each point the mean of one of `points` equal parts. The y axis begins at 0 unless
    there are negative values."""
    parts = np.array_split(np.arange(len(x)), min(points, len(x)))
    at, value = (np.array([np.mean(np.asarray(v, float)[part]) for part in parts]) for v in (x, y))
    x_high, y_low, y_high = max(at.max(), 1e-9), min(0.0, value.min()), max(value.max(), 1e-9)
    across = width * at / x_high
    down = height * (y_high - value) / (y_high - y_low)
    path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(across, down, strict=True))
    x_ticks = tuple(Tick(width * t / x_high, f"{t:g}") for t in nice_ticks(0, x_high))
    y_ticks = tuple(
        Tick(height * (y_high - t) / (y_high - y_low), f"{t:g}") for t in nice_ticks(y_low, y_high)
    )
    return LineChart(title, width, height, path, x_ticks, y_ticks)


def _labelled(
    names: Sequence[str], place: Sequence[tuple[float, float]], hints: Sequence[str], side: float
) -> tuple[Mark, ...]:
    """The marks of points. Each name stands at the first free place around its point; where there is none,
    the point has no name."""
    boxes = [(x - 4, y - 4, x + 4, y + 4) for x, y in place]
    marks = []
    for (x, y), name, hint in zip(place, names, hints, strict=True):
        length = LETTER * len(name)
        for left, top, anchor in (
            (x + 6, y - LINE / 2, "start"),
            (x - 6 - length, y - LINE / 2, "end"),
            (x - length / 2, y - LINE - 5, "middle"),
            (x - length / 2, y + 5, "middle"),
        ):
            box = (left, top, left + length, top + LINE)
            inside = left >= 0 and top >= 0 and box[2] <= side and box[3] <= side
            if inside and not any(overlap(box, other) for other in boxes):
                boxes.append(box)
                anchor_x = {"start": left, "middle": x, "end": left + length}[anchor]
                marks.append(Mark(x, y, name, hint, anchor_x, top + LINE - 2, anchor))
                break
        else:
            marks.append(Mark(x, y, "", hint))
    return tuple(marks)


def overlap(a: Box, b: Box) -> bool:
    """Whether two boxes have a common area."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _round_up(value: float) -> float:
    """`value` rounded up to a multiple of 20, so that a quarter of the axis is a round number."""
    return float(20 * np.ceil(value / 20))


def nice_ticks(low: float, high: float) -> F8:
    """Four to seven round numbers from `low` to `high`."""
    raw = (high - low) / 4
    power = 10 ** np.floor(np.log10(raw))
    step = max(s for s in (1, 2, 2.5, 5, 10) if s * power <= raw * 1.0001) * power
    ticks: F8 = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step + 0.0  # no -0
    return ticks
