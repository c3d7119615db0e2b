"""The index of .sens files."""

import io
import re
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from anyscene.datasets.scannet.sens import FRAME, HEADER, read_index
from anyscene.errors import DataError
from anyscene.scene import Camera, Frame, Part
from tests.builders.scannet import COLOR, DEPTH, intrinsics, make_frames, write_sens


@pytest.fixture
def file(tmp_path):
    write_sens(tmp_path / "a.sens", make_frames(5, lost=(1,)))
    return tmp_path / "a.sens"


def frame(index, k):
    camera = Camera(index.depth_intrinsics[:3, :3], np.eye(4), *index.depth_size)
    return Frame(str(k), index.color[k], index.depth[k], index.depth_scale, camera)


def test_every_frame_is_what_was_written(file):
    index, written = read_index(file), make_frames(5, lost=(1,))
    assert len(index) == 5 and index.color_size == COLOR and index.depth_size == DEPTH
    assert index.depth_scale == 1000.0
    assert np.array_equal(index.color_intrinsics, intrinsics(COLOR))
    assert np.array_equal(index.depth_intrinsics, intrinsics(DEPTH))
    for k, want in enumerate(written):
        assert np.array_equal(index.pose[k], want["pose"])
        with Image.open(io.BytesIO(want["color"])) as image:
            assert np.array_equal(frame(index, k).read_color(), np.asarray(image))
        depth = frame(index, k).read_depth()
        assert depth.dtype == np.float32 and np.array_equal(depth, want["depth"] / np.float32(1000))


def test_colour_may_be_png(tmp_path):
    frames, colours = (
        make_frames(2),
        np.random.default_rng(1).integers(0, 256, (2, *COLOR[::-1], 3), np.uint8),
    )
    for written, colour in zip(frames, colours, strict=True):
        stream = io.BytesIO()
        Image.fromarray(colour).save(stream, "PNG")
        written["color"] = stream.getvalue()
    write_sens(tmp_path / "a.sens", frames, codecs=(1, 1))
    index = read_index(tmp_path / "a.sens")
    assert all(np.array_equal(frame(index, k).read_color(), colours[k]) for k in range(2))


def test_depth_is_resized_by_nearest_sample(file):
    depth = frame(read_index(file), 0).read_depth((16, 12))
    assert depth.shape == (12, 16) and set(np.unique(depth)) <= set(
        frame(read_index(file), 0).read_depth().flat
    )


def test_a_frame_needs_none_of_those_before_it(file):
    index = read_index(file)
    want = frame(index, 3).read_color(), frame(index, 3).read_depth()
    data = bytearray(file.read_bytes())
    for part in (*index.color[:3], *index.depth[:3]):
        data[part.offset : part.offset + part.size] = bytes(part.size)
    file.write_bytes(data)
    again = read_index(file)
    with pytest.raises(DataError, match="not a readable image"):
        frame(again, 2).read_color()
    assert np.array_equal(frame(again, 3).read_color(), want[0])
    assert np.array_equal(frame(again, 3).read_depth(), want[1])


def test_four_gigabytes_need_few_megabytes(tmp_path):
    path, payload, count = tmp_path / "large.sens", 2**22, 1024
    color, depth = make_frames(1)[0]["color"], zlib.compress(bytes(2 * DEPTH[0] * DEPTH[1]))
    write_sens(path, [])
    with path.open("r+b") as stream:  # sparse: frames of four megabytes, whose last bytes are holes
        stream.seek(4 + 8 + 15 + HEADER.itemsize - 8)
        stream.write(struct.pack("<Q", count))
        for _ in range(count):
            stream.write(struct.pack("<16f", *np.eye(4).ravel()))
            stream.write(struct.pack("<QQQQ", 0, 0, payload, len(depth)) + color)
            stream.seek(payload - len(color), 1)
            stream.write(depth)
        stream.write(struct.pack("<Q", 0))
    assert path.stat().st_size > 4 * 2**30
    tracemalloc.start()
    try:
        last = frame(read_index(path), count - 1)
        assert last.read_color().shape == (COLOR[1], COLOR[0], 3) and last.read_depth().shape == DEPTH[::-1]
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 3}, r"a\.sens: \.sens version 3, only 4 is read; download it"),
        ({"codecs": (0, 1)}, r"a\.sens: colour codec 0 \(raw\); write jpeg or png"),
        ({"codecs": (2, 0)}, r"a\.sens: depth codec 0 \(raw_ushort\); write zlib_ushort"),
        ({"codecs": (2, 2)}, r"a\.sens: depth codec 2 \(occi_ushort\); write zlib_ushort"),
        ({"codecs": (2, 9)}, r"a\.sens: depth codec 9 \(unknown\)"),
        ({"shift": 0.0}, r"a\.sens: depth shift 0 must be positive"),
        ({"shift": np.nan}, r"a\.sens: depth shift nan must be positive"),
    ],
)
def test_other_formats_are_refused(tmp_path, changes, message):
    write_sens(tmp_path / "a.sens", make_frames(1), **changes)
    with pytest.raises(DataError, match=message):
        read_index(tmp_path / "a.sens")


def test_a_file_cut_anywhere_is_truncated(file):
    index = read_index(file)
    whole = file.read_bytes()
    end = index.depth[-1].offset + index.depth[-1].size
    inside = index.color[2].offset
    for length in (0, 8, 20, 100, inside - FRAME.itemsize - 1, inside - 1, inside + 5, end - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"a\.sens: truncated, .*; download it again"):
            read_index(file)
    file.write_bytes(whole[: inside + 5])
    with pytest.raises(DataError, match="it ends within frame 2 of 5"):
        read_index(file)
    file.write_bytes(whole[:end])  # what measures motion is not read
    assert len(read_index(file)) == 5


def test_what_is_no_stream_at_all(tmp_path):
    (tmp_path / "a.sens").write_bytes(struct.pack("<IQ", 4, 2**40) + bytes(2000))
    with pytest.raises(DataError, match=r"not a \.sens file \(sensor name of 1099511627776 bytes\)"):
        read_index(tmp_path / "a.sens")
    with pytest.raises(DataError, match=r"missing; download it, or put extracted frames beside it"):
        read_index(tmp_path / "b.sens")


def test_more_frames_than_fit_are_refused_before_room_is_made_for_them(file):
    data = bytearray(file.read_bytes())
    at = 4 + 8 + 15 + HEADER.itemsize - 8
    data[at : at + 8] = struct.pack("<Q", 2**60)
    file.write_bytes(data)
    with pytest.raises(DataError, match="frames do not fit into"):
        read_index(file)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"no zlib at all", "incorrect header check"),
        (zlib.compress(bytes(100)), "100 bytes or more for .* pixels of 2"),
        (zlib.compress(bytes(2**24)), "bytes or more for .* pixels of 2"),
        (zlib.compress(bytes(1536))[:-6], "bytes or more for .* pixels of 2"),
    ],
)
def test_damaged_depth_is_named_when_its_pixels_are_read(tmp_path, payload, why):
    (tmp_path / "a.sens").write_bytes(b"12345" + payload)
    part = Part(tmp_path / "a.sens", 5, len(payload), zlib_ushort=DEPTH)
    damaged = Frame("0", part, part, 1000.0, Camera(intrinsics(DEPTH)[:3, :3], np.eye(4), *DEPTH))
    message = rf"a\.sens: bytes 5 to {5 + len(payload)}: not a readable depth image \(.*{why}\); download"
    with pytest.raises(DataError, match=message):
        damaged.read_depth()


def test_parts_survive_the_store(file, tmp_path):
    written = frame(read_index(file), 2)
    again = Frame.from_attributes(written.to_attributes(tmp_path), tmp_path)
    assert again.color == written.color and again.depth == written.depth
    assert re.search("a.sens", str(written.to_attributes(tmp_path))) and str(tmp_path) not in str(
        written.to_attributes(tmp_path)
    )
