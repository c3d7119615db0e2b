"""Partitions against compiled C++ whose edges are put in order by the compiler's own std::sort."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from anyscene.lifting import introsort
from anyscene.lifting.superpoints import segment_mesh
from benchmarks.speed import meshes
from benchmarks.speed.peers.superpoints import Compiled, has_compiler

pytestmark = [
    pytest.mark.integration,  # it compiles
    pytest.mark.skipif(not has_compiler(), reason="needs g++"),
]

MESHES = {
    "room of 20k": lambda: meshes.room(20_000, 1),
    "room of 50k": lambda: meshes.room(50_000, 2),
    "room of 150k": lambda: meshes.room(150_000, 3),
    "noisy sheet": lambda: meshes.sheet(200, 180, 0.003),
    "flat sheet": lambda: meshes.sheet(150, 170, 0.0),
    "quantised sheet": lambda: meshes.sheet(180, 150, 0.004, 0.01),
    "damaged room of 30k": lambda: meshes.damaged(30_000, 4),
    "damaged room of 60k": lambda: meshes.damaged(60_000, 5),
    "sheet of 640k": lambda: meshes.sheet(800, 800, 0.002),
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return Compiled(tmp_path_factory.mktemp("peer"))


@pytest.mark.parametrize("name", MESHES)
def test_partition_is_the_compiled_one(compiled, name):
    xyz, face = MESHES[name]()
    for min_vertices in (20, 60):
        superpoint = segment_mesh(xyz, face, 0.01, min_vertices)
        root, _ = compiled.segment(xyz, face, 0.01, min_vertices)
        assert adjusted_rand_score(root, superpoint) == 1.0
        assert len(np.unique(root)) == superpoint.max() + 1 > 3


@pytest.mark.parametrize("values", [1, 2, 30, 10**6])
@pytest.mark.parametrize("count", [10, 16, 17, 1000, 100_000])
def test_order_of_ties_is_that_of_std_sort(compiled, values, count):
    rng = np.random.default_rng(count)
    key = rng.integers(0, values, count).astype(np.float32)
    assert (introsort.argsort(key) == compiled.sort_order(key)).all()
    key[rng.random(count) < 0.1] = np.nan
    assert (introsort.argsort(key) == compiled.sort_order(key)).all()


def test_order_of_sawteeth_deep_enough_for_heap_sort(compiled):
    half = np.arange(50_000, dtype=np.float32)
    key = np.stack([half, half[::-1] + 0.5]).T.ravel()  # interleaved rising and falling: bad medians of three
    for tied in (key, key // 100):
        assert (introsort.argsort(tied) == compiled.sort_order(tied)).all()
