import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyscene.lifting import superpoints
from anyscene.lifting.superpoints import SuperpointError, segment_mesh, segment_places, segment_points
from tests.twins.slow_sort import introsort

f4 = np.float32


def dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def unit(a):
    return a / np.sqrt(dot(a, a))


def twin_mesh(xyz, face, k, min_vertices):
    """The algorithm of method.md §1 in plain Python, one float32 operation at a time."""
    xyz = xyz.astype(f4)
    normal, count = np.zeros_like(xyz), np.zeros(len(xyz), int)
    for a, b, c in face:
        (ux, uy, uz), (vx, vy, vz) = xyz[b] - xyz[a], xyz[c] - xyz[a]
        n = unit(np.array([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx], f4))
        for i in (a, b, c):
            share = f4(1) / f4(count[i] + 1)
            normal[i] = share * n + (f4(1) - share) * normal[i]
        for i in (a, b, c):
            count[i] += 1
    edges = [edge for a, b, c in face.tolist() for edge in ((a, b), (a, c), (c, b))]
    return twin_graph(xyz, normal, edges, k, min_vertices)


def twin_graph(xyz, normal, edges, k, min_vertices):
    weights = []
    for a, b in edges:
        w = f4(1) - dot(normal[a], normal[b])
        convex = dot(normal[b], unit(xyz[b] - xyz[a])) > 0
        weights.append(w * w if convex else w)
    order = introsort(range(len(edges)), lambda i, j: bool(weights[i] < weights[j]))
    sets = {i: [i] for i in range(len(xyz))}
    owner = list(range(len(xyz)))
    threshold = dict.fromkeys(sets, f4(k))

    def join(a, b):
        for i in sets[a]:
            owner[i] = b
        sets[b] += sets.pop(a)

    for e in order:
        a, b = (owner[i] for i in edges[e])
        if a != b and weights[e] <= threshold[a] and weights[e] <= threshold[b]:
            join(a, b)
            threshold[b] = weights[e] + f4(k) / f4(len(sets[b]))
    for e in order:
        a, b = (owner[i] for i in edges[e])
        if a != b and (len(sets[a]) < min_vertices or len(sets[b]) < min_vertices):
            join(a, b)
    ids = {}
    return [ids.setdefault(i, len(ids)) for i in owner]


def bumpy_grid(rng, rows, columns, step):
    """A sheet with a fold, heights in multiples of `step`: many edges of exactly equal weight."""
    x, y = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    z = np.maximum(0, x - rows // 2) + step * rng.integers(-2, 3, x.shape)
    i = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (part.ravel() for part in (i[:-1, :-1], i[1:, :-1], i[1:, 1:], i[:-1, 1:]))
    face = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return np.stack([x, y, z], -1).reshape(-1, 3).astype(f4), face


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 12),
    st.integers(2, 12),
    st.sampled_from([0, 0.05, 0.25]),
    st.sampled_from([1, 5, 20, 60]),
    st.integers(0, 2**32 - 1),
)
def test_mesh_equals_twin_with_duplicate_and_degenerate_faces(rows, columns, step, min_vertices, seed):
    rng = np.random.default_rng(seed)
    xyz, face = bumpy_grid(rng, rows, columns, step)
    twice = face[rng.integers(0, len(face), 3)]
    thin = rng.integers(0, len(xyz), (3, 3))
    thin[0, 1] = thin[0, 0]
    thin[1] = thin[1, 0]
    face = rng.permutation(np.concatenate([face, twice, twice[:, ::-1], thin]))
    for k in (0.01, 0.3):
        assert segment_mesh(xyz, face, k, min_vertices).tolist() == twin_mesh(xyz, face, k, min_vertices)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 80), st.integers(1, 12), st.sampled_from([1, 4, 30]), st.integers(0, 2**32 - 1))
def test_points_equal_twin_on_brute_force_neighbours(count, neighbours, min_vertices, seed):
    rng = np.random.default_rng(seed)
    xyz = rng.random((count, 3)).astype(f4)
    normal = rng.choice(np.array([[0, 0, 1], [0.6, 0, 0.8], [1, 0, 0]], f4), count)
    distance = np.linalg.norm(xyz[:, None].astype(float) - xyz, axis=2)
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, 1)[:, : min(neighbours, count - 1)]
    edges = [(i, j) for i in range(count) for j in nearest[i].tolist()]
    mean = normal.copy()
    for i in range(count):
        for j in nearest[i, :8]:
            mean[i] += normal[j]
        mean[i] /= f4(1 + min(nearest.shape[1], 8))
    found = segment_points(xyz, normal, neighbours=neighbours, k=0.05, min_vertices=min_vertices)
    assert found.tolist() == twin_graph(xyz, mean, edges, 0.05, min_vertices)


def test_blocks_do_not_show(monkeypatch):
    rng = np.random.default_rng(0)
    xyz, normal = rng.random((90, 3)).astype(f4), rng.normal(size=(90, 3)).astype(f4)
    whole = segment_points(xyz, normal, neighbours=4, k=0.5, min_vertices=3)
    monkeypatch.setattr(superpoints, "BLOCK_POINTS", 20)
    assert 1 < len(set(whole.tolist())) < 30
    assert segment_points(xyz, normal, neighbours=4, k=0.5, min_vertices=3).tolist() == whole.tolist()


def folded_strip(length):
    """2 x length vertices on the floor that share a row with 2 x length on a wall."""
    x = np.arange(length, dtype=f4)
    o = np.zeros(length, f4)
    rows = [np.stack([x, o + y, o + z], 1) for y, z in ((2, 0), (1, 0), (0, 0), (0, 1), (0, 2))]
    face = []
    for r in range(4):
        a, b = r * length, (r + 1) * length
        for i in range(length - 1):
            face += [[a + i, a + i + 1, b + i], [a + i + 1, b + i + 1, b + i]]
    return np.concatenate(rows), np.array(face)


def test_a_concave_fold_parts_floor_from_wall():
    xyz, face = folded_strip(10)
    superpoint = segment_mesh(xyz, face[:, ::-1], min_vertices=5).reshape(5, 10)
    assert (superpoint[:2] == superpoint[0, 0]).all() and (superpoint[3:] == superpoint[4, 0]).all()
    assert superpoint[0, 0] != superpoint[4, 0]


def test_small_superpoints_are_joined():
    xyz, face = folded_strip(10)
    assert segment_mesh(xyz, face[:, ::-1], min_vertices=26).max() == 0


def test_weight_of_a_convex_edge_is_squared():
    # Two faces with 60 degrees between their normals. The outer vertices 2 and 3 have their face's normal,
    # the two on the ridge the mean of both, of length cos 30: not renormalised, so that every edge weighs 1 -
    # 0.75 = 0.25. Only (2, 1) runs up against the normal at its end, where d·n > 0: squared, it weighs
    # 0.0625.
    s, c = np.sin(np.pi / 3), np.cos(np.pi / 3)
    xyz = np.array([[0, 0, 0], [0, 1, 0], [-1, 0.5, 0], [c, 0.5, -s]], f4)
    face = np.array([[0, 1, 2], [0, 3, 1]])
    assert segment_mesh(xyz, face, k=0.062, min_vertices=1).tolist() == [0, 1, 2, 3]
    assert segment_mesh(xyz, face, k=0.063, min_vertices=1).tolist() == [0, 1, 1, 2]
    # Joined, 1 and 2 have the threshold 0.0625 + k/2: the rest follows from 0.25 = 0.0625 + 0.375/2.
    assert segment_mesh(xyz, face, k=0.37, min_vertices=1).tolist()[1:3] == [1, 1]
    assert segment_mesh(xyz, face, k=0.38, min_vertices=1).max() == 0


def test_vertices_without_faces_stay_alone_whatever_the_minimum():
    xyz, face = folded_strip(4)
    xyz = np.concatenate([[[9, 9, 9]], xyz, [[8, 8, 8]]]).astype(f4)
    assert segment_mesh(xyz, face + 1, min_vertices=100).tolist() == [0] + 20 * [1] + [2]


def test_ids_are_dense_in_order_of_first_vertex():
    xyz, face = bumpy_grid(np.random.default_rng(1), 30, 30, 0.3)
    found = segment_mesh(xyz, face, min_vertices=3)
    first = [np.flatnonzero(found == i)[0] for i in range(found.max() + 1)]
    assert found.dtype == np.int32 and found[0] == 0 and first == sorted(first) and len(first) > 3


def test_empty_inputs_give_empty_or_single_superpoints():
    none = np.empty((0, 3), f4)
    assert segment_mesh(none, np.empty((0, 3), int)).shape == (0,)
    assert segment_mesh(np.eye(3, dtype=f4)[:2], np.empty((0, 3), int)).tolist() == [0, 1]
    assert segment_points(none, none).shape == (0,)
    assert segment_points(np.zeros((1, 3), f4), np.ones((1, 3), f4)).tolist() == [0]


def test_two_walls_apart_are_two_superpoints_and_coincident_points_do_no_harm():
    rng = np.random.default_rng(0)
    wall = np.concatenate([rng.random((300, 2)), np.zeros((300, 1))], 1)
    xyz = np.concatenate([wall, wall + np.array([0, 0, 5]), np.repeat(wall[:1], 12, 0)]).astype(f4)
    normal = np.tile(np.array([0, 0, 1], f4), (len(xyz), 1))
    found = segment_points(xyz, normal, neighbours=8, min_vertices=20)
    assert set(found[:300]) == {0} and set(found[300:600]) == {1}


def named(superpoint):
    """The same partition, its ids in the order of their first appearance."""
    ids = {}
    return [ids.setdefault(i, len(ids)) for i in np.asarray(superpoint).tolist()]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.sampled_from([1, 5, 60]), st.integers(0, 2**32 - 1))
def test_vertices_that_are_written_once_for_each_triangle_are_one(rows, columns, min_vertices, seed):
    rng = np.random.default_rng(seed)
    xyz, face = bumpy_grid(rng, rows, columns, 0.05)
    whole = segment_places(xyz, face, min_vertices=min_vertices)
    soup = segment_places(xyz[face.ravel()], np.arange(face.size).reshape(-1, 3), min_vertices=min_vertices)
    assert soup.tolist() == named(whole[face.ravel()])
    # along a seam: a second copy of every vertex, of which some faces have one and some the other
    seam = face + len(xyz) * rng.integers(0, 2, face.shape)
    doubled = segment_places(np.concatenate([xyz, xyz]), seam, min_vertices=min_vertices)
    assert doubled.tolist() == [*whole.tolist(), *whole.tolist()]


def test_zeros_of_both_signs_are_one_place():
    xyz, face = folded_strip(4)
    soup = xyz[face.ravel()]
    soup[::2] = np.where(soup[::2] == 0, f4(-0.0), soup[::2])
    found = segment_places(soup, np.arange(face.size).reshape(-1, 3), min_vertices=3)
    assert found.tolist() == named(segment_places(xyz, face, min_vertices=3)[face.ravel()])


@pytest.mark.parametrize("apart", [0, 1])
def test_a_sheet_with_two_sides_is_divided_as_one(apart):
    """The back has vertices of its own at the same places, and its faces come after or between the others."""
    xyz, face = folded_strip(10)
    sides = [face, face[:, ::-1] + len(xyz)]
    both = np.stack(sides, 1).reshape(-1, 3) if apart else np.concatenate(sides)
    whole = segment_places(xyz, face, min_vertices=5)
    assert whole.max() > 0
    assert segment_places(np.concatenate([xyz, xyz]), both, min_vertices=5).tolist() == [*whole, *whole]


def test_points_that_are_there_several_times_are_one():
    rng = np.random.default_rng(0)
    xyz, normal = rng.random((90, 3)).astype(f4), rng.normal(size=(90, 3)).astype(f4)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    once = segment_points(xyz, normal, neighbours=4, k=0.5, min_vertices=3)
    again = rng.integers(0, 90, 400)
    many = segment_points(
        np.concatenate([xyz, xyz[again]]),
        np.concatenate([normal, normal[again]]),
        neighbours=4, k=0.5, min_vertices=3,
    )  # fmt: skip
    assert 1 < once.max() and many.tolist() == [*once, *once[again]]


def test_points_at_one_place_have_their_mean_normal():
    # two rows of points with the normals 60 degrees to either side of +z: together they are +z everywhere
    x = np.arange(40, dtype=f4)
    xyz = np.stack([x, 0 * x, 0 * x], 1)
    tilt = np.array([[np.sqrt(0.75), 0, 0.5]], f4) * np.where(x[:, None] % 2, [1, 1, 1], [-1, 1, 1])
    normals = np.concatenate([tilt, tilt * np.array([-1, 1, 1], f4)])
    assert segment_points(np.concatenate([xyz, xyz]), normals, neighbours=2, min_vertices=1).max() == 0
    # where they cancel out, the normal is that of the first
    up = np.tile(np.array([[0, 0, 1]], f4), (40, 1))
    both = np.concatenate([up, -up])
    assert segment_points(np.concatenate([xyz, xyz]), both, neighbours=2, min_vertices=1).max() == 0


@pytest.mark.parametrize("index", [-1, 3])
def test_a_face_outside_the_mesh_is_an_error_that_names_it(index):
    with pytest.raises(SuperpointError, match=f"vertex {index} of a mesh with 3"):
        segment_mesh(np.zeros((3, 3), f4), np.array([[0, 1, 2], [0, 1, index]]))
    twice = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 0]], f4)  # points that are one are joined first
    with pytest.raises(SuperpointError, match=r"a face names a vertex outside 0\.\.2: repair the mesh"):
        segment_places(twice, np.array([[0, 1, 2], [0, 1, index]]))


def test_wrong_shapes_and_values_are_errors():
    points = np.zeros((3, 3), f4)
    with pytest.raises(SuperpointError, match=r"expected xyz \[N, 3\] and face .* \(2, 4\)"):
        segment_mesh(points, np.zeros((2, 4), int))
    with pytest.raises(SuperpointError, match=r"expected xyz \[N, 3\] and face .* \(3, 2\)"):
        segment_mesh(points[:, :2], np.zeros((2, 3), int))
    with pytest.raises(SuperpointError, match=r"expected xyz and normal \[N, 3\], got .* \(2, 3\)"):
        segment_points(points, np.zeros((2, 3), f4))
    with pytest.raises(SuperpointError, match="1 points have coordinates that are not finite"):
        segment_points(np.array([[0, 0, 0], [np.nan, 0, 0]], f4), np.zeros((2, 3), f4))
    with pytest.raises(SuperpointError, match="neighbours = 0: a graph needs at least one"):
        segment_points(points, points, neighbours=0)
