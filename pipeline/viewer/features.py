"""The features that a step gives the points of a scene, as stored, or held in a byte for each value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_matrix

from pipeline import store
from pipeline.artefact import Stored
from pipeline.evaluation.artefacts import Artefacts
from pipeline.network import load
from pipeline.training import read_cloud
from pipeline.training.data import batch

IN_MEMORY, ON_DISK = 1 << 11, 1 << 15  # rows widened to f4 at a time: what a cache holds; some chunks
LARGEST = 127  # of a signed byte


@dataclass(frozen=True, eq=False)
class Held:
    """In memory, a quarter of f4: each row divided by its largest value, in whole 127ths of that.

    A cosine of 384 channels is off by 0.0003 on average and 0.002 at most (200,000 points of the demo), where
    heat spans 0.15; what is on disk gives labels and a point's own scores exactly.

    values: i1[R, C]; length: f4[R], of the rows of `values`; scale: f4[R], the feature is `values` times it;
    row: i8[N], the row of each point, None: its own; valid: b1[N], whether a point has a feature.
    """

    values: torch.Tensor
    length: np.ndarray
    scale: np.ndarray
    row: np.ndarray | None
    valid: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(R, C)."""
        return tuple(self.values.shape)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """f4[n, C] of the rows i8[n]."""
        return self.values[torch.from_numpy(rows)].numpy() * self.scale[rows, None]

    def held(self) -> Held:
        """Itself."""
        return self

    def cosine(self, text: np.ndarray) -> np.ndarray:
        """f4[N, K] with texts [K, C] of length 1, NaN without a feature."""
        cosine = np.empty((len(self), len(text)), np.float32)
        for start, block in self.cosines(text):
            cosine[start : start + len(block)] = block
        return self.of_points(cosine)

    def of_points(self, values: np.ndarray) -> np.ndarray:
        """f4[N, K] of the rows' values f4[R, K], NaN without a feature. May change `values`."""
        values = values if self.row is None else values[self.row]
        values[~self.valid] = np.nan
        return values

    def means(self, text: np.ndarray, group: np.ndarray) -> np.ndarray:
        """f4[L, K]: the mean cosine with texts [K, C] of length 1 of each group's points that have a feature,
        NaN where none has. group: i4[N]. Takes no memory for N x K."""
        points = np.flatnonzero(self.valid)
        row = points if self.row is None else self.row[points]
        shape = (int(group.max(initial=-1)) + 1, len(self))
        member = coo_matrix((np.ones(len(points), np.float32), (group[points], row)), shape).tocsc()
        total = np.zeros((shape[0], len(text)))
        for start, block in self.cosines(text):
            total += member[:, start : start + len(block)] @ block
        count = np.bincount(group[points], minlength=shape[0])[:, None]
        return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0).astype(np.float32)

    def labels(self, text: np.ndarray) -> np.ndarray:
        """i2[N]: the closest of the texts [K, C], -1 without a feature."""
        best = _closest(self._blocks(), text)
        return np.where(self.valid, best if self.row is None else best[self.row], -1).astype(np.int16)

    def of_point(self, point: int) -> np.ndarray | None:
        """f4[C], or None where the point has no feature."""
        if not self.valid[point]:
            return None
        return self[np.array([point if self.row is None else self.row[point]])][0]

    def cosines(self, text: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """(first row, f4[n, K]) of blocks of rows with texts [K, C] of length 1."""
        columns, start = torch.from_numpy(text.T.copy()), 0
        for block in self._blocks():
            product = (block @ columns).numpy()
            product /= np.maximum(self.length[start : start + len(block)], 1e-12)[:, None]
            yield start, product
            start += len(block)

    def _blocks(self) -> Iterator[torch.Tensor]:
        for start in range(0, len(self), IN_MEMORY):
            yield self.values[start : start + IN_MEMORY].float()


@dataclass(frozen=True, eq=False)
class OnDisk:
    """Read as needed. values: f2[N, C]; valid: b1[N], whether a point has a feature."""

    values: Stored
    valid: np.ndarray

    def held(self) -> Held:
        """In memory."""
        return _held(self._blocks(), self.values.shape, None, self.valid)

    def labels(self, text: np.ndarray) -> np.ndarray:
        """i2[N]: the closest of the texts [K, C], -1 without a feature."""
        return np.where(self.valid, _closest(self._blocks(), text), -1).astype(np.int16)

    def of_point(self, point: int) -> np.ndarray | None:
        """f4[C], or None where the point has no feature."""
        return self.values[point : point + 1][0].astype(np.float32) if self.valid[point] else None

    def _blocks(self) -> Iterator[torch.Tensor]:
        for start in range(0, self.values.shape[0], ON_DISK):
            read = torch.from_numpy(self.values[start : start + ON_DISK])
            for block in read.split(IN_MEMORY):
                yield block.float()


def stored(artefacts: Artefacts, scene: str, stage: str) -> OnDisk:
    """Those of data/STAGE: `fusion`, or `projection/MODEL`. Raises StoreError where they are missing or, of
    points, were not kept."""
    path = store.scene_path(artefacts.data(stage), scene)
    group = store.open_scene(path)
    return OnDisk(group["feature"], group["valid"][:] if "valid" in group else group["count"][:] > 0)


@torch.inference_mode()
def predicted(artefacts: Artefacts, scene: str, name: str) -> Held:
    """Those of the network in models/NAME: a row for each of its voxels, far fewer than points."""
    network, meta = load(artefacts.model(name))
    network.eval()
    cloud = read_cloud(artefacts.data("scenes"), artefacts.data("superpoints"), scene)
    voxels = batch([cloud], meta["voxel"], meta["input"] == "colour")
    values = network(voxels.maps, voxels.features)
    return _held(values.split(IN_MEMORY), values.shape, voxels.voxels[0].voxel, np.ones(len(cloud.xyz), bool))


def _held(
    blocks: Iterable[torch.Tensor], shape: tuple[int, int], row: np.ndarray | None, valid: np.ndarray
) -> Held:
    """blocks: f4[n, C], R rows together."""
    values, start = torch.empty(tuple(shape), dtype=torch.int8), 0
    length, scale = np.zeros(shape[0], np.float32), np.zeros(shape[0], np.float32)
    for block in blocks:
        end = start + len(block)
        step = block.abs().amax(1, keepdim=True) / LARGEST
        whole = (block / step.clamp_min(torch.finfo(torch.float32).tiny)).round_()
        values[start:end] = whole
        length[start:end] = torch.linalg.vector_norm(whole, dim=1)
        scale[start:end] = step[:, 0]
        start = end
    return Held(values, length, scale, row, valid)


def _closest(blocks: Iterable[torch.Tensor], text: np.ndarray) -> np.ndarray:
    """i8[R]: the text [K, C] of the largest product with each row."""
    columns = torch.from_numpy(text.T.copy())
    return torch.cat([(block @ columns).argmax(1) for block in blocks]).numpy()
