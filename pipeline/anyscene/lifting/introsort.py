"""An argsort that leaves ties exactly as C++'s `std::sort` leaves them.

ScanNet's superpoints come from edges that an unstable sort puts in order, and many edges of a mesh have equal
weights: every inner edge occurs twice, and on a flat wall all weights are zero. So the partition depends on
what that sort does with ties. In GNU libstdc++ it is Musser's introsort (Software: Practice and Experience
27, 1997): quicksort with a median of three and Hoare's partition, heap sort for parts more than 2 log2(n)
levels deep, and at the end one insertion sort over everything for the runs of at most 16 elements that
quicksort leaves. The same comparisons give the same order of ties.

Hoare's partition swaps the k-th element from the left that belongs right with the k-th from the right that
belongs left. `_partition` collects both lists a block at a time without branches (Edelkamp and Weiss,
BlockQuicksort, ESA 2016). It makes the same swaps without the mispredicted branches, which take half the time
of the plain loop.

Keys are compared as floating-point numbers: with a NaN, `<` is false both ways, as in C++.
"""

from typing import Any

import numba
import numpy as np

from anyscene.arrays import I4, I8, Floats

RUN = 16  # the longest part that is left to the insertion sort
BLOCK = 64  # elements that the branch-free partition looks at in one step


def argsort(key: Floats) -> I4:
    """i4[E]: the order that sorts `key` f4|f8[E] ascending, with ties as GNU's `std::sort` orders them."""
    order = np.arange(len(key), dtype=np.int32)
    sort(np.array(key, copy=True), order)
    return order


@numba.njit(cache=True, nogil=True)
def sort(key: Floats, order: I4) -> None:
    """Sort `key` [E] in place and move `order` [E] along with it."""
    levels = 0
    while len(key) >> (levels + 1):
        levels += 1
    levels *= 2
    left, right = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    waiting = np.empty((levels + 1, 3), np.int64)  # the parts that remain to be sorted: start, stop, levels
    depth, start, stop = 0, 0, len(key)
    while True:
        while stop - start > RUN:
            if levels == 0:
                heap_sort(key, order, start, stop)
                break
            levels -= 1
            _median_to_front(key, order, start, stop)
            cut = _partition(key, order, start, stop, left, right)
            waiting[depth] = cut, stop, levels
            depth += 1
            stop = cut
        if depth == 0:
            break
        depth -= 1
        start, stop, levels = waiting[depth]
    _insertion_sort(key, order)


@numba.njit(cache=True, nogil=True, inline="always")
def _swap(key: Floats, order: I4, i: int, j: int) -> None:
    key[i], key[j] = key[j], key[i]
    order[i], order[j] = order[j], order[i]


@numba.njit(cache=True, nogil=True)
def _median_to_front(key: Floats, order: I4, start: int, stop: int) -> None:
    """Swap the median of the second, the middle and the last element of a part into its first place."""
    a, b, c = start + 1, start + (stop - start) // 2, stop - 1
    if key[a] < key[b]:
        if key[b] < key[c]:
            median = b
        else:
            median = c if key[a] < key[c] else a
    elif key[a] < key[c]:
        median = a
    else:
        median = c if key[b] < key[c] else b
    _swap(key, order, start, median)


@numba.njit(cache=True, nogil=True)
def _partition(key: Floats, order: I4, start: int, stop: int, left: I8, right: I8) -> int:
    """Partition [start + 1, stop) about the pivot at `start`, as Hoare does; returns the first place of the
    right part.

    The pivot is a median of three, so that each scan meets an element to stop at, even among NaNs.
    """
    pivot = key[start]
    i, j = start + 1, stop  # what is left of i, or from j on, is in its part
    lefts = rights = next_left = next_right = 0  # places to swap, from i and j; how many are used
    while j - i > 2 * BLOCK:
        if next_left == lefts:
            lefts = next_left = 0
            for n in range(BLOCK):
                left[lefts] = n
                lefts += not key[i + n] < pivot
        if next_right == rights:
            rights = next_right = 0
            for n in range(BLOCK):
                right[rights] = n + 1
                rights += not pivot < key[j - 1 - n]
        swaps = min(lefts - next_left, rights - next_right)
        for n in range(swaps):
            _swap(key, order, i + left[next_left + n], j - right[next_right + n])
        next_left += swaps
        next_right += swaps
        if next_left == lefts:
            i += BLOCK
        if next_right == rights:
            j -= BLOCK
    if next_left < lefts:
        i += left[next_left]
    if next_right < rights:
        j -= right[next_right] - 1
    while True:
        while key[i] < pivot:
            i += 1
        j -= 1
        while pivot < key[j]:
            j -= 1
        if i >= j:
            return i
        _swap(key, order, i, j)
        i += 1


@numba.njit(cache=True, nogil=True)
def _sift(
    key: Floats, order: I4, start: int, hole: int, count: int, value: np.floating[Any], place: np.int32
) -> None:
    """Move the `hole` of the heap of `count` elements at `start` down to a leaf, and `value` up from
    there."""
    top = hole
    while 2 * hole + 2 < count:
        child = 2 * hole + 2
        if key[start + child] < key[start + child - 1]:
            child -= 1
        key[start + hole], order[start + hole] = key[start + child], order[start + child]
        hole = child
    if 2 * hole + 2 == count:
        child = 2 * hole + 1
        key[start + hole], order[start + hole] = key[start + child], order[start + child]
        hole = child
    while hole > top and key[start + (hole - 1) // 2] < value:
        parent = (hole - 1) // 2
        key[start + hole], order[start + hole] = key[start + parent], order[start + parent]
        hole = parent
    key[start + hole], order[start + hole] = value, place


@numba.njit(cache=True, nogil=True)
def heap_sort(key: Floats, order: I4, start: int, stop: int) -> None:
    """Sort the part [start, stop) of `key` [E] in place and move `order` [E] along with it."""
    count = stop - start
    for hole in range((count - 2) // 2, -1, -1):
        _sift(key, order, start, hole, count, key[start + hole], order[start + hole])
    for last in range(stop - 1, start, -1):
        value, place = key[last], order[last]
        key[last], order[last] = key[start], order[start]
        _sift(key, order, start, 0, last - start, value, place)


@numba.njit(cache=True, nogil=True)
def _insertion_sort(key: Floats, order: I4) -> None:
    for i in range(1, len(key)):
        value, place = key[i], order[i]
        j = i
        if i < RUN and value < key[0]:
            while j > 0:  # a new least element goes to the front at once, past any NaN
                key[j], order[j] = key[j - 1], order[j - 1]
                j -= 1
        else:
            while value < key[j - 1]:  # this ends, since no later element is less than all before it
                key[j], order[j] = key[j - 1], order[j - 1]
                j -= 1
        key[j], order[j] = value, place
