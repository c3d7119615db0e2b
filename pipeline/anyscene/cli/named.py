"""What parameters name: files that a stage reads, and code that it reaches through a registry.

There is one function for each kind of name. A stage declares which of them it follows (`Stage.files`,
`Stage.modules`, `Stage.settings`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyscene import segmenters
from anyscene.datasets import label_sets, raw_files
from anyscene.project import layout
from anyscene.project.parameters import OBJECTIVES, Dataset, Params
from anyscene.project.stages import Item
from anyscene.tasks import TASKS, task

if TYPE_CHECKING:
    from anyscene.datasets.entry import Entry as Reader
    from anyscene.learning.entry import Entry as Objective

Named = Callable[[Params, Item], Sequence[Any]]


def together(*parts: Named) -> Named:
    """A function that returns what several of these functions name."""

    def named(params: Params, item: Item) -> Sequence[Any]:
        return [one for part in parts for one in part(params, item)]

    return named


def text_file(params: Params, item: Item) -> Sequence[Path]:
    """The checkpoint in `text.encoder`."""
    file = params.text.file
    return () if file is None else (file,)


def label_table(params: Params, item: Item) -> Sequence[Path]:
    """The csv file of `dataset.label_set`: one of this package, or the user's own."""
    return (label_sets.table(params.dataset.label_set),)


def label_tables(params: Params, item: Item) -> Sequence[Path]:
    """The csv files of all label sets by which rows are scored."""
    others = (label_sets.table(name) for name in params.evaluation.label_sets)
    return [*label_table(params, item), *others]


def reader_splits(params: Params, item: Item) -> Sequence[Path]:
    """The official lists of scenes of the data set that `dataset.reader` reads, if it has any."""
    return sorted(raw_files.SPLITS.glob(f"{params.dataset.reader}_*.txt"))


def official_splits(params: Params, item: Item) -> Sequence[Path]:
    """The official lists of scenes of all data sets, for what compares scores with published ones."""
    return sorted(raw_files.SPLITS.glob("*.txt"))


def reader_files(params: Params, item: Item) -> Sequence[Path]:
    """The files of the data set that do not lie in `dataset.root`."""
    return _reader(params).files(params.dataset)


def reader_code(params: Params, item: Item) -> Sequence[str]:
    """The module of the reader that `dataset.reader` names."""
    return (_reader(params).module,)


def reader_settings(params: Params, item: Item) -> Sequence[Any]:
    """The section of the reader that `dataset.reader` names, if it has one."""
    return _recorded(params.dataset, [params.dataset.reader])


def segmenter_files(params: Params, item: Item) -> Sequence[Path]:
    """The weights of one 2D model or of all, and those of the captioner where one has masks; without the
    answers of models that ran elsewhere."""
    section = params.segmenters
    return [
        path for name in _models(params, item) for path in segmenters.weights(name, section, answers=False)
    ]


def segmenter_answers(params: Params, item: Item) -> Sequence[Path]:
    """The folder of answers of each 2D model that ran elsewhere: one of them or of all."""
    section = params.segmenters
    return [
        Path(section.weights) / name for name in _models(params, item) if segmenters.answered(name, section)
    ]


def segmenter_code(params: Params, item: Item) -> Sequence[str]:
    """The modules of one 2D model or of all, and those of the captioner where one has masks."""
    return [
        module for name in _models(params, item) for module in segmenters.modules(name, params.segmenters)
    ]


def labelling_files(params: Params, item: Item) -> Sequence[Path]:
    """As `segmenter_files`, with all answers and without the captioner: for stages that need only labels."""
    section = params.segmenters
    return [
        path for name in _models(params, item) for path in segmenters.weights(name, section, captions=False)
    ]


def labelling_code(params: Params, item: Item) -> Sequence[str]:
    """As `segmenter_code`, without the captioner: for stages that need only labels."""
    section = params.segmenters
    return [
        one for name in _models(params, item) for one in segmenters.modules(name, section, captions=False)
    ]


def segmenter_settings(params: Params, item: Item) -> Sequence[Any]:
    """The sections of one 2D model or of all."""
    return _recorded(params.segmenters, _models(params, item))


def synthesis_files(params: Params, item: Item) -> Sequence[Path]:
    """The text-to-image model and SAM."""
    return Path(params.synthesis.diffusion), Path(params.synthesis.sam)


def objective_code(params: Params, item: Item) -> Sequence[str]:
    """The module of the objective of the training `item`."""
    return (_objective(params, item).module,)


def objective_files(params: Params, item: Item) -> Sequence[Path]:
    """Files of the objective's own, the text encoder's where the network is as wide as its space, and the
    label table where the objective asks for prompts."""
    objective, entry = _objective(params, item), params.training[str(item)]
    found = [*objective.files(entry.objective)]
    if _as_wide_as_texts(params, item):
        found += text_file(params, item)
    return [*found, *label_table(params, item)] if objective.texts else found


def objective_settings(params: Params, item: Item) -> Sequence[Any]:
    """The encoder where the network is as wide as its space; template and label set, where the objective asks
    for prompts."""
    if _objective(params, item).texts:
        return dataclasses.asdict(params.text), params.dataset.label_set
    return (params.text.encoder,) if _as_wide_as_texts(params, item) else ()


def _as_wide_as_texts(params: Params, item: Item) -> bool:
    """Whether the text encoder enters a training: it says how many channels features have, unless the target
    has features."""
    return _objective(params, item).texts or params.training[str(item)].target != "fusion"


def other_networks(params: Params, item: Item) -> Sequence[Path]:
    """The descriptions of networks in models/ that no entry of `training` writes. They hold the hash of the
    weights."""
    found = sorted(layout.NETWORKS.glob("*/network.json"))
    return [file for file in found if file.parent.name not in params.training]


def task_files(params: Params, item: Item) -> Sequence[Path]:
    """The files that tasks read, as their settings name them."""
    return task.files(params.evaluation)


def task_code(params: Params, item: Item) -> Sequence[str]:
    """The modules of all tasks that packages offer."""
    return [TASKS.module(name) for name in TASKS.names()]


def _reader(params: Params) -> Reader:
    found: Any = Dataset.ENTRIES.get(params.dataset.reader)
    entry: Reader = found
    return entry


def _objective(params: Params, item: Item) -> Objective:
    found: Any = OBJECTIVES.get(params.training[str(item)].kind)
    entry: Objective = found
    return entry


def _models(params: Params, item: Item) -> Sequence[str]:
    return params.segmenters.names if item is None else (item,)


def _recorded(section: Any, names: Sequence[str]) -> Sequence[Any]:
    """The settings of the entries `names` that have any, as values for JSON."""
    known = dict(section.sections.values)
    return [{name: dataclasses.asdict(known[name])} for name in names if name in known]
