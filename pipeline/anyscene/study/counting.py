"""What every row predicts on annotated scenes, counted scene by scene in several processes.

On a machine with a GPU the networks are asked in this process, which has the GPU, while others compute the
rest. The counts do not depend on who computes what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
    """What is counted in one scene."""

    points: int  # with a label
    of_row: Mapping[str, list[Tally]]  # of each row that was asked: one of each of its variants


def counted(
    params: Params,
    artefacts: Artefacts,
    controls: Controls,
    scenes: Sequence[str],
    device: torch.device = CPU,
    apart: bool = False,
) -> Iterator[Counts]:
    """Yield the counts of every scene, in order, with `runtime.workers` processes. device: of the networks.
    apart: whether these are asked in this process, and all other rows in the others."""
    there = per_scene.each(
        partial(_counting, params, artefacts, controls, networks=None if not apart else False),
        scenes,
        params.runtime.workers,
    )
    if not apart:
        yield from there
        return
    here = _counting(params, artefacts, controls, networks=True, device=device)
    for scene, others in zip(scenes, there, strict=True):
        yield Counts(others.points, {**others.of_row, **here(scene).of_row})


def _counting(
    params: Params,
    artefacts: Artefacts,
    controls: Controls,
    networks: bool | None,
    device: torch.device = CPU,
) -> Callable[[str], Counts]:
    """A function that counts one scene. networks: whether by the rows of networks, by all others, or (None)
    by all rows."""
    label_set = datasets.label_set(params.dataset.label_set)
    ablation = Ablation(Inputs.of(params, artefacts, device), controls)
    rows = [row for row in ablation.rows if networks is None or (row.role == "network") == networks]

    def count(scene: str) -> Counts:
        label = store.open_scene(store.scene_path(artefacts.data("labels"), scene))["label"][:]
        features = ablation.features(scene)
        said = {row.name: [tally(label, one, label_set) for one in row.predict(features)] for row in rows}
        return Counts(int(np.count_nonzero(label >= 0)), said)

    return count
