"""The features that a step gives the points of a scene: as it left them, or held in a byte for each value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from anyscene.learning import read_cloud
from anyscene.learning.views.data import batch
from anyscene.networks import load
from anyscene.project import store
from anyscene.project.artefact import Stored
from anyscene.project.layout import Artefacts

WIDENED, READ = 1 << 11, 1 << 15  # rows as f4 at a time: what a cache holds; rows read at once: some chunks
LARGEST = 127  # of a signed byte


@dataclass(frozen=True, eq=False)
class Features:
    """Of N points. values: f2[R, C], on disk or in memory; row: i8[N], the row of each point, None: its own;
    valid: b1[N], whether a point has a feature."""

    values: Stored | np.ndarray
    row: np.ndarray | None
    valid: np.ndarray

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

    def labels(self, text: np.ndarray, points: np.ndarray) -> np.ndarray:
        """i2[M]: the closest of the texts [K, C] to each of `points` i8[M] in rising order, -1 without a
        feature."""
        columns, best = torch.from_numpy(text.T.copy()), [torch.empty(0, dtype=torch.int64)]
        best += [(block @ columns).argmax(1) for block in self.blocks(points)]
        return np.where(self.valid[points], torch.cat(best).numpy(), -1).astype(np.int16)

    def of_point(self, point: int) -> np.ndarray | None:
        """f4[C], or None where the point has no feature."""
        if not self.valid[point]:
            return None
        row = point if self.row is None else self.row[point]
        return self.values[row : row + 1][0].astype(np.float32)


@dataclass(frozen=True, eq=False)
class QuantisedFeatures:
    """Features of length 1, a quarter of f4: each divided by its largest value, in whole 127ths of that.

    A cosine of 384 channels is off by 0.0003 on average and 0.002 at most (200,000 points of the demo), where
    heat spans 0.15. values: i1[M, C]; length: f4[M], of the rows of `values`, 0 for a feature of zeros.
    """

    values: torch.Tensor
    length: np.ndarray

    @classmethod
    def empty(cls, count: int, width: int) -> QuantisedFeatures:
        """Zeros, to be filled with `put`."""
        return cls(torch.zeros((count, width), dtype=torch.int8), np.zeros(count, np.float32))

    @property
    def shape(self) -> tuple[int, int]:
        """(M, C)."""
        return tuple(self.values.shape)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """f4[n, C] of the rows i8[n]."""
        return self.values[torch.from_numpy(rows)].numpy() / np.maximum(self.length[rows, None], 1)

    def put(self, start: int, block: torch.Tensor) -> None:
        """Hold f4[n, C] in the rows from `start` on."""
        step = block.abs().amax(1, keepdim=True) / LARGEST
        whole = (block / step.clamp_min(torch.finfo(torch.float32).tiny)).round_()
        self.values[start : start + len(block)] = whole
        self.length[start : start + len(block)] = torch.linalg.vector_norm(whole, dim=1)

    def cosines(self, text: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """(first row, f4[n, K]) of blocks of rows with texts [K, C] of length 1."""
        columns = torch.from_numpy(text.T.copy())
        for start in range(0, len(self), WIDENED):
            end = min(start + WIDENED, len(self))
            product = (self.values[start:end].float() @ columns).numpy()
            yield start, product / np.maximum(self.length[start:end], 1)[:, None]


def stored(artefacts: Artefacts, scene: str, stage: str) -> Features:
    """Those of data/STAGE: `fusion`, or `projection/MODEL`. Raises StoreError where they are missing or, of
    points, were not kept."""
    group = store.open_scene(store.scene_path(artefacts.data(stage), scene))
    valid = group["valid"][:] if "valid" in group else group["count"][:] > 0
    return Features(group["feature"], None, valid)


@torch.inference_mode()
def predicted(artefacts: Artefacts, scene: str, name: str) -> Features:
    """Those of the network in models/NAME, of length 1: a row for each voxel, far fewer than points."""
    network, meta = load(artefacts.model(name))
    network.eval()
    cloud = read_cloud(artefacts.data("scenes"), artefacts.data("superpoints"), scene)
    voxels = batch([cloud], meta["voxel"], meta["input"] == "colour")
    values = torch.nn.functional.normalize(network(voxels.maps, voxels.features)).half().numpy()
    return Features(values, voxels.voxels[0].voxel, np.ones(len(cloud.xyz), bool))
