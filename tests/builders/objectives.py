"""Objectives that are not the project's own, as another package would bring them, with all that one may ask
of the loop."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from anyscene.errors import ConfigError
from anyscene.learning.entry import Entry
from anyscene.learning.objective import Context, Mean, Objective, ParameterGroup
from anyscene.learning.objectives.ensembling.objective import class_logits
from anyscene.learning.views.clouds import LabelledCloud
from anyscene.networks import Batch, Cloud, MinkUNet, View, normalise_by

FROZEN = ("conv0p1s1", "bn0", "conv1p1s2", "bn1", "final")  # the first layers, and one that it does not use


@dataclass(frozen=True)
class MaskedSettings:
    masked: float  # share of the voxels of a view that the student does not see
    momentum: float  # of the teacher
    sharpness: float  # of the loss at the end; it begins at 1

    def __post_init__(self) -> None:
        if not 0 < self.masked < 1:
            raise ConfigError(f"masked: {self.masked} is a share, between 0 and 1")


class MaskedViews(Objective):
    """Two views of a cloud: what the student makes of one, in which a learnt token hides some voxels, is to
    be what its own slow average, the teacher, makes of the other, point by point."""

    Settings = MaskedSettings

    def __init__(self, settings: MaskedSettings, context: Context):
        super().__init__(settings, context)
        self.token = nn.Parameter(torch.zeros(1, 3))
        self.projector = nn.Linear(context.network.hidden_channels, 6)
        self.teacher = copy.deepcopy(context.network).requires_grad_(False)
        normalise_by(self.teacher, "frozen")
        self.register_buffer("sharpness", torch.ones(()))
        self.heard: list[float] = []

    def views(self, cloud: Cloud, rng: np.random.Generator) -> Sequence[View]:
        return [*super().views(cloud, rng), *super().views(cloud, rng)]

    def forward(self, network: MinkUNet, batch: Batch) -> dict[str, Mean]:
        hidden = [
            torch.from_numpy(view.random.random(len(view.features)) < self.settings.masked)
            for view in batch.views
        ]
        features = torch.where(torch.cat(hidden)[:, None], self.token, batch.features)
        student = self.projector(network.hidden(batch.maps, features))
        with torch.no_grad():
            teacher = self.projector(self.teacher.hidden(batch.maps, batch.features))
        costs = []
        for first in range(0, len(batch.views), 2):
            for one, other in ((first, first + 1), (first + 1, first)):
                rows = [
                    batch.start[place] + torch.from_numpy(batch.views[place].voxels.voxel)
                    for place in (one, other)
                ]
                cosine = functional.cosine_similarity(student[rows[0]], teacher[rows[1]])
                costs.append((1 - cosine) ** self.sharpness)
        return {"views": Mean.of(torch.cat(costs)), "length": Mean.of(student.square().mean(1))}

    def groups(self, network: MinkUNet) -> Sequence[ParameterGroup]:
        """Some layers frozen, its own parameters at twice the rate."""
        frozen = {id(p) for name in FROZEN for p in getattr(network, name).parameters()}
        own = {id(p) for p in self.parameters()}
        groups = []
        for group in super().groups(network):
            rest = [p for p in group.parameters if id(p) not in frozen | own]
            mine = [p for p in group.parameters if id(p) in own]
            groups += [replace(group, parameters=rest), replace(group, parameters=mine, rate=2.0)]
        return groups

    def before_step(self, done: float) -> None:
        self.heard.append(done)
        self.sharpness.fill_(1 + done * (self.settings.sharpness - 1))

    @torch.no_grad()
    def after_step(self, network: MinkUNet) -> None:
        fast = network.state_dict()
        for name, slow in self.teacher.state_dict().items():
            if slow.is_floating_point():
                slow.lerp_(fast[name], 1 - self.settings.momentum)


@dataclass(frozen=True)
class ProbeSettings:
    temperature: float


class Probe(Objective):
    """A linear probe: the last layer learns from labels over a trunk that stays as it is."""

    Settings, supervised = ProbeSettings, True

    def forward(self, network: MinkUNet, batch: Batch) -> dict[str, Mean]:
        text = torch.from_numpy(self.context.prompts())
        label = []
        for view in batch.views:
            assert isinstance(view.cloud, LabelledCloud)
            label.append(torch.from_numpy(view.cloud.label[view.voxels.point].astype(np.int64)))
        with torch.no_grad():
            hidden = network.hidden(batch.maps, batch.features)
        logits = class_logits(hidden, network.final, text) / self.settings.temperature
        return {"class": Mean.of(functional.cross_entropy(logits, torch.cat(label), reduction="none"))}

    def groups(self, network: MinkUNet) -> Sequence[ParameterGroup]:
        return [ParameterGroup(list(network.final.parameters()))]


MASKED = Entry("masked views", MaskedSettings, f"{__name__}:MaskedViews")
PROBE = Entry("linear probe", ProbeSettings, f"{__name__}:Probe", supervised=True, texts=True)


def install(folder: Path) -> Path:
    """What pip would write of a package that brings the two; returns the folder, for sys.path."""
    distribution = folder / "other_objectives-1.0.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: other-objectives\nVersion: 1.0\n")
    (distribution / "entry_points.txt").write_text(
        f"[anyscene.objectives]\nmasked = {__name__}:MASKED\nprobe = {__name__}:PROBE\n"
    )
    return folder
