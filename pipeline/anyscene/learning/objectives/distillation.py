"""Distillation of the fused 2D features into the network: cosine losses per point and per superpoint.

The feature phi = W h + b that the losses speak of is C wide for every voxel, but linear in the few hidden
channels h of the network's last layer. So neither phi nor its gradient is ever formed: with the target t
a unit vector,
    phi . t = h . (W t) + b . t        |phi|^2 = h . (W W^T) h + 2 h . (W b) + b . b
and the mean of phi over a superpoint is W applied to the mean of h. Written out plainly in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anyscene.errors import DataError, TrainingError
from anyscene.learning.objective import Mean, Objective
from anyscene.learning.views.data import Batch
from anyscene.networks.minkunet import Convolution
from anyscene.project import store

EPSILON = 1e-6
POINTS_ALIGNED = 500  # per scene, that the last layer is aligned with


class _Distillation(Objective):
    """fusion: folder of the artefacts; points_per_scene: at most so many voxels of a scene enter the loss."""

    def __init__(self, fusion: Path, points_per_scene: int):
        if points_per_scene < 1:
            raise TrainingError(
                f"distillation.points_per_scene: {points_per_scene}; the loss takes at least 1"
            )
        self.fusion, self.points_per_scene = Path(fusion), points_per_scene
        self._targets: dict[str, tuple] = {}

    @property
    def identity(self) -> Mapping[str, Any]:
        """With the content keys of the fused features."""
        return {
            "objective": type(self).__name__,
            "points_per_scene": self.points_per_scene,
            "fusion": store.keys(self.fusion),
        }

    def _target(self, scene: str) -> tuple:
        """(feature [n, C], valid b1[n]). Raises StoreError where the artefact is damaged."""
        if scene not in self._targets:
            self._targets[scene] = self._read(store.scene_path(self.fusion, scene))
        return self._targets[scene]


class SuperpointDistillation(_Distillation):
    """L = L_p + L_sp: every sampled voxel, and every superpoint's mean over its sampled voxels, against
    the fused feature of the superpoint (Li et al., SAS; superpoints without a fused feature do not
    count)."""

    def __call__(self, hidden: torch.Tensor, final: Convolution, batch: Batch) -> dict[str, Mean]:
        """hidden: [V,H], of the batch's voxels -> the terms whose sum is the loss."""
        targets, rows, owners, before = [], [], [], 0
        for i, (cloud, voxels) in enumerate(zip(batch.clouds, batch.voxels, strict=True)):
            target, valid = self._target(cloud.id)
            superpoint = cloud.superpoint[voxels.point]
            row = np.flatnonzero((superpoint >= 0) & valid[superpoint])
            row = sample(row, self.points_per_scene, batch.random[i])
            rows.append(row + batch.start[i])
            owners.append(superpoint[row].astype(np.int64) + before)
            targets.append(target)
            before += len(target)
        rows, owners = (torch.from_numpy(np.concatenate(part)).to(hidden.device) for part in (rows, owners))
        return superpoint_loss(
            hidden.index_select(0, rows), final, torch.cat(targets).to(hidden.device), owners
        )

    def align(self, final: Convolution, scenes: Sequence[str]) -> None:
        """Align the last layer with the targets of `scenes`."""
        align(final, torch.cat([target[valid] for target, valid in map(self._target, scenes)]))

    def _read(self, path: Path) -> tuple[torch.Tensor, np.ndarray]:
        group = store.open_scene(path)
        return unit(group["superpoint_feature"][:]), group["superpoint_valid"][:]


class PixelDistillation(_Distillation):
    """The baseline: L_p against the fused feature of the point itself (its voxel's first point)."""

    def __call__(self, hidden: torch.Tensor, final: Convolution, batch: Batch) -> dict[str, Mean]:
        """hidden: [V,H], of the batch's voxels -> the terms whose sum is the loss."""
        rows, targets = [], []
        for i, (cloud, voxels) in enumerate(zip(batch.clouds, batch.voxels, strict=True)):
            feature, valid = self._target(cloud.id)
            row = sample(np.flatnonzero(valid[voxels.point]), self.points_per_scene, batch.random[i])
            rows.append(row + batch.start[i])
            targets.append(unit(feature[voxels.point[row]]))
        rows = torch.from_numpy(np.concatenate(rows)).to(hidden.device)
        return point_loss(hidden.index_select(0, rows), final, torch.cat(targets).to(hidden.device))

    def align(self, final: Convolution, scenes: Sequence[str]) -> None:
        """Align the last layer with the targets of some points of `scenes`."""
        sampled = []
        for scene in scenes:
            feature, valid = self._target(scene)
            seen = np.flatnonzero(valid)
            sampled.append(unit(feature[seen[:: max(1, len(seen) // POINTS_ALIGNED)]]))
        align(final, torch.cat(sampled))

    def _read(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        return store.fused_points(path)


@torch.no_grad()
def align(final: Convolution, target: torch.Tensor) -> None:  # [n, C]
    """Start the last layer where the targets lie: its bias at their mean, the rows of its kernel along their
    principal axes, as long as they spread along them.

    Embeddings of texts have most of their direction in common. From a random start the network first learns
    that, and the length that its features gain meanwhile slows the learning of what tells classes apart.
    Raises DataError where there are no targets."""
    if not len(target):
        raise DataError("no training scene has a fused feature; run projection and fusion again")
    target = target.to(final.kernel.device)
    mean = target.mean(0)
    _, spread, axes = torch.linalg.svd(target - mean, full_matrices=False)
    rank = min(len(final.kernel), len(axes))
    final.kernel[:rank] = spread[:rank, None] / len(target) ** 0.5 * axes[:rank]
    if final.bias is not None:
        final.bias.copy_(mean)


OBJECTIVES: Mapping[str, type] = {"superpoint": SuperpointDistillation, "pixel": PixelDistillation}


def superpoint_loss(
    hidden: torch.Tensor, final: Convolution, target: torch.Tensor, owner: torch.Tensor
) -> dict[str, Mean]:
    """hidden: [V,H]; target: unit f4[L,C]; owner: i8[V], the superpoint of each voxel.

    {"point": mean over voxels of 1 - cos(target, phi), "superpoint": mean over the superpoints that occur of
    1 - cos(target, mean of phi)}; both of nothing where there are no voxels."""
    seen, place = torch.unique(owner, return_inverse=True)
    target = target.index_select(0, seen)
    projected, offset = _project(target, final)
    point = 1 - _cosine(hidden, final, projected.index_select(0, place), offset.index_select(0, place))
    total = hidden.new_zeros(len(seen), hidden.shape[1]).index_add_(0, place, hidden)
    mean = total / torch.bincount(place, minlength=len(seen)).unsqueeze(1)
    superpoint = 1 - _cosine(mean, final, projected, offset)
    return {"point": Mean.of(point), "superpoint": Mean.of(superpoint)}


def point_loss(hidden: torch.Tensor, final: Convolution, target: torch.Tensor) -> dict[str, Mean]:
    """hidden: [V,H]; target: unit f4[V,C]. {"point": mean of 1 - cos(target, phi)}, of nothing where there
    are no voxels."""
    return {"point": Mean.of(1 - _cosine(hidden, final, *_project(target, final)))}


def _project(target: torch.Tensor, final: Convolution) -> tuple[torch.Tensor, torch.Tensor]:
    """W t and b . t of every target: [n,C] -> [n,H], [n]"""
    offset = target.new_zeros(len(target)) if final.bias is None else target @ final.bias[0]
    return target @ final.kernel.T, offset


def _cosine(
    hidden: torch.Tensor, final: Convolution, projected: torch.Tensor, offset: torch.Tensor
) -> torch.Tensor:  # [n,H], [n,H], [n] -> [n]
    """cos(t, phi) without forming phi."""
    square = (hidden @ (final.kernel @ final.kernel.T) * hidden).sum(1)
    if final.bias is not None:
        square = square + 2 * (hidden @ (final.kernel @ final.bias[0])) + final.bias.square().sum()
    return ((hidden * projected).sum(1) + offset) / square.clamp_min(EPSILON**2).sqrt()


def unit(features: np.ndarray) -> torch.Tensor:  # [n, C]
    """f4[n,C], rows of length 1 (zero rows stay zero)."""
    return torch.nn.functional.normalize(torch.from_numpy(features.astype(np.float32)), dim=1)


def sample(rows: np.ndarray, limit: int, rng: np.random.Generator) -> np.ndarray:
    """i8: at most `limit` of `rows`, in their order."""
    return rows if len(rows) <= limit else np.sort(rng.choice(rows, limit, replace=False))
