"""What the viewer's panel says, as HTML. Names and texts in it are escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import numpy as np

from anyscene.show import palette
from anyscene.show.viewer.scene_view import PickedPoint
from anyscene.tasks.layer import Classes, Layer, Scale
from anyscene.tasks.query.groups import ALWAYS, DECIMALS, ORDER, decimals
from anyscene.tasks.query.session import Answer
from anyscene.tasks.query.task import HEAT
from anyscene.text import limits


def boxed(content: str) -> str:
    """`content` with the margin of the panel."""
    return f'<div style="padding:0 .8em .5em;font-size:.85em;line-height:1.45">{content}</div>'


def hint(drawn: int, points: int) -> str:
    """What one can do, and how much of the scene is drawn."""
    less = f" {drawn:,} of {points:,} points are drawn; <code>anyscene view --points 0</code> draws all."
    return boxed(f"Click a point to see what it is.{less if drawn < points else ''}")


def legend(layer: Layer) -> str:
    """What the colours of a layer mean: the classes that occur in it, or a scale."""
    match layer.legend:
        case Scale():
            return boxed(_scale(layer.legend))
        case Classes():
            return boxed(" ".join(_swatch(colour, name) for name, colour in layer.legend.entries))
    return ""


def looking(text: str) -> str:
    """That a text is looked for."""
    return boxed(f"Looking for <b>{escape(text)}</b> ...")


def matches(answer: Answer, source: str) -> str:
    """The best groups of a text by the features of `source`."""
    rows = [
        (str(rank), name, f"{match.score:.{DECIMALS}f}", f"{match.area:.2f}", decimals(match.centre, 1))
        for rank, (name, match) in enumerate(zip(answer.shows, answer.matches, strict=True), 1)
    ]
    table = _table(("", "shows", "score", "area / m²", "centre / m"), rows)
    notes = [limits.said(answer.text, answer.left_out)] if answer.left_out else []
    notes += [] if answer.in_order else [ORDER]
    notes += [f"{ALWAYS}."] if answer.matches else []
    said = "<br>".join(map(escape, notes))
    return boxed(f"{_scale(HEAT)}<b>{escape(answer.text)}</b> ({escape(source)}){table}{said}")


def point(found: PickedPoint) -> str:
    """What is known of a point."""
    parts = [f"<b>Point {found.index:,}</b> at {decimals(found.xyz, 2)} m"]
    if found.superpoint >= 0:
        parts.append(f"Superpoint {found.superpoint}, which has {found.superpoint_points:,} points")
    if found.scores:
        parts.append(_table(("label", "cosine"), [(name, f"{score:.3f}") for name, score in found.scores]))
    said = [*found.said, *([("annotation", found.truth)] if found.truth else [])]
    if said:
        parts.append(_table(("step", "says"), said))
    if found.weight:
        parts.append("Weight: " + ", ".join(f"{escape(n)} {value:.2f}" for n, value in found.weight))
    views = ", ".join(f"{escape(view.frame.id)} ({view.distance:.1f} m)" for view in found.views)
    parts.append(f"The closest frames that show it are {views}" if views else "No frame here shows it")
    return boxed("<br>".join(parts))


def problem(message: str) -> str:
    """Why something cannot be shown."""
    return boxed(f'<b style="color:#c0392b">{escape(message)}</b>')


def _swatch(colour: tuple[int, ...], name: str) -> str:
    square = f"background:{palette.hexadecimal(colour)};width:.8em;height:.8em;border:1px solid #888"
    return (
        '<span style="white-space:nowrap;margin-right:.5em">'
        f'<i style="display:inline-block;{square}"></i> {escape(name)}</span>'
    )


def _scale(scale: Scale) -> str:
    stops = ",".join(palette.hexadecimal(colour) for colour in palette.heat(np.linspace(0, 1, 6)).tolist())
    bar = f'<i style="display:block;height:.7em;background:linear-gradient(90deg,{stops})"></i>'
    ends = f"<span>{escape(scale.low)}</span><span>{escape(scale.high)}</span>"
    return f'{bar}<span style="display:flex;justify-content:space-between">{ends}</span>'


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    cell = 'style="padding:0 .9em 0 0;text-align:left;font-weight:normal"'
    top = "".join(f'<th {cell}><span style="opacity:.7">{escape(name)}</span></th>' for name in head)
    body = "".join("<tr>" + "".join(f"<td {cell}>{escape(v)}</td>" for v in row) + "</tr>" for row in rows)
    return f"<table>{f'<tr>{top}</tr>'}{body}</table>"
