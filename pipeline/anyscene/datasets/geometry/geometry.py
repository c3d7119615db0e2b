"""What a file of a mesh or a cloud holds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from anyscene.arrays import F4, F8, I4, U1, Floats
from anyscene.scene import moved, turned


@dataclass(frozen=True, eq=False)
class Geometry:
    """N points, and F triangles between them, in the units and axes of their file."""

    xyz: Floats  # f8[N, 3], as coordinates of maps need; f4 where the file has floats
    face: I4  # i4[F, 3], indices of points; F is 0 without a mesh
    rgb: U1 | None = None  # u1[N, 3]; None where the file has no colours
    normal: F4 | None = None  # f4[N, 3], of length 1, 0 where it is not known; None where the file has none
    seen_from: F8 | None = None  # f8[N, 3], where the scanner stood; None where the file does not say
    up: F8 | None = None  # f8[3], where the format says which direction is up

    def moved(self, step: F8) -> Geometry:
        """The same in another world, to which `step` takes places: f8[4,4] as for `scene.moved`. xyz is f8
        there."""
        return replace(
            self,
            xyz=moved(self.xyz, step),
            normal=None if self.normal is None else turned(self.normal, step).astype(np.float32),
            seen_from=None if self.seen_from is None else moved(self.seen_from, step),
            up=None if self.up is None else turned(self.up[None], step)[0],
        )
