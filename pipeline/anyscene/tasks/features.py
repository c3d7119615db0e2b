"""The features that a source has for the points of a scene: those of a 2D model, of fusion or of a
network."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from anyscene.arrays import B1, F4, F8, I8, Floats
from anyscene.lifting.places import distinct
from anyscene.networks.batch import as_it_is
from anyscene.networks.cloud import Cloud
from anyscene.networks.trained import Description, TrainedNetwork, passes
from anyscene.project import store
from anyscene.project.artefact import Stored
from anyscene.project.device import enough_memory
from anyscene.project.layout import Artefacts
from anyscene.tasks.point_masks import PointMasks

WIDENED = 1 << 11  # rows that are widened to f4 at a time, so that a cache holds them
READ = 1 << 15  # rows that are read at a time, some chunks of a store
FORMED = 1 << 17  # rows of a network that are formed at a time
IN_MEMORY = 1 << 30  # bytes of features that are held in memory; more of them lie in a file


@dataclass(frozen=True, eq=False)
class Features:
    """Features of N points. They are read or formed a block at a time."""

    name: str  # of the source: "fusion", "projection/MODEL", or a network's
    title: str  # of the source, for people
    values: Stored | Floats  # f2 or f4 [R, C], on disk or in memory
    row: I8 | None  # i8[N], the row of `values` of each point; None: point i has row i
    valid: B1  # b1[N], whether a point has a feature

    def __len__(self) -> int:
        return len(self.valid)

    def blocks(self, points: I8 | None = None) -> Iterator[torch.Tensor]:
        """Yield f4[n, C], the features of a few of the points at a time. points: i8[M] in rising order; None:
        all."""
        points = np.arange(len(self)) if points is None else points
        for start in range(0, len(self), READ):
            some = points[slice(*np.searchsorted(points, (start, start + READ)))]
            if len(some) == 0:
                continue
            if self.row is None:
                read = self.values[start : start + READ][some - start]
            else:
                read = self.values[self.row[some]]
            for block in torch.split(torch.from_numpy(read), WIDENED):
                yield block.float()

    def dense(self) -> F4:
        """f4[N, C]: the features of all points."""
        rows = self.values[:] if self.row is None else self.values[self.row]
        return rows.astype(np.float32)

    def closest(self, text: F4, points: I8 | None = None) -> I8:
        """i8[M]: the text that is closest to each point, -1 where a point has no feature. text: f4[K, C];
        points: i8[M] in rising order; None: all."""
        columns, best = torch.from_numpy(text.T.copy()), [torch.empty(0, dtype=torch.int64)]
        best += [(block @ columns).argmax(1) for block in self.blocks(points)]
        valid = self.valid if points is None else self.valid[points]
        return np.where(valid, torch.cat(best).numpy(), -1)

    def means(self, masks: PointMasks) -> tuple[F4, I8]:
        """(mean f4[P, C], count i8[P]): the mean of the features inside each of the P masks, zeros where it
        has none, and how many points have one."""
        each = (masks[index] for index in range(len(masks)))
        count = np.array([np.count_nonzero(inside & self.valid) for inside in each], np.int64)
        total: F8 | float = 0.0
        start = 0
        for block in self.blocks():
            end = start + len(block)
            inside = torch.from_numpy(masks.between(start, end) & self.valid[start:end])
            total, start = total + (inside.float() @ block).double().numpy(), end
        return (total / np.maximum(count, 1)[:, None]).astype(np.float32), count

    def of_point(self, point: int) -> F4 | None:
        """f4[C]: the feature of a point; None where it has none."""
        if not self.valid[point]:
            return None
        row = point if self.row is None else self.row[point]
        feature: F4 = self.values[row : row + 1][0].astype(np.float32)
        return feature


def stored(artefacts: Artefacts, scene: str, stage: str, title: str) -> Features:
    """The features that the stage `fusion` or `projection/MODEL` wrote. Where fusion kept only those of
    superpoints, each point has that of its superpoint. Raises StoreError where they are missing or
    damaged."""
    group = store.open_scene(store.scene_path(artefacts.data(stage), scene))
    if "feature" in group:
        valid = group["valid"][:] if "valid" in group else group["count"][:] > 0
        return Features(stage, title, group["feature"], None, valid)
    path = store.scene_path(artefacts.data("superpoints"), scene)
    superpoint = store.open_scene(path)["superpoint"][:]
    valid = group["superpoint_valid"][:][superpoint]
    return Features(stage, title, group["superpoint_feature"][:], superpoint, valid)


@torch.inference_mode()
def predicted(trained: TrainedNetwork, cloud: Cloud) -> Features:
    """The features that a network predicts, a row for each voxel, of which there are far fewer than points.
    It sees every place once, however many vertices are there."""
    first, place = distinct(cloud.xyz)
    superpoint = cloud.superpoint[first] if len(cloud.superpoint) else cloud.superpoint
    seen_once = replace(cloud, xyz=cloud.xyz[first], rgb=cloud.rgb[first], superpoint=superpoint)
    view = as_it_is(seen_once, trained.voxel, trained.inputs)
    values = _room(len(view.features), trained.network.final.kernel.shape[1])
    trained.network.eval()
    with enough_memory(f"{cloud.id}: {len(cloud.xyz):,} points"):
        for own, rows in passes(trained.network, view):
            for start in range(0, len(own), FORMED):
                some = slice(start, start + FORMED)
                values[own[some]] = trained.network.final(rows[some]).cpu().numpy()
    about = trained.description
    row = view.voxels.voxel[place]
    return Features(about.name, spoken(about), values, row, np.ones(len(cloud.xyz), bool))


def _room(rows: int, width: int) -> F4:
    """f4[rows, width], to be filled: in memory, or where it is larger than IN_MEMORY in a temporary file
    without a name, which vanishes with the array."""
    if 4 * rows * width <= IN_MEMORY:
        return np.empty((rows, width), np.float32)
    with tempfile.TemporaryFile(prefix="anyscene-") as file:
        return np.memmap(file, np.float32, "w+", shape=(rows, width))


def spoken(network: Description) -> str:
    """The title of a network where it stands alone. In a table a title may begin with "+ ", as a step more on
    the row before."""
    return network.title.removeprefix("+ ")
