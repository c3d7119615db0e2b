"""The index of the images: read whole, or refused by name."""

import csv
import re

import pytest

from anyscene.errors import DataError
from anyscene.segmenters.precomputed import converters, image_index

KEY = "0123456789abcdef" * 2
ROWS = [(KEY, "a", "7", "old"), (KEY[::-1], "a, b", "8", "new"), (KEY, "synthesis/bed", "0", "new")]


@pytest.fixture
def index(tmp_path):
    image_index.write(iter(ROWS), tmp_path / "index.csv")
    return tmp_path / "index.csv"


def test_what_is_written_is_read(index):
    assert [tuple(row.values()) for row in image_index.read(index)] == ROWS
    assert image_index.noted(index, {"a": "new", "a, b": "new"}) == [
        image_index.IndexedImage(KEY[::-1], "a, b", "8")
    ]
    image_index.write([], index)
    assert image_index.read(index) == []
    index.unlink()
    assert image_index.noted(index, {"a": "old"}) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: b"", "wanted the columns key,of,image,state, found ''"),
        (lambda text: text.replace(b",state", b"").replace(b",old", b"").replace(b",new", b""), "columns"),
        (lambda text: text.replace(b",", b";"), "columns"),
        (lambda text: b"\xef\xbb\xbf" + text, "columns"),
        (lambda text: text.decode().encode("utf-16"), "decode"),
        (lambda text: text.replace(b"synthesis", b"s\xffnthesis"), "decode"),
        (lambda text: text.replace(b"synthesis", b"s" * 200_000), "field limit"),
        (lambda text: text[:-6], "line 4 is not an image"),
        (lambda text: text + b'"', "unexpected end of data"),
        (lambda text: text.replace(KEY.encode(), b"../" + KEY.encode()), "line 2 is not an image"),
        (lambda text: text.replace(b"7,", b"7,,"), "line 2 is not an image"),
    ],
    ids=["empty", "short", "semicolons", "bom", "utf-16", "byte", "long", "cut", "quote", "path", "wide"],
)
def test_a_damaged_index_is_refused_by_name(index, change, message):
    index.write_bytes(change(index.read_bytes()))
    wanted = rf"^{re.escape(str(index))}: not readable \(.*{message}.*\); run `anyscene frames`"
    with pytest.raises(DataError, match=wanted):
        image_index.noted(index, {"a": "old"})
    with pytest.raises(DataError, match=wanted):
        converters.wanted(index.parent)


def test_a_folder_is_no_index(tmp_path):
    with pytest.raises(DataError, match=r"not readable .*directory"):
        image_index.noted(tmp_path, {})


def test_an_index_that_was_not_finished_takes_no_place(index):
    def rows():
        yield ROWS[0]
        raise KeyboardInterrupt

    before = index.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        image_index.write(rows(), index)
    assert index.read_bytes() == before
    image_index.write(ROWS[:1], index)
    with index.open(newline="") as stream:
        assert list(csv.reader(stream)) == [list(image_index.COLUMNS), list(ROWS[0])]
    assert list(index.parent.iterdir()) == [index]
