"""How far a MinkUNet looks: the voxels on which its answer at a voxel can depend.

Voxels of level l are cubes of 2**l voxels, at places that do not depend on what is seen. So the reach depends
on the place of a voxel within the coarsest cube alone, of which there are 16 along an axis."""

from __future__ import annotations

from collections.abc import Sequence

from anyscene.networks.minkunet import VARIANTS

LEVELS = 4  # below the finest
STEM = 2  # voxels that the first convolution, of size 5, looks to each side

Interval = tuple[int, int]  # of voxels along one axis, both ends included


def halo(variant: str) -> int:
    """The largest distance in voxels, along any axis, of a voxel on which the answer at another can depend.
    variant: a key of VARIANTS."""
    reach = (seen_from(variant, place) for place in range(2**LEVELS))
    return max(max(place - low, high - place) for place, (low, high) in enumerate(reach))


def seen_from(variant: str, place: int) -> Interval:
    """The voxels along an axis, first and last, on which the answer at `place` can depend. It goes back from
    the last layer to the first."""
    units = VARIANTS[variant].units
    wanted, skipped = (place, place), list[Interval]()
    for block in range(7, 3, -1):  # upwards, from the finest level: block 8 is on level 0
        wanted = _wider(wanted, _convolutions(units, block))
        skipped.append(wanted)  # what came over from the way down, on the same level
        wanted = _coarser(wanted)
    for block in range(3, -1, -1):  # downwards: block 4 is on level 4
        wanted = _wider(wanted, _convolutions(units, block))
        wanted = _joined(_finer(wanted), skipped.pop())
    return _wider(wanted, STEM)


def _convolutions(units: Sequence[int], block: int) -> int:
    """How many convolutions of size 3 a block has, two in each unit."""
    return 2 * units[block]


def _wider(seen: Interval, by: int) -> Interval:
    return seen[0] - by, seen[1] + by


def _coarser(seen: Interval) -> Interval:
    return seen[0] // 2, seen[1] // 2


def _finer(seen: Interval) -> Interval:
    return 2 * seen[0], 2 * seen[1] + 1


def _joined(one: Interval, other: Interval) -> Interval:
    return min(one[0], other[0]), max(one[1], other[1])
