"""What in params.yaml can only be checked against packages, models and files that are there."""

from __future__ import annotations

from pathlib import Path

from anyscene import datasets
from anyscene.errors import ConfigError, PipelineError
from anyscene.project import layout, parameters
from anyscene.project.parameters import Params
from anyscene.segmenters import known as segmenters
from anyscene.text import known as text


def check(params: Params, file: Path = layout.PARAMETERS) -> None:
    """Raise ConfigError for a name in `params`, which the file `file` holds, for which a later stage would
    raise an error; it is said before the first one runs.

    Types and bounds are checked as the file is read (`parameters`). Weights that are missing are no error
    here: `anyscene doctor` lists them, and the stages before may run without."""
    try:
        _check(params)
    except PipelineError as error:
        raise ConfigError(f"{file}: {error}") from error


def _check(params: Params) -> None:
    root = Path(params.dataset.root)
    # a stage writes the demo's; DVC, which would miss another folder hours later, names no parameter
    if root.resolve() != layout.WORLD.resolve() and not root.is_dir():
        raise ConfigError(
            f"dataset.root: {root} is not there; put the raw scans there, or name the folder that holds them"
        )
    if not params.segmenters.names:
        raise ConfigError("segmenters.names: name at least one 2D model")
    for name in params.segmenters.names:
        segmenters.require_known(name, params.segmenters)
    label_sets = [datasets.label_set(params.dataset.label_set)]
    label_sets += [datasets.label_set(name) for name in params.evaluation.label_sets]
    if len(label_sets) > 1:
        if not datasets.entry(params.dataset.reader).by_category:
            raise ConfigError(
                f"evaluation.label_sets: scans in the form {params.dataset.reader} are annotated by rows of "
                "one label set, dataset.label_set; write []"
            )
        if any(other.name == label_sets[0].name for other in label_sets[1:]):
            raise ConfigError(
                f"evaluation.label_sets: {label_sets[0].name} is dataset.label_set already; leave it out"
            )
    text.require_known(params.text)
    for name, path in parameters.missing_starts(params, layout.NETWORKS).items():
        raise ConfigError(
            f"training.{name}.from: {path} is not there; name another entry, or a folder of models/"
        )
    if params.runtime.device not in ("auto", "cpu"):
        from anyscene.project.device import choose_device  # only here, because torch takes seconds to import

        choose_device(params.runtime.device)
