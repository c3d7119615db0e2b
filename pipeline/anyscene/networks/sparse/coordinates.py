"""Which voxel feeds which: the integer side of a sparse network, built once for each set of coordinates.

Voxels are kept in Morton order (bits of x, y, z interleaved, x lowest). The key of a voxel of the next
coarser level is that of its children without the last three bits. So every level is sorted without further
work, siblings stand next to each other, and the last three bits are the child's place in the 2x2x2 kernel.
The order of the offsets in a kernel is MinkowskiEngine's: x varies fastest, then y, then z; odd sizes are
centred, size 2 covers 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numba
import numpy as np
import torch

from anyscene.arrays import I4, I8, Array
from anyscene.errors import CoordinatesError

AXIS_BITS = 17  # coordinates lie in [-2^16, 2^16): 1.3 km at 2 cm
BIAS = 1 << (AXIS_BITS - 1)
BATCH_BITS = 63 - 3 * AXIS_BITS
EMPTY = -1


Pairs = Sequence[tuple[torch.Tensor, torch.Tensor]]  # per offset of a kernel: (source i4[n], target i4[n])


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """A centred kernel of stride 1 on one level.

    `table` is its own mirror image: if j is at offset k of i, then i is at offset K-1-k of j.
    """

    table: torch.Tensor  # i4[U, K], the voxel at each offset of each voxel, U where there is none
    _blocks: dict[int, list[Pairs]] = field(default_factory=dict)

    def blocks(self, rows: int) -> list[Pairs]:
        """Which voxels meet at each offset, in blocks of `rows` targets. Within an offset each target comes
        at most once, and targets ascend."""
        if rows not in self._blocks:
            source, target, sizes = _pairs(self.table.cpu().numpy(), rows)
            device, volume = self.table.device, self.table.shape[1]
            sources, targets = (
                torch.split(torch.from_numpy(array).to(device), sizes.tolist()) for array in (source, target)
            )
            both = list(zip(sources, targets, strict=True))
            self._blocks[rows] = [both[i : i + volume] for i in range(0, len(both), volume)]
        return self._blocks[rows]


class CoordinateMaps:
    """The voxels of a batch at five levels (strides 1, 2, 4, 8, 16) and the kernel maps between them.

    coordinates: i4[V, 4], batch index first; several rows may share a voxel. A map is built when it is first
    asked for, and kept, so one object should serve all layers of a network and all steps that see the same
    voxels.
    """

    LEVELS = 5

    def __init__(self, coordinates: torch.Tensor | Array, device: torch.device | str | None = None):  # [V, 4]
        """device: of all tensors that this object returns; None: that of `coordinates`.
        Raises CoordinatesError for coordinates that are not integers [V, 4] in range."""
        coordinates = torch.as_tensor(coordinates)
        self.device = coordinates.device if device is None else torch.device(device)
        array = coordinates.cpu().numpy()
        if array.ndim != 2 or array.shape[1] != 4 or array.dtype.kind not in "iu":
            raise CoordinatesError(
                f"coordinates must be integers [V,4] (batch, x, y, z), not {array.dtype} {list(array.shape)}"
            )
        if len(array) and (
            np.abs(array[:, 1:]).max() >= BIAS - 16
            or array[:, 0].min() < 0
            or array[:, 0].max() >= 1 << BATCH_BITS
        ):
            raise CoordinatesError(
                f"voxel coordinates must lie within {BIAS - 16} of the origin and the batch index "
                f"in 0..{(1 << BATCH_BITS) - 1}; use larger voxels or shift the scene"
            )
        keys, row = np.unique(_encode(array.astype(np.int64)), return_inverse=True)
        self.row = self._tensor(row.reshape(-1).astype(np.int64))  # [V] voxel of each given row
        self._keys = [keys]
        self._neighbourhoods: dict[tuple[int, int], Neighbourhood] = {}
        self._families: dict[int, Pairs] = {}

    @property
    def voxels(self) -> torch.Tensor:
        """i4[U, 4]: the distinct coordinates, in the order in which the network has its rows."""
        return self._tensor(_decode(self._keys[0]))

    def keys(self, level: int) -> I8:
        """i8[U_level]: the Morton keys of a level, sorted."""
        while len(self._keys) <= level:
            parent = self._keys[-1] >> 3
            self._keys.append(parent[np.flatnonzero(np.diff(parent, prepend=-1))])
        return self._keys[level]

    def size(self, level: int) -> int:
        """Number of voxels of a level."""
        return len(self.keys(level))

    def neighbours(self, level: int, size: int) -> Neighbourhood:
        """The voxels around each voxel of a level, for a kernel of `size` (odd) with stride 1."""
        if (level, size) not in self._neighbourhoods:
            larger = self._neighbourhoods.get((level, 5))
            if size == 3 and larger is not None:  # the inner cube of the larger kernel
                inner = [x + 5 * y + 25 * z for z in (1, 2, 3) for y in (1, 2, 3) for x in (1, 2, 3)]
                table = larger.table[:, inner].contiguous()
            else:
                table = self._tensor(_neighbour_table(self.keys(level), size))
            self._neighbourhoods[level, size] = Neighbourhood(table)
        return self._neighbourhoods[level, size]

    def families(self, level: int) -> Pairs:
        """For each of the 8 places in a voxel of `level + 1`: the children of `level` at it, and the parent
        of each."""
        if level not in self._families:
            keys = self.keys(level)
            parent = np.searchsorted(self.keys(level + 1), keys >> 3)
            places = [np.flatnonzero(keys & 7 == place) for place in range(8)]
            self._families[level] = tuple(
                (self._tensor(child.astype(np.int32)), self._tensor(parent[child].astype(np.int32)))
                for child in places
            )
        return self._families[level]

    def build(self) -> None:
        """Build all maps of a U-Net now, such as in a thread beside training, and not when they are asked
        for."""
        self.neighbours(0, 5)
        for level in range(self.LEVELS):
            self.neighbours(level, 3)
        for level in range(self.LEVELS - 1):
            self.families(level)

    def gather(self, features: torch.Tensor) -> torch.Tensor:  # [V, C] -> [U, C]
        """The features of voxels: the mean of the rows that share one."""
        count = torch.bincount(self.row, minlength=self.size(0))
        total = features.new_zeros(self.size(0), features.shape[1]).index_add_(0, self.row, features)
        return total / count.unsqueeze(1)

    def spread(self, features: torch.Tensor) -> torch.Tensor:  # [U, C] -> [V, C]
        """The features of rows: each gets those of its voxel."""
        return features.index_select(0, self.row)

    def _tensor(self, array: Array) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)


@numba.njit(cache=True, inline="always")
def _dilate(value: int) -> int:
    """Move the bits b0, b1, b2, ... of a 17-bit number to places 0, 3, 6, ..."""
    value = (value | value << 32) & 0x001F00000000FFFF
    value = (value | value << 16) & 0x001F0000FF0000FF
    value = (value | value << 8) & 0x100F00F00F00F00F
    value = (value | value << 4) & 0x10C30C30C30C30C3
    return (value | value << 2) & 0x1249249249249249


@numba.njit(cache=True, inline="always")
def _contract(value: int) -> int:
    """The inverse of `_dilate`."""
    value &= 0x1249249249249249
    value = (value | value >> 2) & 0x10C30C30C30C30C3
    value = (value | value >> 4) & 0x100F00F00F00F00F
    value = (value | value >> 8) & 0x001F0000FF0000FF
    value = (value | value >> 16) & 0x001F00000000FFFF
    return (value | value >> 32) & 0x1FFFF


@numba.njit(cache=True, nogil=True)
def _encode(coordinates: I8) -> I8:  # [V,4] -> [V]
    keys = np.empty(len(coordinates), np.int64)
    for i in range(len(coordinates)):
        x, y, z = coordinates[i, 1] + BIAS, coordinates[i, 2] + BIAS, coordinates[i, 3] + BIAS
        keys[i] = coordinates[i, 0] << 3 * AXIS_BITS | _dilate(x) | _dilate(y) << 1 | _dilate(z) << 2
    return keys


@numba.njit(cache=True, nogil=True)
def _decode(keys: I8) -> I4:  # [U] -> [U,4]
    coordinates = np.empty((len(keys), 4), np.int32)
    for i in range(len(keys)):
        key = keys[i]
        coordinates[i, 0] = key >> 3 * AXIS_BITS
        for axis in range(3):
            coordinates[i, 1 + axis] = _contract(key >> axis & (1 << 3 * AXIS_BITS) - 1) - BIAS
    return coordinates


@numba.njit(cache=True, nogil=True)
def _neighbour_table(keys: I8, size: int) -> I4:  # [U] -> [U, size^3], U where there is no voxel
    """Look half of the offsets up in a hash table; the other half follows by symmetry."""
    count, half, volume = len(keys), size // 2, size**3
    bits = 4
    while 1 << bits < 2 * count:
        bits += 1
    capacity = (1 << bits) - 1
    shift = np.uint64(64 - bits)
    factor = np.uint64(0x9E3779B97F4A7C15)  # golden ratio: neighbouring keys fall far apart
    slot_key = np.full(capacity + 1, EMPTY, np.int64)
    slot_row = np.empty(capacity + 1, np.int32)
    for i in range(count):
        slot = np.int64(np.uint64(keys[i]) * factor >> shift)
        while slot_key[slot] != EMPTY:
            slot = slot + 1 & capacity
        slot_key[slot] = keys[i]
        slot_row[slot] = i

    table = np.full((count, volume), count, np.int32)
    dilated = np.empty((3, size), np.int64)
    spatial = (np.int64(1) << 3 * AXIS_BITS) - 1
    for i in range(count):
        table[i, volume // 2] = i
        batch = keys[i] & ~spatial
        for axis in range(3):
            centre = _contract((keys[i] & spatial) >> axis)
            for step in range(size):
                dilated[axis, step] = _dilate(centre + step - half) << axis
        for k in range(volume // 2):
            wanted = (
                batch | dilated[0, k % size] | dilated[1, k // size % size] | dilated[2, k // size // size]
            )
            slot = np.int64(np.uint64(wanted) * factor >> shift)
            while slot_key[slot] != EMPTY:
                if slot_key[slot] == wanted:
                    j = slot_row[slot]
                    table[i, k] = j
                    table[j, volume - 1 - k] = i
                    break
                slot = slot + 1 & capacity
    return table


@numba.njit(cache=True, nogil=True)
def _pairs(table: I4, rows: int) -> tuple[I4, I4, I8]:
    """(source i4[P], target i4[P], size i8[B * K]): pairs block by block and, within each, offset by
    offset."""
    count, volume = table.shape
    blocks = max(1, (count + rows - 1) // rows)
    size = np.zeros((blocks, volume), np.int64)
    for i in range(count):
        for k in range(volume):
            size[i // rows, k] += table[i, k] < count
    start = np.zeros(blocks * volume + 1, np.int64)
    start[1:] = np.cumsum(size.reshape(-1))
    source, target = np.empty((2, start[-1]), np.int32)
    place = start[:-1].copy().reshape(blocks, volume)
    for i in range(count):
        for k in range(volume):
            if table[i, k] < count:
                p = place[i // rows, k]
                source[p], target[p] = table[i, k], i
                place[i // rows, k] = p + 1
    return source, target, size.reshape(-1)
