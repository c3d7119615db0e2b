"""What was read last is kept, up to so many bytes."""

import threading

import numpy as np

from anyscene.learning.engine.recent import Recent, bytes_of
from anyscene.networks import Cloud


def counted(read, size=8):
    """A function that notes the key and returns so many bytes."""

    def one(key):
        read.append(key)
        return np.full(size, ord(key), np.uint8)

    return one


def ask(recent, read, keys):
    return [recent.get(key, lambda key=key: read(key))[0] for key in keys]


def test_what_fits_is_read_once_and_what_was_asked_longest_ago_goes():
    read = []
    recent = Recent(16)
    assert ask(recent, counted(read), "abab") == [*b"abab"] and read == ["a", "b"]
    assert ask(recent, counted(read), "acb") == [*b"acb"] and read == ["a", "b", "c", "b"]


def test_what_is_too_large_is_not_kept_and_removes_nothing():
    read = []
    recent = Recent(16)
    ask(recent, counted(read), "ab")
    assert ask(recent, counted(read, 17), "xx") == [*b"xx"] and read == ["a", "b", "x", "x"]
    ask(recent, counted(read), "ab")
    assert read == ["a", "b", "x", "x"]


def test_an_error_is_raised_and_nothing_kept():
    read = []
    recent = Recent(16)
    for _ in range(2):
        try:
            recent.get("a", lambda: read.append("a") or 1 / 0)
        except ZeroDivisionError:
            pass
    assert read == ["a", "a"]


def test_threads_read_different_values_at_the_same_time():
    recent, both = Recent(16), threading.Barrier(2, timeout=20)

    def read(key):
        both.wait()  # passes where both threads are reading
        return np.full(8, key, np.uint8)

    found = {}
    threads = [
        threading.Thread(target=lambda k=k: found.update({k: recent.get(k, lambda: read(k))[0]}))
        for k in (1, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {1: 1, 2: 2}


def test_the_bytes_of_arrays_in_what_is_kept():
    xyz, rgb = np.zeros((5, 3), np.float32), np.zeros((5, 3), np.uint8)
    assert bytes_of((xyz, rgb)) == 60 + 15
    assert bytes_of(Cloud("a", xyz, rgb, np.zeros(5, np.int32))) == 60 + 15 + 20
