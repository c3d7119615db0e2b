"""Arrays in .npy files: what numpy reads is read to the bit, what is damaged raises ValueError."""

import io
import tracemalloc

import numpy as np
import pytest

from anyscene.project import array_files

ARRAYS = (
    np.arange(6, dtype=np.int16),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.array(7, ">u4"),
    np.zeros((0, 3), np.float32),
    np.array(["a", "bc"]),
)


def written(array, **options):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **options)
    return stream.getvalue()


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_what_numpy_reads(tmp_path, array, version):
    (tmp_path / "a.npy").write_bytes(written(array, version=version) + b"more")
    found = array_files.read(tmp_path / "a.npy")
    assert found.dtype == array.dtype and found.shape == array.shape and np.array_equal(found, array)
    assert found.flags.writeable
    if array.size:
        there = array_files.mapped(tmp_path / "a.npy")
        assert there.dtype == array.dtype and np.array_equal(there, array)
        there[...] = 0  # in memory alone
        assert np.array_equal(array_files.read(tmp_path / "a.npy"), array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no header of an array"),
        (b"PK\x03\x04", "no header of an array"),
        (written(ARRAYS[0])[:40], "no header of an array"),
        (written(ARRAYS[0]).replace(b"(6,)", b"(((("), "no header"),  # which numpy's parser cannot end
        (written(ARRAYS[0]).replace(b"(6,)", b"-6, "), "no header"),
        (written(ARRAYS[0]).replace(b"(6,), ", b"(-6,),"), r"its shape is \(-6,\)"),
        (written(ARRAYS[0])[:-1], "cut short: 11 of its 12 bytes are there"),
        (written(np.array([{}]), allow_pickle=True), "holds object, not numbers"),
        (written(np.zeros(2, [("a", "i4")])), "not numbers"),
    ],
)
def test_what_is_damaged(tmp_path, content, message):
    (tmp_path / "a.npy").write_bytes(content)
    for read in (array_files.read, array_files.mapped):
        with pytest.raises(ValueError, match=message):
            read(tmp_path / "a.npy")


def test_memory_is_taken_for_what_is_there_alone():
    lying = written(np.zeros(6, np.int8)).replace(b"(6,), }" + b" " * 8, b"(400000000,), }")
    tracemalloc.start()
    with pytest.raises(ValueError, match="cut short: 6 of its 400,000,000"):
        array_files.read(io.BytesIO(lying))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
