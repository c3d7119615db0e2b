"""Normals: of faces, of neighbours, or of the file."""

from __future__ import annotations

import numpy as np

from anyscene.arrays import F4, F8, Floats, Integers

NEIGHBOURS = 16
BLOCK = 1 << 16  # points at a time, whose neighbours take 400 bytes each
CELL = 0.02  # metres: points closer than this tell a device's noise rather than the surface
SAMPLE = 10_000  # points whose normals are compared with those beside them
TURNED = 0.1  # the share of parallel neighbours with opposite normals from which on nobody has turned them


def vertex_normals(xyz: Floats, face: Integers) -> F4:
    """f4[N,3]: the mean of the normals of the adjacent faces, weighted by their area, of length 1; 0 where a
    vertex has no face."""
    corner = xyz.astype(np.float64)[face]  # [F, 3, 3]
    area = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normal = np.stack(
        [np.bincount(face.ravel(), np.repeat(area[:, axis], 3), len(xyz)) for axis in range(3)], 1
    ).astype(np.float64)  # without faces numpy counts in integers
    return unit(normal)


def point_normals(xyz: Floats, viewpoint: Floats) -> F4:
    """f4[N,3]: the smallest principal axis of the NEIGHBOURS points nearest to each point of xyz [N,3],
    turned towards `viewpoint` [N,3]."""
    from scipy.spatial import cKDTree  # only here: readers are imported to check params.yaml

    tree, normal = cKDTree(xyz), np.empty(xyz.shape)
    for start in range(0, len(xyz), BLOCK):
        some = slice(start, start + BLOCK)
        around = xyz[tree.query(xyz[some], NEIGHBOURS)[1]].astype(np.float64)  # [B, NEIGHBOURS, 3]
        around -= around.mean(1, keepdims=True)
        _, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", around, around))
        normal[some] = axes[:, :, 0]
    away = np.einsum("ni,ni->n", normal, viewpoint - xyz) < 0
    return np.where(away[:, None], -normal, normal).astype(np.float32)


def cloud_normals(xyz: Floats, viewpoint: Floats, own: Floats | None = None) -> F4:
    """f4[N,3], of length 1: the normals of a cloud without faces.

    xyz: [N,3] in metres; viewpoint: [N,3], from where each point was seen. own: [N,3], the normals of its
    file, of any length, 0 or NaN where they are not known. They are kept, but turned towards `viewpoint`
    where neighbours have opposite ones, as those of principal axes that nobody turned have. Without them a
    point has the normal of its cube of CELL metres, by the means of the points in the NEIGHBOURS nearest
    cubes. Raises ValueError where there are fewer points than NEIGHBOURS, and normals are missing.
    """
    if own is None:
        return _of_cells(xyz, viewpoint)
    known = np.isfinite(own).all(1) & (np.abs(own).max(1, initial=0) > 0)
    normal = unit(np.where(known[:, None], own, 0).astype(np.float64))
    if not known.all():
        normal = np.where(known[:, None], normal, _of_cells(xyz, viewpoint))
    if _turned_at_random(xyz, normal):
        away = np.einsum("ni,ni->n", normal, viewpoint - xyz) < 0
        normal = np.where(away[:, None], -normal, normal)
    return normal.astype(np.float32)


def unit(vector: F8) -> F4:
    """f4[N,3]: vectors f8[N,3] at length 1; 0 where they are 0."""
    length = np.linalg.norm(vector, axis=1, keepdims=True)
    scaled: F8 = np.divide(vector, length, out=np.zeros_like(vector), where=length > 0)
    return scaled.astype(np.float32)


def _of_cells(xyz: Floats, viewpoint: Floats) -> F4:
    if len(xyz) < NEIGHBOURS:
        raise ValueError(
            f"{len(xyz)} points without normals or faces; to tell the surface at least {NEIGHBOURS} are "
            "needed"
        )
    cell = np.floor((xyz - xyz.min(0)) / CELL).astype(np.int64)
    _, inverse, count = np.unique(
        np.ravel_multi_index(tuple(cell.T), tuple(cell.max(0) + 1)), return_inverse=True, return_counts=True
    )
    if NEIGHBOURS > len(count):
        return point_normals(xyz, viewpoint)
    mean, seen_from = (
        np.stack([np.bincount(inverse, column) for column in each.T], 1) / count[:, None]
        for each in (xyz, viewpoint)
    )
    return point_normals(mean, seen_from)[inverse]


def _turned_at_random(xyz: Floats, normal: Floats) -> bool:
    from scipy.spatial import cKDTree

    if len(xyz) < 2:
        return False
    some = np.linspace(0, len(xyz) - 1, min(SAMPLE, len(xyz))).astype(np.intp)
    _, near = cKDTree(xyz).query(xyz[some], 2)
    along = np.einsum("ni,ni->n", normal[some], normal[near[:, 1]])
    parallel = np.abs(along) > 0.9
    return bool(np.count_nonzero(along[parallel] < 0) > TURNED * np.count_nonzero(parallel))
