"""Files of numbers as exporters write them."""

import numpy as np
import pytest

from anyscene.datasets.imports.text_files import intrinsics_of, numbers_of, table
from anyscene.errors import DataError


def test_numbers_are_read_in_their_order(tmp_path):
    (tmp_path / "a.txt").write_text("# of a camera\n1 2.5\n\n-3e2, 4\n")
    assert numbers_of(tmp_path / "a.txt").tolist() == [1, 2.5, -300, 4]
    assert table(tmp_path / "a.txt", 2).tolist() == [[1, 2.5], [-300, 4]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 2\nthree 4\n", r"not a file of numbers \(.*'three'\); export it again"),
        ("1 2\n0,5 1,5\n", "0,5 has a comma for its point; write points"),
        (None, "missing; export it again"),
    ],
)
def test_what_is_no_file_of_numbers_is_named(tmp_path, text, said):
    if text is not None:
        (tmp_path / "a.txt").write_text(text)
    with pytest.raises(DataError, match=rf"a\.txt: {said}"):
        numbers_of(tmp_path / "a.txt")


def test_a_line_that_is_too_short_is_named(tmp_path):
    (tmp_path / "a.txt").write_text("1 2 3\n4 5\n")
    with pytest.raises(DataError, match=r"a\.txt: a line has not 3 numbers \(2 values: 4 5\); export it"):
        table(tmp_path / "a.txt", 3)


MATRIX = np.array([[600.0, 0, 320], [0, 610, 240], [0, 0, 1]])


@pytest.mark.parametrize(
    "numbers", [[600, 610, 320, 240], MATRIX, np.block([[MATRIX, np.zeros((3, 1))], [0, 0, 0, 1]])]
)
def test_intrinsics_of_four_numbers_or_of_a_matrix(tmp_path, numbers):
    np.savetxt(tmp_path / "a.txt", numbers)
    assert np.array_equal(intrinsics_of(tmp_path / "a.txt"), MATRIX)


@pytest.mark.parametrize("count", [0, 3, 5, 8, 10, 12, 17])
def test_intrinsics_of_other_numbers_are_refused(tmp_path, count):
    (tmp_path / "a.txt").write_text("1 " * count)
    with pytest.raises(
        DataError, match=rf"a\.txt: {count} numbers; write fx, fy, cx, cy, or a matrix of 3x3"
    ):
        intrinsics_of(tmp_path / "a.txt")
