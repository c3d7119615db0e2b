"""reports/timings.html: how long each stage took. It is a page of its own, so that the same run gives the
same report."""

from __future__ import annotations

from collections.abc import Sequence

from anyscene.project import timing
from anyscene.project.layout import Artefacts
from anyscene.show.report.template import template


def build(stages: Sequence[str], artefacts: Artefacts) -> str:
    """The page as HTML, with a line for each of `stages` (as DVC names them), also where its time is not
    known."""
    known = {found.stage: found for found in timing.read(artefacts.root)}
    lines = [(stage, known.get(stage)) for stage in stages]
    total = sum(found.seconds for _, found in lines if found is not None)
    return template("timings.html.j2").render(lines=lines, total=total)
