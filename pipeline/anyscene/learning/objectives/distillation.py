"""The settings that all distillations of fused features share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from anyscene.project.parameters import MOST, within


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The keys of an entry of `training` whose kind is a distillation."""

    points_per_scene: int  # at most so many voxels of a scene enter the loss
    # and at most so many of all scenes that a process has in a batch, each as likely; 0: no such limit
    points_per_process: int = 0
    # over what the fused feature of a superpoint is a mean: all of its points that have one (the paper), or
    # those of its voxels that are sampled in a step (SAS's code, run/distill_sp.py:336 and 355). `pixel` has
    # no superpoints, and the key so that it can take the place of `superpoint` in an experiment
    superpoint_mean: Literal["points", "voxels"] = "points"

    def __post_init__(self) -> None:
        within("", self, 1, MOST, "points_per_scene")
        within("", self, 1, MOST, "points_per_process", off=True)


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """The key of a distillation that may begin with random weights."""

    align: bool = True  # the last layer then starts at the targets (ours); SAS's code leaves it random
