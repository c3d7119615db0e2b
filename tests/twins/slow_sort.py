"""Readable twin of `anyscene.lifting.introsort`: plain loops over a list, any comparison."""

from collections.abc import Callable


def introsort(items: list, less: Callable[[object, object], bool]) -> list:
    """The items in the order that GNU's `std::sort` gives them."""
    items = list(items)
    quicksort(items, 0, len(items), 2 * (len(items).bit_length() - 1), less)
    for i in range(1, len(items)):
        item = items.pop(i)
        if i < 16 and less(item, items[0]):
            place = 0
        else:
            place = i
            while place > 0 and less(item, items[place - 1]):
                place -= 1
        items.insert(place, item)
    return items


def quicksort(items, start, stop, levels, less):
    if stop - start <= 16:
        return
    if levels == 0:
        items[start:stop] = heapsort(items[start:stop], less)
        return
    second, middle, last = start + 1, (start + stop) // 2, stop - 1
    pivot = median(items, second, middle, last, less)
    items[start], items[pivot] = items[pivot], items[start]
    i, j = start + 1, stop - 1
    while True:
        while less(items[i], items[start]):
            i += 1
        while less(items[start], items[j]):
            j -= 1
        if i >= j:
            break
        items[i], items[j] = items[j], items[i]
        i, j = i + 1, j - 1
    quicksort(items, i, stop, levels - 1, less)
    quicksort(items, start, i, levels - 1, less)


def median(items, a, b, c, less):
    """Place of the median of three, by the comparisons that decide which of equal items it is."""
    if less(items[a], items[b]):
        if less(items[b], items[c]):
            return b
        return c if less(items[a], items[c]) else a
    if less(items[a], items[c]):
        return a
    return c if less(items[b], items[c]) else b


def heapsort(heap, less):
    """The hole left by a removed item goes down to a leaf first, then the new item climbs from there."""

    def put(item, hole, size):
        top = hole
        while 2 * hole + 1 < size:
            child = 2 * hole + 2
            if child == size or less(heap[child], heap[child - 1]):
                child -= 1
            heap[hole], hole = heap[child], child
        while hole > top and less(heap[(hole - 1) // 2], item):
            heap[hole], hole = heap[(hole - 1) // 2], (hole - 1) // 2
        heap[hole] = item

    for hole in reversed(range(len(heap) // 2)):
        put(heap[hole], hole, len(heap))
    for size in reversed(range(1, len(heap))):
        item, heap[size] = heap[size], heap[0]
        put(item, 0, size)
    return heap
