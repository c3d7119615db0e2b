"""Proposals of other models on the annotated scenes of the split -> their average precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.project.progress import progress
from anyscene.tasks import sources
from anyscene.tasks.instances.average_precision import LabelledScene, evaluate_instances, things
from anyscene.tasks.instances.proposals import Proposals
from anyscene.tasks.segmentation.metrics import EvaluationError
from anyscene.tasks.task import Texts
from anyscene.tasks.truth import Truth, split_by_annotation
from anyscene.text import TextEncoder

Reader = Callable[[Path, str, int], Proposals]  # of a folder, for a scene of so many points


def score_proposals(
    folder: Path,
    settings: Params,
    artefacts: Artefacts,
    encoder: TextEncoder,
    source: str | None = None,
    read: Reader = Proposals.from_scannet,
) -> dict[str, Any]:
    """AP, AP50, AP25 in percent, over all and per class, of the split's annotated scenes, and what of.

    source: whose features name the proposals, see `sources.of_scene`. Raises EvaluationError without an
    annotated scene, and DataError for a bad file of proposals."""
    scenes, _ = split_by_annotation(artefacts, settings.evaluation.split)
    if not scenes:
        raise EvaluationError(f"no scene of {settings.evaluation.split} is annotated; run labels first")
    source, texts = source or sources.default(artefacts), Texts.of(settings, encoder)
    features, label_set = sources.opened(artefacts, source), texts.label_set
    candidates = label_set.prompts_among(things(label_set))
    count, name = 0, source

    def labelled() -> Iterator[LabelledScene]:
        nonlocal count, name
        with progress("instances", len(scenes)) as advance:
            for scene in scenes:
                truth, of_scene = Truth.read(artefacts, scene, label_set), features(scene)
                found = read(folder, scene, len(of_scene))
                found = found.named(of_scene, texts.prompts, candidates, label_set)
                row = found.rows(label_set.names)
                count, name = count + len(found), of_scene.name
                yield LabelledScene(truth.label, truth.instance, found.masks, row, found.score)
                advance()

    return asdict(evaluate_instances(labelled(), label_set)) | {
        "label_set": label_set.name,
        "split": settings.evaluation.split,
        "scenes": scenes,
        "proposals": count,
        "source": name,
    }
