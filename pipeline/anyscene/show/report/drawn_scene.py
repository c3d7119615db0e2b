"""Rooms as every step of the pipeline sees them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from anyscene.datasets import LabelSet
from anyscene.errors import PipelineError
from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.show import palette
from anyscene.show.report.numbers import numbered
from anyscene.show.viewpoint import Viewpoint, corner_viewpoint
from anyscene.study.ablation import NETWORKS, Ablation
from anyscene.study.table import title
from anyscene.tasks.segmentation.metrics import Prediction, evaluate
from anyscene.text import load_text_encoder
from anyscene.text.text_space import TextSpace

PICTURE = (480, 360)


@dataclass(frozen=True)
class Layer:
    """One picture of a room; mIoU in percent where it shows a prediction that can be measured; `classes`: the
    rows of the label set in it."""

    title: str
    image: str
    mIoU: float | None = None
    classes: frozenset[int] = frozenset()


@dataclass(frozen=True)
class DrawnScene:
    """problems: why layers that should be there are not."""

    id: str
    layers: tuple[Layer, ...]
    problems: tuple[str, ...] = ()


def choose(scenes: Sequence[str], count: int) -> list[str]:
    """`count` of the scenes, evenly spread over their order."""
    places = np.linspace(0, len(scenes) - 1, min(count, len(scenes))).round().astype(int)
    return [scenes[place] for place in places]


def spread(scenes: Sequence[str]) -> list[str]:
    """The scenes in an order of which any beginning is about evenly spread: by places' bits reversed."""
    width = max(1, (len(scenes) - 1).bit_length())
    return [scenes[place] for place in sorted(range(len(scenes)), key=lambda i: f"{i:0{width}b}"[::-1])]


def ablation(params: Params, artefacts: Artefacts, label_set: LabelSet) -> Ablation | None:
    """What predicts; None where there are not even superpoints."""
    if not artefacts.has(artefacts.data("superpoints")):
        return None
    encoder = load_text_encoder(params.text)
    space = TextSpace.of(encoder, label_set, params.vocabulary, params.text.template)
    return Ablation(
        artefacts,
        params.segmenters.names,
        params.vocabulary,
        space,
        params.fusion,
        turns=params.evaluation.turns,
    )


def draw(
    scene: str, params: Params, artefacts: Artefacts, label_set: LabelSet, predicts: Ablation | None
) -> DrawnScene:
    """All that exists of a scene; predictions only with what predicts. Raises PipelineError where not even
    the cloud can be read."""
    group = store.open_scene(store.scene_path(artefacts.data("scenes"), scene))
    view = corner_viewpoint(group["xyz"][:], group["normal"][:], PICTURE)
    layers = [Layer("colour", palette.data_uri(view.picture(group["rgb"][:], shaded=False)))]
    problems: list[str] = []
    truth = store.scene_path(artefacts.data("labels"), scene)
    target = None
    try:
        target = store.open_scene(truth)["label"][:] if truth.is_dir() else None
    except PipelineError as error:
        problems.append(str(error))
    if target is not None:
        layers.append(_labels("ground truth", view, target, label_set))
    if predicts is not None:
        layers += _predictions(scene, view, target, params, artefacts, label_set, predicts, problems)
    return DrawnScene(scene, tuple(layers), tuple(dict.fromkeys(problems)))


def _predictions(scene, view, target, params, artefacts, label_set, predicts, problems) -> Iterator[Layer]:
    annotated = target is not None and (target >= 0).any()
    label = name = None
    for row, prediction in _readable(scene, params.segmenters.names, predicts, problems).items():
        if row == "superpoint":
            superpoints = store.scene_path(artefacts.data("superpoints"), scene)
            colours = palette.superpoint_colours(store.open_scene(superpoints)["superpoint"][:])
            yield Layer("superpoints", palette.data_uri(view.picture(colours)))
        label, name = prediction.label, title(row).removeprefix("+ ")
        score = None
        if annotated:
            score = evaluate(target, label, label_set, unpredicted=params.evaluation.unpredicted).mIoU
        yield _labels(name, view, label, label_set, score)
    if annotated and label is not None:
        picture = view.picture(palette.error_colours(target, label))
        yield Layer(f"errors of {name}", palette.data_uri(picture))


def _readable(
    scene: str, models: Sequence[str], predicts: Ablation, problems: list[str]
) -> dict[str, Prediction]:
    """What each row says, all at once; row by row only where an artefact is missing or damaged."""
    rows = (*models, "capability", "superpoint", *NETWORKS)
    try:
        return {row: first for row, (first, *_) in predicts.predictions(scene, rows).items()}
    except PipelineError:
        found = {}
        for row in rows:
            try:
                found |= {name: first for name, (first, *_) in predicts.predictions(scene, [row]).items()}
            except PipelineError as error:
                problems.append(str(error))
        return found


def _labels(
    name: str, view: Viewpoint, label: np.ndarray, label_set: LabelSet, score: float | None = None
) -> Layer:
    picture = view.picture(palette.label_colours(label, label_set.colours))
    classes = frozenset(np.unique(label[label >= 0]).tolist())
    return Layer(name, palette.data_uri(numbered(picture, view.pixels(label))), score, classes)
