"""reports/timings.html: how long each stage took. Apart from the page, which is the same for the same run."""

from __future__ import annotations

from anyscene.project import timing
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.show.report.template import template


def stages(params: Params) -> list[str]:
    """Those of dvc.yaml that run before the report, in their order."""
    models = params.segmenters.names
    return [
        *(["world"] if params.dataset.name == "demo" else []),
        *("scenes", "labels", "superpoints"),
        *(f"projection@{model}" for model in models),
        "synthesis",
        *(f"capability@{model}" for model in models),
        "fusion",
        *(f"training@{name}" for name in params.training),
        "evaluation",
    ]


def build(params: Params, artefacts: Artefacts) -> str:
    """The page as HTML: a line for each stage, also for those whose time is not known."""
    known = {found.stage: found for found in timing.read(artefacts.root)}
    lines = [(stage, known.get(stage)) for stage in stages(params)]
    total = sum(found.seconds for _, found in lines if found is not None)
    return template("timings.html.j2").render(lines=lines, total=total)
