"""What every row predicts on annotated scenes, counted scene by scene in several processes.

On a machine with a GPU the networks are asked in this process, which has the GPU, while others compute the
rest. The counts do not depend on who computes what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from anyscene import datasets
from anyscene.project import per_scene, store
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.study.ablation import CPU, Ablation, Controls, Inputs
from anyscene.tasks.segmentation.metrics import Tally, tally


@dataclass(frozen=True, eq=False)
class Counts:
    """What is counted in one scene, by one label set."""

    points: int  # with a label
    of_row: dict[str, list[Tally]]  # of each row that was asked: one of each of its variants


def counted(
    params: Params,
    artefacts: Artefacts,
    controls: Controls | None,
    scenes: Sequence[str],
    processes: int | per_scene.WorkerPool,
    device: torch.device = CPU,
    apart: bool = False,
) -> Iterator[list[Counts]]:
    """Yield the counts of every scene, in order: first those by `dataset.label_set`, then those by each of
    `evaluation.label_sets`.

    controls: None: the rows of controls are not asked. processes: as for `per_scene.each`. device: of the
    networks. apart: whether these are asked in this process, and all other rows in the others."""
    there = per_scene.each(
        partial(_counting, params, artefacts, controls, networks=None if not apart else False),
        scenes,
        processes,
    )
    if not apart:
        yield from there
        return
    here = _counting(params, artefacts, controls, networks=True, device=device)
    for scene, others in zip(scenes, there, strict=True):
        both = zip(others, here(scene), strict=True)
        yield [Counts(other.points, {**other.of_row, **own.of_row}) for other, own in both]


def _counting(
    params: Params,
    artefacts: Artefacts,
    controls: Controls | None,
    networks: bool | None,
    device: torch.device = CPU,
) -> Callable[[str], list[Counts]]:
    """A function that counts one scene. networks: whether by the rows of networks, by all others, or (None)
    by all rows."""
    names = (params.dataset.label_set, *params.evaluation.label_sets)
    label_sets = [datasets.label_set(name) for name in names]
    ablation = Ablation(Inputs.of(params, artefacts, device), controls)
    rows = [row for row in ablation.rows if networks is None or (row.network is not None) == networks]

    def count(scene: str) -> list[Counts]:
        group = store.open_scene(store.scene_path(artefacts.data("labels"), scene))
        labels = [group["label"][:], *(group[other.array][:] for other in label_sets[1:])]
        features = ablation.features(scene)
        found = [Counts(int(np.count_nonzero(label >= 0)), {}) for label in labels]
        for row in rows:
            said = [(one, *one.others) for one in row.predict(features)]  # by variant, by label set
            for counts, label, label_set, of_set in zip(
                found, labels, label_sets, zip(*said, strict=True), strict=True
            ):
                counts.of_row[row.name] = [tally(label, one, label_set) for one in of_set]
        return found

    return count
