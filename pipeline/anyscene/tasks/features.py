"""The features that a source gives the points of a scene: a 2D model's, the fused ones, or a network's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from anyscene.networks.batch import as_it_is, join
from anyscene.networks.cloud import Cloud
from anyscene.networks.trained import Description, TrainedNetwork
from anyscene.project import store
from anyscene.project.artefact import Stored
from anyscene.project.layout import Artefacts
from anyscene.tasks.point_masks import PointMasks

WIDENED, READ = 1 << 11, 1 << 15  # rows as f4 at a time: what a cache holds; rows read at once: some chunks


@dataclass(frozen=True, eq=False)
class Features:
    """Features of N points, read or formed a block at a time."""

    name: str  # of the source: "fusion", "projection/MODEL", or a network's
    title: str  # of the source, for people
    values: Stored | np.ndarray  # f2 or f4 [R, C], on disk or in memory
    row: np.ndarray | None  # i8[N], the row of `values` of each point; None: its own
    valid: np.ndarray  # b1[N], whether a point has a feature

    def __len__(self) -> int:
        return len(self.valid)

    def blocks(self, points: np.ndarray | None = None) -> Iterator[torch.Tensor]:
        """f4[n, C] of `points` i8[M] in rising order (default: all), few at a time."""
        points = np.arange(len(self)) if points is None else points
        for start in range(0, len(self), READ):
            some = points[slice(*np.searchsorted(points, (start, start + READ)))]
            if len(some) == 0:
                continue
            if self.row is None:
                read = self.values[start : start + READ][some - start]
            else:
                read = self.values[self.row[some]]
            for block in torch.from_numpy(read).split(WIDENED):
                yield block.float()

    def dense(self) -> np.ndarray:
        """f4[N, C]: all at once."""
        rows = self.values[:] if self.row is None else self.values[self.row]
        return rows.astype(np.float32)

    def closest(self, text: np.ndarray, points: np.ndarray | None = None) -> np.ndarray:
        """i8[M]: the closest of the texts [K, C] to each of `points` i8[M] in rising order (default: all), -1
        without a feature."""
        columns, best = torch.from_numpy(text.T.copy()), [torch.empty(0, dtype=torch.int64)]
        best += [(block @ columns).argmax(1) for block in self.blocks(points)]
        valid = self.valid if points is None else self.valid[points]
        return np.where(valid, torch.cat(best).numpy(), -1)

    def means(self, masks: PointMasks) -> tuple[np.ndarray, np.ndarray]:
        """(f4[P, C], i8[P]): the mean feature inside each of the P masks, 0 where it has none, and how many
        points it is of."""
        count = np.array([np.count_nonzero(inside & self.valid) for inside in masks], np.int64)
        total, start = 0.0, 0
        for block in self.blocks():
            end = start + len(block)
            inside = torch.from_numpy(masks.between(start, end) & self.valid[start:end])
            total, start = total + (inside.float() @ block).double().numpy(), end
        return (total / np.maximum(count, 1)[:, None]).astype(np.float32), count

    def of_point(self, point: int) -> np.ndarray | None:
        """f4[C], or None where the point has no feature."""
        if not self.valid[point]:
            return None
        row = point if self.row is None else self.row[point]
        return self.values[row : row + 1][0].astype(np.float32)


def stored(artefacts: Artefacts, scene: str, stage: str, title: str) -> Features:
    """Those of data/STAGE: `fusion`, or `projection/MODEL`. Where fusion kept those of superpoints alone,
    points have their superpoint's. Raises StoreError where they are missing."""
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
    """Those of a network: a row for each voxel, far fewer than points."""
    view = as_it_is(cloud, trained.voxel, trained.inputs)
    seen = join([view], trained.network.final.kernel.device)
    values = trained.network(seen.maps, seen.features).cpu().numpy()
    about = trained.description
    return Features(about.name, spoken(about), values, view.voxels.voxel, np.ones(len(cloud.xyz), bool))


def spoken(network: Description) -> str:
    """The title of a network where it stands alone: not, as in a table, under what it adds to."""
    return network.title.removeprefix("+ ")
