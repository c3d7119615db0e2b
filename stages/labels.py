"""Annotation of raw scans -> data/labels. Only a stage that declares so reads it."""

from anyscene.cli import named
from anyscene.cli.command import stage_command
from anyscene.project import layout
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import Params
from anyscene.project.stages import Stage

STAGE = Stage(
    "labels",
    by_scene=True,
    reads=("${dataset.root}", layout.SCENES),
    writes=(layout.LABELS,),
    parameters=("dataset.label_set", "dataset.reader", "evaluation.label_sets"),
    files=named.together(named.reader_files, named.label_tables),
    modules=named.reader_code,
    settings=named.reader_settings,
)


def labels(params: Params, fresh: Freshness) -> object:
    """Import the annotation of the scenes that have one."""
    from anyscene.datasets.import_labels import import_labels

    return import_labels(params, fresh)


app = stage_command(STAGE, labels)

if __name__ == "__main__":
    app()
