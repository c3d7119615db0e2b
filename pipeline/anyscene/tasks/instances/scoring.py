"""Proposals of other models on the annotated scenes of the split -> their average precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from anyscene.errors import EvaluationError
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.project.progress import progress
from anyscene.tasks import sources
from anyscene.tasks.instances.average_precision import LabelledScene, evaluate_instances, things
from anyscene.tasks.instances.proposals import Proposals
from anyscene.tasks.task import Texts
from anyscene.tasks.truth import Annotation, split_by_annotation
from anyscene.text import TextEncoder

Reader = Callable[[Path, str, int], Proposals]  # takes the folder, the scene and how many points it has


def score_proposals(
    folder: Path,
    settings: Params,
    artefacts: Artefacts,
    encoder: TextEncoder,
    source: str | None = None,
    read: Reader = Proposals.from_scannet,
) -> dict[str, Any]:
    """AP, AP50 and AP25 in percent, as means and for each class, of the annotated scenes of the split; and
    which scenes, proposals and features they are of.

    folder: of the proposals. source: whose features name the proposals, as in `sources.of_scene`. Raises
    EvaluationError where no scene is annotated, and DataError for a bad file of proposals."""
    scenes, _ = split_by_annotation(artefacts, settings.evaluation.split)
    if not scenes:
        raise EvaluationError(f"no scene of {settings.evaluation.split} is annotated; run labels first")
    source, texts = source or sources.default(artefacts), Texts.of(settings, encoder)
    features, label_set = sources.opened(artefacts, source, settings.runtime.device), texts.label_set
    candidates = label_set.prompts_among(things(label_set))
    count, name = 0, source

    def labelled() -> Iterator[LabelledScene]:
        nonlocal count, name
        with progress("instances", len(scenes)) as advance:
            for scene in scenes:
                truth, of_scene = Annotation.read(artefacts, scene, label_set), features(scene)
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
