"""Superpoints: small connected parts of a scene that a crease of the surface does not cross (method.md §1).

The graph segmentation of Felzenszwalb and Huttenlocher (IJCV 59, 2004) on the edges of a mesh, with the
constants and the float32 arithmetic of ScanNet's Segmentator, whose partition it reproduces exactly.

`segment` joins vertices at equal places, since most tools write those along seams of textures, or all, once
for each triangle. Where no two vertices have one place nothing changes.
"""

import numba
import numpy as np
from scipy.spatial import cKDTree

from anyscene.arrays import F4, F8, I4, Floats, Integers
from anyscene.errors import SuperpointError
from anyscene.lifting import introsort
from anyscene.lifting.places import distinct
from anyscene.project import parameters

BLOCK_POINTS = 1 << 18  # points whose neighbours are searched at a time
ONE = np.float32(1)
AROUND = 8  # nearest points; chosen on rooms of the demo without their faces (docs/how-to/own-scan.md)


def segment(xyz: F4, normal: F4, face: I4, settings: parameters.Superpoints) -> I4:
    """i4[N]: the superpoints of a scene as params.yaml asks for them: by its mesh, or by nearest neighbours
    where it has no faces.

    xyz: f4[N, 3] in metres. normal: f4[N, 3] of length 1. face: i4[F, 3]. Raises SuperpointError as
    `segment_mesh` and `segment_points`.
    """
    if settings.method == "identity":
        return np.arange(len(xyz), dtype=np.int32)
    if settings.method == "mesh" and len(face):
        return segment_places(xyz, face, settings.k, settings.min_vertices)
    return segment_points(
        xyz, normal, neighbours=settings.neighbours, k=settings.k, min_vertices=settings.min_vertices
    )


def segment_mesh(xyz: Floats, face: Integers, k: float = 0.01, min_vertices: int = 60) -> I4:
    """i4[N]: the superpoint of every vertex of a mesh, exactly as ScanNet's Segmentator divides it.

    xyz: f4[N, 3] in metres.
    face: integers [F, 3].
    k: the scale; a larger one merges more.
    min_vertices: smaller superpoints are merged with a neighbour where there is one (20 in ScanNet, 60 in
    SAS).

    Ids are 0..L-1 in the order of their first vertex; a vertex without a face is alone. Vertices at equal
    places are not joined: see `segment_places`. Raises SuperpointError for arrays of another shape, and for
    face indices outside 0..N-1.

    >>> floor = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    >>> wall = [[0, 2, 0], [1, 2, 0], [1, 2, 1], [0, 2, 1]]
    >>> face = [[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]]
    >>> anyscene.segment_mesh(np.array(floor + wall), np.array(face)).tolist()
    [0, 0, 0, 0, 1, 1, 1, 1]
    """
    xyz, face = np.ascontiguousarray(xyz, np.float32), np.asarray(face)
    if xyz.ndim != 2 or xyz.shape[1] != 3 or face.ndim != 2 or face.shape[1] != 3:
        raise SuperpointError(f"expected xyz [N, 3] and face [F, 3], got {xyz.shape} and {face.shape}")
    if face.size and not 0 <= face.min() <= face.max() < len(xyz):
        wrong = face.min() if face.min() < 0 else face.max()
        raise SuperpointError(f"a face names vertex {wrong} of a mesh with {len(xyz)}: repair the mesh")
    corner = np.ascontiguousarray(face, np.int32)
    normal = _vertex_normals(xyz, corner)
    return _segment_graph(xyz, normal, _mesh_edges(corner), np.float32(k), min_vertices)


def segment_places(xyz: F4, face: Integers, k: float = 0.01, min_vertices: int = 60) -> I4:
    """i4[N]: as `segment_mesh` of a mesh whose vertices at equal places are one. Faces that then lie on one
    another, as those of sheets with two sides do, count once. Raises SuperpointError as `segment_mesh`."""
    first, place = distinct(xyz)
    if len(first) == len(xyz):
        return segment_mesh(xyz, face, k, min_vertices)
    if face.size and not 0 <= face.min() <= face.max() < len(xyz):
        raise SuperpointError(f"a face names a vertex outside 0..{len(xyz) - 1}: repair the mesh")
    corner = place[face]
    corner = corner[distinct(np.sort(corner, 1))[0]]
    return segment_mesh(xyz[first], corner, k, min_vertices)[place]


def segment_points(
    xyz: Floats, normal: Floats, *, neighbours: int = 8, k: float = 0.01, min_vertices: int = 60
) -> I4:
    """i4[N]: the superpoint of every point of a cloud without faces, by edges to its nearest neighbours.

    xyz: f4[N, 3] in metres.
    normal: f4[N, 3] of length 1.
    neighbours: edges from each point; an edge that both of its ends find counts twice, as one of two faces
    does. k, min_vertices: as those of `segment_mesh`, and so are the ids.

    Points at equal places are one, with the mean of their normals. An edge is weighed by the means of the
    normals of a point and its AROUND nearest: as at a vertex of a mesh they are short at a crease, which none
    crosses.

    Raises SuperpointError for arrays of another shape, points that are not finite, and neighbours < 1.

    >>> x, y = np.mgrid[:10, :10].reshape(2, -1) / 10
    >>> floor = np.stack([x, y, 0 * x], 1)
    >>> above = np.stack([x, y, 0 * x + 1], 1)
    >>> up = np.tile([0, 0, 1], (200, 1))
    >>> anyscene.segment_points(np.concatenate([floor, above]), up)[[0, 99, 100, 199]].tolist()
    [0, 0, 1, 1]
    """
    xyz, normal = np.ascontiguousarray(xyz, np.float32), np.ascontiguousarray(normal, np.float32)
    if xyz.ndim != 2 or xyz.shape[1] != 3 or normal.shape != xyz.shape:
        raise SuperpointError(f"expected xyz and normal [N, 3], got {xyz.shape} and {normal.shape}")
    if not np.isfinite(xyz).all():
        broken = np.sum(~np.isfinite(xyz).all(1))
        raise SuperpointError(f"{broken} points have coordinates that are not finite: leave them out")
    if neighbours < 1:
        raise SuperpointError(f"neighbours = {neighbours}: a graph needs at least one")
    first, place = distinct(xyz)
    if len(first) < len(xyz):
        xyz, normal = xyz[first], _mean_normals(normal, first, place)
    edge = _nearest_edges(xyz, neighbours)
    return _segment_graph(xyz, _around(normal, edge), edge, np.float32(k), min_vertices)[place]


def _around(normal: F4, edge: I4) -> F4:
    """f4[P, 3], not of length 1: the mean of the normals of each point and of those that the first AROUND of
    its edges lead to."""
    if len(edge) == 0:
        return normal
    total = np.array(normal, np.float32)
    near = edge[:, 1].reshape(len(normal), -1)[:, :AROUND]
    for column in near.T:
        total += normal[column]
    mean: F4 = total / np.float32(1 + near.shape[1])
    return mean


def _mean_normals(normal: F4, first: I4, place: I4) -> F4:
    """f4[P, 3], of length 1; where the normals f4[N, 3] of a place cancel out, that of its first point."""
    total = np.stack([np.bincount(place, column, len(first)) for column in normal.T], 1)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    unit: F8 = np.divide(total, length, out=normal[first].astype(np.float64), where=length > 1e-3)
    return unit.astype(np.float32)


def _segment_graph(xyz: F4, normal: F4, edge: I4, k: np.float32, min_vertices: int) -> I4:
    weight = _edge_weights(xyz, normal, edge)
    order = np.arange(len(edge), dtype=np.int32)
    introsort.sort(weight, order)
    return _dense(_merge(len(xyz), _reordered(edge, order), weight, k, min_vertices))


def _nearest_edges(xyz: F4, neighbours: int) -> I4:
    """i4[E, 2]: the edges from every point to its nearest others. They are found in blocks, since a query
    returns 16 bytes for each edge."""
    if len(xyz) < 2:
        return np.empty((0, 2), np.int32)
    tree, nearest = cKDTree(xyz), min(neighbours + 1, len(xyz))
    blocks = []
    for start in range(0, len(xyz), BLOCK_POINTS):
        _, found = tree.query(xyz[start : start + BLOCK_POINTS], nearest)
        source = np.broadcast_to(np.arange(start, start + len(found), dtype=np.int32)[:, None], found.shape)
        other = found != source
        # Among coincident points a point need not find itself first, nor at all.
        other &= np.cumsum(other, 1) <= nearest - 1
        blocks.append(np.stack([source[other], found[other].astype(np.int32)], 1))
    return np.concatenate(blocks)


@numba.njit(cache=True, nogil=True)
def _mesh_edges(face: I4) -> I4:
    """i4[3F, 2]: the three edges of each face in the order (1, 2), (1, 3), (3, 2). Shared ones occur
    twice."""
    edge = np.empty((3 * len(face), 2), np.int32)
    for f in range(len(face)):
        edge[3 * f, 0], edge[3 * f, 1] = face[f, 0], face[f, 1]
        edge[3 * f + 1, 0], edge[3 * f + 1, 1] = face[f, 0], face[f, 2]
        edge[3 * f + 2, 0], edge[3 * f + 2, 1] = face[f, 2], face[f, 1]
    return edge


@numba.njit(cache=True, nogil=True)
def _reordered(edge: I4, order: I4) -> I4:
    new = np.empty_like(edge)
    for e in range(len(order)):
        new[e, 0], new[e, 1] = edge[order[e], 0], edge[order[e], 1]
    return new


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _vertex_normals(xyz: F4, face: I4) -> F4:
    """f4[N, 3]: the running unweighted mean of the unit normals of a vertex's faces, not normalised.

    A face without area has a normal of NaN, which its vertices keep, as in the Segmentator.
    """
    normal = np.zeros((len(xyz), 3), np.float32)
    count = np.zeros(len(xyz), np.int32)
    for f in range(len(face)):
        a, b, c = face[f, 0], face[f, 1], face[f, 2]
        ux, uy, uz = xyz[b, 0] - xyz[a, 0], xyz[b, 1] - xyz[a, 1], xyz[b, 2] - xyz[a, 2]
        vx, vy, vz = xyz[c, 0] - xyz[a, 0], xyz[c, 1] - xyz[a, 1], xyz[c, 2] - xyz[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        length = np.sqrt(nx * nx + ny * ny + nz * nz)
        nx, ny, nz = nx / length, ny / length, nz / length
        for corner in range(3):
            i = face[f, corner]
            new = ONE / (np.float32(count[i]) + ONE)
            old = ONE - new
            normal[i, 0] = new * nx + old * normal[i, 0]
            normal[i, 1] = new * ny + old * normal[i, 1]
            normal[i, 2] = new * nz + old * normal[i, 2]
        # They are counted only now, so that a face that names a vertex twice adds the same share both times.
        count[a] += 1
        count[b] += 1
        count[c] += 1
    return normal


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _edge_weights(xyz: F4, normal: F4, edge: I4) -> F4:
    """f4[E]: w = 1 - n_a·n_b, squared where the surface is convex, as a convex edge seldom separates two
    objects."""
    weight = np.empty(len(edge), np.float32)
    for e in range(len(edge)):
        a, b = edge[e, 0], edge[e, 1]
        dx, dy, dz = xyz[b, 0] - xyz[a, 0], xyz[b, 1] - xyz[a, 1], xyz[b, 2] - xyz[a, 2]
        length = np.sqrt(dx * dx + dy * dy + dz * dz)
        dx, dy, dz = dx / length, dy / length, dz / length
        across = normal[a, 0] * normal[b, 0] + normal[a, 1] * normal[b, 1] + normal[a, 2] * normal[b, 2]
        along = normal[b, 0] * dx + normal[b, 1] * dy + normal[b, 2] * dz
        w = ONE - across
        weight[e] = w * w if along > 0 else w
    return weight


@numba.njit(cache=True, nogil=True, inline="always")
def _find(parent: I4, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@numba.njit(cache=True, nogil=True, inline="always")
def _join(parent: I4, size: I4, a: int, b: int) -> int:
    """Unite the sets of two roots under that of the larger; either choice would give the same partition."""
    if size[a] > size[b]:
        a, b = b, a
    parent[a] = b
    size[b] += size[a]
    return b


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _merge(count: int, edge: I4, weight: F4, k: np.float32, min_vertices: int) -> I4:
    """i4[N]: the root of every vertex. The edges [E, 2] come by ascending `weight`, and are overwritten."""
    parent = np.arange(count, dtype=np.int32)
    size, threshold = np.ones(count, np.int32), np.full(count, k, np.float32)
    open_edges = 0  # edges between two sets are moved to the front, as a second pass needs no others
    for e in range(len(edge)):
        a, b = _find(parent, edge[e, 0]), _find(parent, edge[e, 1])
        if a == b:
            continue
        if weight[e] <= threshold[a] and weight[e] <= threshold[b]:
            root = _join(parent, size, a, b)
            threshold[root] = weight[e] + k / np.float32(size[root])
        else:
            edge[open_edges, 0], edge[open_edges, 1] = a, b
            open_edges += 1
    for e in range(open_edges):
        a, b = _find(parent, edge[e, 0]), _find(parent, edge[e, 1])
        if a != b and (size[a] < min_vertices or size[b] < min_vertices):
            _join(parent, size, a, b)
    for i in range(count):
        parent[i] = _find(parent, i)
    return parent


@numba.njit(cache=True, nogil=True)
def _dense(root: I4) -> I4:
    """i4[N]: ids 0..L-1 in the order of their first appearance."""
    name = np.full(len(root), -1, np.int32)
    dense = np.empty(len(root), np.int32)
    names = 0
    for i in range(len(root)):
        if name[root[i]] < 0:
            name[root[i]] = names
            names += 1
        dense[i] = name[root[i]]
    return dense
