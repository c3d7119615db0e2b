"""What the distillations of fused 2D features share: cosine losses, the start of the last layer, samples.

The losses compare targets with the feature phi = W h + b of every voxel. It is C wide, but linear in the few
hidden channels h that enter the network's last layer. So neither phi nor its gradient is ever formed: where
the target t is a unit vector,
    phi . t = h . (W t) + b . t        |phi|^2 = h . (W W^T) h + 2 h . (W b) + b . b
and the mean of phi over a superpoint is W applied to the mean of h, plus b. The tests compare with a plain
version that forms phi.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional

from anyscene.arrays import B1, F2, F8, I8, Floats
from anyscene.errors import DataError
from anyscene.learning.objective import Mean, Objective
from anyscene.learning.objectives import distillation
from anyscene.networks import Batch, Cloud, MinkUNet, View
from anyscene.networks.minkunet import Convolution
from anyscene.project import store

EPSILON = 1e-6


@dataclass(frozen=True, eq=False)
class TaughtView(View):
    """A view with what its sampled voxels learn from. Only this is kept of a scene's features while the view
    waits for its step."""

    row: I8 = field(kw_only=True)  # i8[n], the sampled voxels, rising
    owner: I8 = field(kw_only=True)  # i8[n], the target of each
    target: F2 = field(kw_only=True)  # f2[m, C], features of any length
    # f8[n]: random; where a process takes fewer voxels than its views have, those with the smallest keys
    key: F8 | None = field(kw_only=True, default=None)


class Distillation(Objective, ABC):
    """What the distillations share: they compare sampled voxels with fused features, and pass once through
    the network."""

    Settings = distillation.Settings

    def views(self, cloud: Cloud, rng: np.random.Generator) -> Sequence[View]:
        return [self.taught(view) for view in super().views(cloud, rng)]

    def forward(self, network: MinkUNet, batch: Batch) -> dict[str, Mean]:
        return self.terms(network.hidden(batch.maps, batch.features), network.final, batch)

    @abstractmethod
    def terms(self, hidden: torch.Tensor, final: Convolution, batch: Batch) -> dict[str, Mean]:
        """The terms of the loss. hidden: f4[V, H] of the batch's voxels; final: the layer that makes features
        of them."""

    @abstractmethod
    def taught(self, view: View) -> TaughtView:
        """Sample voxels of a view, and read what they learn from."""

    @abstractmethod
    def read(self, scene: str) -> tuple[F2, B1]:
        """The features of a scene (f2), and which of them are valid (b1). Raises StoreError where the
        artefact is missing or damaged."""

    def features(self, scene: str) -> tuple[F2, B1]:
        """What `read` returns, which may be kept in memory."""
        return self.context.recent.get((type(self), scene), lambda: self.read(scene))

    def targets(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(row i8[n], owner i8[n], target f4[m, C] of length 1) of the sampled voxels of a batch."""
        views = [view if isinstance(view, TaughtView) else self.taught(view) for view in batch.views]
        before = np.cumsum([0, *(self.owned(view) for view in views)])
        rows = [view.row + start for view, start in zip(views, batch.start, strict=False)]
        owners = [view.owner + start for view, start in zip(views, before, strict=False)]
        row, owner = np.concatenate(rows), np.concatenate(owners)
        keys = [view.key for view in views if view.key is not None]
        if keys:
            kept = smallest(np.concatenate(keys), self.settings.points_per_process)
            row, owner = row[kept], owner[kept]
        else:
            kept = np.arange(len(row))
        device = batch.features.device
        places, target = self.compared([view.target for view in views], torch.from_numpy(owner), kept)
        return torch.from_numpy(row).to(device), places.to(device), target.to(device)

    def owned(self, view: TaughtView) -> int:
        """How many owners the sampled voxels of a view have."""
        return len(view.target)

    def compared(
        self, features: Sequence[F2], owner: torch.Tensor, kept: I8
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(owner i8[n], target f4[m, C] of length 1) of the voxels of a batch that are kept, of which `owner`
        i8[n] says whose they are. features: the targets of its views. kept: i8[n], which of all sampled
        voxels they are."""
        return owner, torch.cat([unit(part) for part in features])

    def sampled(self, row: I8, rng: np.random.Generator | None) -> tuple[I8, F8 | None]:
        """(row i8[n]: the sampled ones of the voxels of a view, in their order; key f8[n]: a random number
        of each, where a process takes only so many of all its views, so that the smallest of them are each
        as likely). rng: `View.random`."""
        row, limit = sample(row, self.settings.points_per_scene, rng), self.settings.points_per_process
        if not limit:
            return row, None
        assert rng is not None  # only views for prediction have none
        key = rng.random(len(row))
        kept = smallest(key, limit)  # no other can be among the smallest of all views
        return row[kept], key[kept]


class OfSuperpoints(Distillation):
    """L_p + L_sp of SAS (Li et al. 2025): every sampled voxel, and the mean of every superpoint over its
    sampled voxels, against the fused feature of the superpoint. Superpoints without a fused feature do not
    count.

    That feature is a mean over points with `superpoint_mean: points`. With `voxels` it is the mean, of the
    step's own sample, of the fused features of the voxels' first points, as in SAS's code
    (run/distill_sp.py:332-361, dataset/feature_loader.py:134-154)."""

    def terms(self, hidden: torch.Tensor, final: Convolution, batch: Batch) -> dict[str, Mean]:
        row, owner, target = self.targets(batch)
        return superpoint_loss(hidden.index_select(0, row), final, target, owner)

    def taught(self, view: View) -> TaughtView:
        feature, valid = self.features(view.cloud.id)
        point, by_voxel = view.voxels.point, self.settings.superpoint_mean == "voxels"
        superpoint = view.cloud.superpoint[point]
        row = np.flatnonzero((superpoint >= 0) & valid[point if by_voxel else superpoint])
        row, key = self.sampled(row, view.random)
        seen, owner = np.unique(superpoint[row], return_inverse=True)
        target = feature[point[row] if by_voxel else seen]
        return TaughtView(**vars(view), row=row, owner=owner, target=target, key=key)

    def owned(self, view: TaughtView) -> int:
        return int(view.owner.max(initial=-1)) + 1

    def compared(
        self, features: Sequence[F2], owner: torch.Tensor, kept: I8
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.settings.superpoint_mean == "points":
            return super().compared(features, owner, kept)
        feature = torch.from_numpy(np.concatenate(features)[kept].astype(np.float32))
        _, place = torch.unique(owner, return_inverse=True)
        count = int(place.max()) + 1 if len(place) else 0
        total = feature.new_zeros(count, feature.shape[1]).index_add_(0, place, feature)
        return place, functional.normalize(total / torch.bincount(place, minlength=count).unsqueeze(1), dim=1)

    def read(self, scene: str) -> tuple[F2, B1]:
        """(feature f2[L, C], valid b1[L]) of the superpoints of a scene, or with `superpoint_mean: voxels`
        (feature f2[N, C], valid b1[N]) of its points."""
        path = store.scene_path(self.context.target, scene)
        if self.settings.superpoint_mean == "voxels":
            return store.fused_points(path)
        group = store.open_scene(path)
        return group["superpoint_feature"][:], group["superpoint_valid"][:]


@torch.no_grad()
def align(final: Convolution, targets: Iterable[torch.Tensor]) -> None:  # of [n, C]
    """Start the last layer where the targets lie, which come in parts f4[n, C]: its bias is their mean; the
    rows of its kernel are their principal axes, each as long as the targets spread along it.

    Embeddings of texts have most of their direction in common. From a random start the network learns that
    first; its features grow long meanwhile, which slows the learning of what tells classes apart. Sums in
    double precision are all that is kept of the targets. Raises DataError where there are none."""
    count, channels = 0, final.kernel.shape[1]
    total, product = (torch.zeros(size, channels, dtype=torch.float64) for size in (1, channels))
    for part in targets:
        wide = part.double()
        count += len(wide)
        total += wide.sum(0)
        product += wide.T @ wide
    if not count:
        raise DataError("no training scene has a fused feature; run projection and fusion again")
    mean = total / count
    variance, axes = torch.linalg.eigh(product / count - mean.T @ mean)  # rising, in columns
    rank = min(len(final.kernel), count, channels)
    kernel = (variance.clamp_min(0).sqrt() * axes).T.flip(0)
    final.kernel[:rank] = kernel[:rank]
    if final.bias is not None:
        final.bias.copy_(mean[0])


def superpoint_loss(
    hidden: torch.Tensor, final: Convolution, target: torch.Tensor, owner: torch.Tensor
) -> dict[str, Mean]:
    """Two terms: "point", the mean over voxels of 1 - cos(target, phi); and "superpoint", the mean over the
    superpoints that occur of 1 - cos(target, mean of phi). Both have weight 0 where there are no voxels.

    hidden: f4[V, H]; target: f4[L, C] of length 1; owner: i8[V], the superpoint of each voxel."""
    seen, place = torch.unique(owner, return_inverse=True)
    target = target.index_select(0, seen)
    projected, offset = _project(target, final)
    point = 1 - _cosine(hidden, final, projected.index_select(0, place), offset.index_select(0, place))
    total = hidden.new_zeros(len(seen), hidden.shape[1]).index_add_(0, place, hidden)
    mean = total / torch.bincount(place, minlength=len(seen)).unsqueeze(1)
    superpoint = 1 - _cosine(mean, final, projected, offset)
    return {"point": Mean.of(point), "superpoint": Mean.of(superpoint)}


def point_loss(hidden: torch.Tensor, final: Convolution, target: torch.Tensor) -> dict[str, Mean]:
    """One term, "point": the mean over voxels of 1 - cos(target, phi). It has weight 0 where there are no
    voxels. hidden: f4[V, H]; target: f4[V, C] of length 1."""
    return {"point": Mean.of(1 - _cosine(hidden, final, *_project(target, final)))}


def _project(target: torch.Tensor, final: Convolution) -> tuple[torch.Tensor, torch.Tensor]:
    """W t and b . t of every target: [n, C] -> [n, H], [n]"""
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


def unit(features: Floats) -> torch.Tensor:  # [n, C]
    """f4[n, C]: the features scaled to length 1; zeros stay zeros."""
    return functional.normalize(torch.from_numpy(features.astype(np.float32)), dim=1)


def sample(rows: I8, limit: int, rng: np.random.Generator | None) -> I8:
    """i8: at most `limit` of the `rows`, drawn at random, in their order. rng: `View.random`."""
    if len(rows) <= limit:
        return rows
    assert rng is not None  # only views for prediction have none
    return np.sort(rng.choice(rows, limit, replace=False))


def smallest(keys: F8, limit: int) -> I8:
    """i8: the places of the `limit` smallest of the keys f8[n], in their order; of all where these are fewer,
    or the limit is 0."""
    if not limit or len(keys) <= limit:
        return np.arange(len(keys))
    return np.sort(np.argpartition(keys, limit)[:limit])
