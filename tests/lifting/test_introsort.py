import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyscene.lifting import introsort
from tests.twins import slow_sort as slow


def twin(key):
    return slow.introsort(range(len(key)), lambda a, b: bool(key[a] < key[b]))


def worst_case(count):
    """Keys on which the median of three is always among the least: McIlroy's adversary chooses them."""
    key, fixed, candidate = [count] * count, 0, 0

    def less(a, b):
        nonlocal fixed, candidate
        if key[a] == key[b] == count:
            key[a if a == candidate else b] = fixed
            fixed += 1
        if key[a] == count:
            candidate = a
        elif key[b] == count:
            candidate = b
        return key[a] < key[b]

    slow.introsort(range(count), less)
    return np.array(key, np.float32)


@pytest.mark.integration
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 700), st.sampled_from([1, 2, 5, 40, 100000]), st.booleans(), st.integers(0, 2**32 - 1))
def test_ties_are_ordered_as_by_the_twin(count, values, not_numbers, seed):
    rng = np.random.default_rng(seed)
    key = rng.integers(0, values, count).astype(np.float32)
    if not_numbers:
        key[rng.random(count) < 0.2] = np.nan
    assert introsort.argsort(key).tolist() == twin(key)


@pytest.mark.parametrize("count", [15, 16, 17, 127, 128, 129, 130, 131, 194, 257, 1500])
@pytest.mark.parametrize("make", [np.zeros, np.arange, lambda n: -np.arange(n), lambda n: np.arange(n) % 7])
def test_sizes_at_the_limits_of_run_and_block(count, make):
    key = make(count).astype(np.float32)
    assert introsort.argsort(key).tolist() == twin(key)


def test_heap_sort_takes_over_on_the_worst_case(monkeypatch):
    key, used = worst_case(400), []
    heapsort = slow.heapsort
    monkeypatch.setattr(slow, "heapsort", lambda heap, less: used.append(len(heap)) or heapsort(heap, less))
    order = twin(key)
    assert used and introsort.argsort(key).tolist() == order


@pytest.mark.parametrize("count", [1, 2, 3, 50, 51])
@pytest.mark.parametrize("values", [1, 3, 1000])
def test_heap_sort_leaves_ties_as_the_twin_does(count, values):
    key = np.random.default_rng(count).integers(0, values, count).astype(np.float32)
    expected = slow.heapsort(list(range(count)), lambda a, b: bool(key[a] < key[b]))
    order = np.arange(count + 4, dtype=np.int32)
    padded = np.concatenate([[9, 9], key, [9, 9]]).astype(np.float32)
    introsort.heap_sort(padded, order, 2, 2 + count)
    assert order.tolist() == [0, 1, *(i + 2 for i in expected), count + 2, count + 3]


def test_key_is_not_changed_and_comes_out_ascending():
    key = np.random.default_rng(0).random(5000).astype(np.float32)
    before = key.copy()
    order = introsort.argsort(key)
    assert (key == before).all() and (np.diff(key[order]) > 0).all()


def test_no_place_outside_of_an_array_is_touched():
    """Numba does not look: without it each place is checked. In descending keys all elements of each block
    are on the wrong side."""
    code = (
        "import numpy as np; from anyscene.lifting.introsort import argsort; "
        "rng = np.random.default_rng(0); keys = [np.arange(600.0)[::-1], np.ones(600), rng.random(600)]; "
        "found = [argsort(key.astype(np.float32)) for key in keys]; "
        "assert all((np.diff(key[order]) >= 0).all() for key, order in zip(keys, found))"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, check=True)
