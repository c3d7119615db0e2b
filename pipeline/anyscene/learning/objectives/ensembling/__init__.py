"""Temporal ensembling: the network learns from a slow average of its own answers (SAS)."""

from __future__ import annotations

from dataclasses import dataclass

from anyscene.learning.entry import Entry
from anyscene.learning.objectives.distillation import Settings as Distillation
from anyscene.project.parameters import PaperOrCode, within


@dataclass(frozen=True, kw_only=True)
class Settings(Distillation):
    """The keys of an entry of `training` with this kind."""

    # points_per_scene and superpoint_mean belong to the distillation that goes on beside it
    start: PaperOrCode  # the history begins with the network's answers, or superpoint means
    # paper: with the distillation loss. code: alone, on sampled voxels, with labels of their superpoints
    loss: PaperOrCode
    momentum: float  # the share of the history that stays at each visit
    temperature: float  # the number by which the logits in the loss are divided
    balance: float  # a class weighs its share of the first labels to the power of -balance; 0: all weigh 1

    def __post_init__(self) -> None:
        super().__post_init__()
        within("", self, 0, 1, "momentum")
        within("", self, 1e-6, 1e6, "temperature")  # logits are divided by it, in single precision
        within("", self, 0, 10, "balance")


class WithHistory(Entry):
    """What keeps a history of answers."""

    def memory(self, classes: int) -> int:
        """An f4 for each class, and as much for the last checkpoint, whose histories no step changes."""
        return 2 * 4 * classes


ENTRY = WithHistory(
    "temporal ensembling",
    Settings,
    "anyscene.learning.objectives.ensembling.objective:Ensembling",
    texts=True,
)
