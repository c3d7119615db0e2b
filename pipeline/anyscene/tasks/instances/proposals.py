"""Class-agnostic proposals of objects, as Mask3D and others export them, named by the features inside them.

    FOLDER/SCENE.txt         a proposal a line: file of its mask, relative to FOLDER, its class, its score
    FOLDER/pred_mask/*.txt   a number per point of the scene, in its order; other than 0: inside

The format is that of ScanNet's benchmark (evaluate_semantic_instance.py). The class in the file is not looked
at: a proposal's is that whose text is closest to the mean of the features of its points, among those that
objects can have; a proposal without a single feature has none.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anyscene import datasets
from anyscene.errors import DataError, EvaluationError
from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.project.progress import progress
from anyscene.study.evaluation import split_by_annotation
from anyscene.tasks.instances.average_precision import LabelledScene, evaluate_instances, things
from anyscene.tasks.query.similarity import scene_features
from anyscene.text import TextEncoder, embeddings


@dataclass(frozen=True, eq=False)
class Proposals:
    """mask b1[P,N] over the points of a scene, score f8[P], in the order of the file."""

    mask: np.ndarray
    score: np.ndarray


def read_proposals(folder: Path, scene: str, points: int) -> Proposals:
    """The proposals of a scene of so many points. Raises DataError naming the file and the line."""
    path = folder / f"{scene}.txt"
    if not path.is_file():
        raise DataError(f"{path}: missing; export the proposals of every annotated scene of the split")
    masks, scores = [], []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        place, parts = f"{path}: line {number}", line.split()
        if not parts:
            continue
        try:
            name, _, score = parts
            scores.append(float(score))
        except ValueError as error:
            raise DataError(
                f"{place}: expected a mask's file, a class and a score; export it again"
            ) from error
        if not np.isfinite(scores[-1]):
            raise DataError(f"{place}: the score {score} is not finite; export it again")
        file = folder / name
        if Path(name).is_absolute() or not file.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{place}: {name} is not inside {folder}; masks must lie beside the list")
        masks.append(_mask(file, place, points))
    return Proposals(np.array(masks, bool).reshape(len(masks), points), np.array(scores, np.float64))


def label_proposals(
    mask: np.ndarray,  # [P, N]
    feature: np.ndarray,  # [N, C]
    valid: np.ndarray,  # [N]
    text: np.ndarray,  # [T, C]
    candidates: np.ndarray,  # [J], rows of `text`
) -> np.ndarray:
    """i8: the candidate closest to the mean feature of each proposal's valid points, -1 without any."""
    label = np.full(len(mask), -1, np.int64)
    for index, inside in enumerate(mask & valid):
        if inside.any():
            label[index] = candidates[(text[candidates] @ feature[inside].mean(0)).argmax()]
    return label


def score_proposals(
    folder: Path, settings: Params, artefacts: Artefacts, encoder: TextEncoder, source: str | None = None
) -> dict[str, Any]:
    """AP, AP50, AP25 in percent, over all and per class, of the split's annotated scenes, and what of.

    source: whose features, see `query.scene_features`. Raises EvaluationError without an annotated scene, and
    DataError for a bad file of proposals."""
    label_set = datasets.label_set(settings.dataset.label_set)
    scenes, _ = split_by_annotation(artefacts, settings.evaluation.split)
    if not scenes:
        raise EvaluationError(f"no scene of {settings.evaluation.split} is annotated; run labels first")
    text = embeddings(encoder, label_set.prompts, settings.text.template)
    candidates = label_set.prompts_among(things(label_set))
    labelled, counts = [], 0
    with progress("instances", len(scenes)) as advance:
        for scene in scenes:
            feature, valid, used = scene_features(artefacts, scene, source)
            proposals = read_proposals(folder, scene, len(feature))
            prompt = label_proposals(proposals.mask, feature, valid, text, candidates)
            label = label_set.of_prompts(prompt)
            truth = store.open_scene(store.scene_path(artefacts.data("labels"), scene))
            labelled.append(
                LabelledScene(truth["label"][:], truth["instance"][:], proposals.mask, label, proposals.score)
            )
            counts += len(label)
            advance()
    metrics = asdict(evaluate_instances(labelled, label_set))
    return metrics | {
        "label_set": label_set.name,
        "split": settings.evaluation.split,
        "scenes": scenes,
        "proposals": counts,
        "source": used,
    }


def _mask(path: Path, place: str, points: int) -> np.ndarray:
    try:
        values = np.array(path.read_text().split(), np.int64)
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing, {place} names it; export it again") from error
    except (OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: not a mask of one integer per point ({error}); export it again") from error
    if len(values) != points:
        raise DataError(
            f"{path}: {len(values)} lines for {points} points; export it of the mesh that was imported"
        )
    return values != 0
