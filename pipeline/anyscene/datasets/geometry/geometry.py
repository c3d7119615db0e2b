"""What a file of a mesh or a cloud holds."""

from __future__ import annotations

from dataclasses import dataclass

from anyscene.arrays import F4, F8, I4, U1


@dataclass(frozen=True, eq=False)
class Geometry:
    """N points, and F triangles between them, in the units and axes of their file."""

    xyz: F8  # f8[N, 3]: coordinates of maps have more digits than an f4
    face: I4  # i4[F, 3], indices of points; F is 0 without a mesh
    rgb: U1 | None = None  # u1[N, 3]; None where the file has no colours
    normal: F4 | None = None  # f4[N, 3], of length 1, 0 where it is not known; None where the file has none
    seen_from: F8 | None = None  # f8[N, 3], where the scanner stood; None where the file does not say
    up: F8 | None = None  # f8[3], where the format says which direction is up
