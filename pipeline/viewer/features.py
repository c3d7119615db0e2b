"""The features that a step gives the points of a scene, held in no more memory than as they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from pipeline import store
from pipeline.artefact import Stored
from pipeline.evaluation.artefacts import Artefacts
from pipeline.network import load
from pipeline.training import read_cloud
from pipeline.training.data import batch

IN_MEMORY, ON_DISK = 1 << 11, 1 << 16  # rows widened to f4 at a time: what a cache holds; some chunks


@dataclass(frozen=True, eq=False)
class Features:
    """values: f2|f4[R, C], in memory or read as needed; row: i8[N], the row of each point, None: its own;
    valid: b1[N], whether a point has a feature."""

    values: torch.Tensor | Stored
    row: np.ndarray | None
    valid: np.ndarray

    def products(self, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """f4[R, K] of the rows with texts [K, C], and f4[R], their lengths."""
        rows = self.values.shape[0]
        product, length = np.empty((rows, len(text)), np.float32), np.empty(rows, np.float32)
        columns, done = torch.from_numpy(text.T.copy()), 0
        for block in self._blocks():
            product[done : done + len(block)] = block @ columns
            length[done : done + len(block)] = torch.linalg.vector_norm(block, dim=1)
            done += len(block)
        return product, length

    def cosine(self, text: np.ndarray, length: np.ndarray | None = None) -> np.ndarray:
        """f4[N, K] with texts [K, C] of length 1, NaN without a feature. length: f4[R] where it is known."""
        if length is None:
            product, length = self.products(text)
        else:
            columns = torch.from_numpy(text.T.copy())
            product = torch.cat([block @ columns for block in self._blocks()]).numpy()
        product /= np.maximum(length, 1e-12)[:, None]
        return self._of_points(product)

    def in_memory(self) -> Features:
        """The same, read once, with room for little more than the values."""
        if isinstance(self.values, torch.Tensor):
            return self
        held = np.empty(self.values.shape, self.values.dtype)
        for start in range(0, len(held), ON_DISK):  # zarr takes twice as much to read all at once
            held[start : start + ON_DISK] = self.values[start : start + ON_DISK]
        return Features(torch.from_numpy(held), self.row, self.valid)

    def labels(self, text: np.ndarray) -> np.ndarray:
        """i2[N]: the closest of the texts [K, C], -1 without a feature."""
        columns = torch.from_numpy(text.T.copy())
        best = torch.cat([(block @ columns).argmax(1) for block in self._blocks()]).numpy()
        best = best if self.row is None else best[self.row]
        return np.where(self.valid, best, -1).astype(np.int16)

    def of_point(self, point: int) -> np.ndarray | None:
        """f4[C], or None where the point has no feature."""
        if not self.valid[point]:
            return None
        row = point if self.row is None else int(self.row[point])
        return np.asarray(self.values[row : row + 1], np.float32)[0]

    def _of_points(self, values: np.ndarray) -> np.ndarray:
        values = values if self.row is None else values[self.row]
        values[~self.valid] = np.nan
        return values

    def _blocks(self) -> Iterator[torch.Tensor]:
        step = IN_MEMORY if isinstance(self.values, torch.Tensor) else ON_DISK
        for start in range(0, self.values.shape[0], step):
            yield torch.as_tensor(self.values[start : start + step]).float()


def stored(artefacts: Artefacts, scene: str, stage: str) -> Features:
    """Those of data/STAGE, read as needed: `fusion`, or `projection/MODEL`. Raises StoreError where they are
    missing or, of points, were not kept."""
    path = store.scene_path(artefacts.data(stage), scene)
    group = store.open_scene(path)
    valid = group["valid"][:] if "valid" in group else group["count"][:] > 0
    return Features(group["feature"], None, valid)


@torch.inference_mode()
def predicted(artefacts: Artefacts, scene: str, name: str) -> Features:
    """Those of the network in models/NAME: a row for each of its voxels, far fewer than points."""
    network, meta = load(artefacts.model(name))
    network.eval()
    cloud = read_cloud(artefacts.data("scenes"), artefacts.data("superpoints"), scene)
    voxels = batch([cloud], meta["voxel"], meta["input"] == "colour")
    values = network(voxels.maps, voxels.features)
    return Features(values, voxels.voxels[0].voxel, np.ones(len(cloud.xyz), bool))
