"""Pictures of scenes as every step of the pipeline sees them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from anyscene.arrays import I2, Integers
from anyscene.datasets import LabelSet, contradictions
from anyscene.errors import PipelineError
from anyscene.project import store
from anyscene.project.progress import progress
from anyscene.show import palette
from anyscene.show.report.numbers import numbered
from anyscene.show.report.run import Run
from anyscene.show.viewpoint import Viewpoint, corner_viewpoint
from anyscene.study import rows
from anyscene.study.ablation import Ablation, PredictingRow
from anyscene.study.evaluation import failed_scenes
from anyscene.tasks.drawing import task_layers
from anyscene.tasks.segmentation.metrics import evaluate
from anyscene.text.text_space import Prediction

SIZE = (480, 360)  # width and height of a picture in pixels
GALLERY_MB = 14  # of all pictures; everything else on a page is never as large as the rest of its 20 MB


@dataclass(frozen=True)
class GalleryPicture:
    """A picture of a scene."""

    title: str
    image: str  # a data URI
    mIoU: float | None = None  # in percent; None where it shows no prediction, or one that cannot be measured
    classes: frozenset[int] = frozenset()  # rows of the label set that it shows
    step: bool = True  # whether the strip has it: 2D models, and the rows that lead to the last step


@dataclass(frozen=True)
class DrawnScene:
    """All pictures of a scene."""

    id: str
    pictures: tuple[GalleryPicture, ...]
    problems: tuple[str, ...] = ()  # why pictures are missing
    agreement: tuple[str, ...] = ()  # how far its depth maps agree


@dataclass(frozen=True)
class Gallery:
    """The scenes that a page shows."""

    drawn: tuple[DrawnScene, ...] = ()
    scenes: int = 0  # how many the split has
    full: bool = False  # whether fewer are shown than were asked for, because the page would grow too large


def gallery(run: Run) -> Gallery:
    """Draw up to `report.scenes` scenes of the split, evenly spread over it."""
    split, data = run.params.evaluation.split, run.artefacts.data("scenes")
    if not run.artefacts.has(data):
        run.missing.append("There are no scenes yet. Run dvc repro.")
        return Gallery()
    failed = run.tried(lambda: failed_scenes(run.artefacts)) or {}
    scenes = [one for one in run.tried(lambda: store.split_ids(data, split)) or () if one not in failed]
    if not scenes:
        run.missing.append(f"No scene of the split {split} can be shown.")
        return Gallery()
    chosen = choose(scenes, run.params.report.scenes)
    drawn: dict[str, DrawnScene] = {}
    left, full = GALLERY_MB * 1e6, False
    with progress("report", len(chosen)) as advance:
        for scene in spread(chosen):
            found = run.tried(partial(draw, scene, run))
            if found is not None:
                left -= sum(len(picture.image) for picture in found.pictures)
                full = left < 0
                if full:
                    break
                drawn[scene] = found
                run.missing.extend(found.problems)
            advance()
    return Gallery(tuple(drawn[scene] for scene in chosen if scene in drawn), len(scenes), full)


def choose(scenes: Sequence[str], count: int) -> list[str]:
    """`count` of the scenes, evenly spread over their order."""
    places = np.linspace(0, len(scenes) - 1, min(count, len(scenes))).round().astype(int)
    return [scenes[place] for place in places]


def spread(scenes: Sequence[str]) -> list[str]:
    """The scenes in another order, of which any beginning is spread about evenly: by their places with bits
    reversed."""
    width = max(1, (len(scenes) - 1).bit_length())
    return [scenes[place] for place in sorted(range(len(scenes)), key=lambda i: f"{i:0{width}b}"[::-1])]


def draw(scene: str, run: Run) -> DrawnScene:
    """Draw everything that exists of a scene. Raises PipelineError where not even the cloud can be read."""
    group = store.open_scene(store.scene_path(run.artefacts.data("scenes"), scene))
    view = corner_viewpoint(group["xyz"][:], group["normal"][:], SIZE)
    pictures = [GalleryPicture("colour", palette.data_uri(view.picture(group["rgb"][:], shaded=False)))]
    problems: list[str] = []
    target = _truth(scene, run, problems)
    if target is not None:
        pictures.append(_labels("ground truth", view, target, run.label_set))
    if run.ablation is not None:
        pictures += _predictions(scene, view, target, run, run.ablation, problems)
    pictures += _tasks(scene, view, run, problems)
    agreement = tuple(contradictions.lines(group.attrs.get("agreement", {})))
    return DrawnScene(scene, tuple(pictures), tuple(dict.fromkeys(problems)), agreement)


def _truth(scene: str, run: Run, problems: list[str]) -> I2 | None:
    """i2[N]: the true labels, -1 = none; None where the scene is not annotated."""
    path = store.scene_path(run.artefacts.data("labels"), scene)
    try:
        return store.open_scene(path)["label"][:] if path.is_dir() else None
    except PipelineError as error:
        problems.append(str(error))
        return None


def _predictions(
    scene: str,
    view: Viewpoint,
    target: Integers | None,
    run: Run,
    ablation: Ablation,
    problems: list[str],
) -> Iterator[GalleryPicture]:
    truth = target if target is not None and (target >= 0).any() else None
    steps = {row.name for row in rows.steps(ablation.rows)}
    label = name = None
    for row, prediction in _readable(scene, ablation, problems):
        if row.role == "superpoints":
            superpoint = ablation.features(scene).open("superpoints")["superpoint"][:]
            picture = view.picture(palette.superpoint_colours(superpoint))
            yield GalleryPicture("superpoints", palette.data_uri(picture), step=False)
        label, name, score = prediction.label, row.plain_title, None
        if truth is not None:
            unpredicted = run.params.evaluation.unpredicted
            score = evaluate(truth, label, run.label_set, unpredicted=unpredicted).mIoU
        yield _labels(name, view, label, run.label_set, score, row.role == "2d_model" or row.name in steps)
    if truth is not None and label is not None:
        picture = view.picture(palette.error_colours(truth, label))
        yield GalleryPicture(f"errors of {name}", palette.data_uri(picture))


def _tasks(scene: str, view: Viewpoint, run: Run, problems: list[str]) -> Iterator[GalleryPicture]:
    """The pictures of tasks that have no place of their own on the page."""
    try:
        for layer in task_layers(run.artefacts, scene, run.texts, run.params.evaluation):
            picture = view.picture(palette.layer_colours(layer))
            yield GalleryPicture(layer.title, palette.data_uri(picture), step=False)
    except PipelineError as error:
        problems.append(str(error))


def _readable(
    scene: str, ablation: Ablation, problems: list[str]
) -> Iterator[tuple[PredictingRow, Prediction]]:
    """Yield what each row predicts of which there are pictures. Where one cannot predict, the reason is
    appended to `problems`."""
    features = ablation.features(scene)
    for row in rows.pictured(ablation.rows):
        try:
            first, *_ = row.predict(features)
        except PipelineError as error:
            problems.append(str(error))
        else:
            yield row, first


def _labels(
    name: str,
    view: Viewpoint,
    label: Integers,
    label_set: LabelSet,
    score: float | None = None,
    step: bool = True,
) -> GalleryPicture:
    picture = view.picture(palette.label_colours(label, label_set.colours))
    classes = frozenset(np.unique(label[label >= 0]).tolist())
    return GalleryPicture(name, palette.data_uri(numbered(picture, view.pixels(label))), score, classes, step)
