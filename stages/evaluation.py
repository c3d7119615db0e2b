"""Everything that predicts -> reports/{metrics,summary}.json and reports/plots, and the closing table."""

import json
from typing import Any

from anyscene.cli import named
from anyscene.cli.command import stage_command
from anyscene.cli.options import Json
from anyscene.project import layout
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import Params
from anyscene.project.stages import Stage


def plot(name: str, title: str, template: str, x: str, y: str, **labels: str) -> dict[str, Any]:
    """reports/plots/NAME.csv as dvc.yaml has its plots."""
    return {
        name: {"title": title, "template": template, "x": x, "y": {f"{layout.PLOTS / name}.csv": y}, **labels}
    }


STAGE = Stage(
    "evaluation",
    reads=(
        "${dataset.root}",
        layout.CAPABILITY,
        layout.FUSION,
        layout.LABELS,
        layout.PROJECTION,
        layout.SCENES,
        layout.SUPERPOINTS,
        layout.TRAINED,
    ),
    writes=(layout.METRICS, layout.PLOTS),
    metrics=(layout.SUMMARY,),
    cached=False,
    parameters=(
        "capability.other",
        "dataset.label_set",
        "dataset.name",
        "dataset.reader",
        "evaluation",
        "fusion",
        "projection.height",
        "projection.resize",
        "projection.tolerance",
        "projection.width",
        "scenes",
        "segmenters.captioner",
        "segmenters.names",
        "segmenters.nouns",
        "segmenters.precision",
        "text",
        "training",
        "vocabulary",
    ),
    files=named.together(
        named.labelling_files,
        named.text_file,
        named.label_tables,
        named.official_splits,
        named.reader_files,
        named.task_files,
        named.other_networks,
    ),
    modules=named.together(named.labelling_code, named.reader_code, named.task_code),
    settings=named.together(named.segmenter_settings, named.reader_settings),
    plots=(
        plot("losses", "Training loss of every network", "by_network", "step", "loss"),
        plot("rows", "mIoU of every row, in percent", "bar_horizontal", "mIoU", "row"),
        plot("classes", "IoU of every class by the last step, in percent", "bar_horizontal", "IoU", "class"),
        plot(
            "capability",
            "Capability and true IoU, class by class",
            "scatter",
            "capability",
            "true_iou",
            x_label="capability, in percent",
            y_label="true IoU, in percent",
        ),
        plot(
            "confusion",
            "Confusion of the last step, in percent of each class",
            "confusion",
            "actual",
            "predicted",
        ),
    ),
)


def evaluation(params: Params, fresh: Freshness, as_json: Json = False) -> None:
    """Measure every way from 2D models to labelled points, with controls and intervals over scenes."""
    from anyscene import datasets
    from anyscene.study import evaluation, reports

    names = datasets.label_set(params.dataset.label_set).names
    reports.write(evaluation.run(params, layout.Artefacts()), names, layout.REPORTS)
    show(as_json)


def show(as_json: bool) -> None:
    """Print the closing table, or as JSON all that was measured."""
    from anyscene.study import reports, table

    metrics = reports.read(layout.REPORTS)
    if as_json:
        print(json.dumps(metrics, indent=2))
    else:
        table.show(metrics, layout.PAGE)


app = stage_command(STAGE, evaluation, show)

if __name__ == "__main__":
    app()
