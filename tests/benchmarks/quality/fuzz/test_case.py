"""What counts as a fault of what reads."""

import numpy as np
import pytest

from anyscene.errors import DataError, ScenesFailed
from benchmarks.quality.fuzz.case import run
from benchmarks.quality.fuzz.kind import Kind


def write(folder):
    (folder / "a.txt").write_text("17 " * 50)


def kind(read, **more):
    return Kind("test", write, read, **more)


def whole(folder):
    return (folder / "a.txt").is_file() and (folder / "a.txt").read_bytes() == b"17 " * 50


def answering(damaged):
    """What answers 1 of whole files, and does `damaged` of others."""
    return lambda folder: {"a": np.ones(1)} if whole(folder) else damaged(folder)


def refuse(error):
    def read(folder):
        raise error(folder)

    return read


def caused(folder):
    try:
        raise MemoryError
    except MemoryError as error:
        raise DataError(f"{folder / 'a.txt'}: damaged") from error


@pytest.mark.parametrize(
    ("damaged", "what"),
    [
        (refuse(lambda folder: DataError(f"{folder / 'a.txt'}: damaged")), "refused"),
        (refuse(lambda folder: DataError("this is no good")), "nameless"),
        (refuse(lambda folder: ScenesFailed({"a": "KeyError: 3 (reader.py:7)"}, 1)), "traceback"),
        (refuse(lambda folder: KeyError(3)), "traceback"),
        (refuse(lambda folder: MemoryError()), "memory"),
        (caused, "memory"),
        (lambda folder: {"a": np.ones(1)}, "same"),
        (lambda folder: {"a": np.zeros(1)}, "other"),
        (lambda folder: {"a": np.ones(2)}, "other"),
        (lambda folder: {"a": np.full(1, np.nan)}, "unsound"),
        (lambda folder: {"a": np.full(1, 1e30)}, "unsound"),
    ],
)
def test_outcomes(tmp_path, damaged, what):
    found = {run(kind(answering(damaged)), 0, number, tmp_path).what for number in range(12)} - {"same"}
    assert found == ({what} if what != "same" else set())


def test_another_answer_is_wrong_where_the_damage_should_be_told(tmp_path):
    read = answering(lambda folder: {"a": np.zeros(1)})
    found = [run(kind(read, told=frozenset({"cut"})), 0, number, tmp_path) for number in range(60)]
    assert {one.how.split()[0] == "cut" for one in found if one.what == "wrong"} == {True}
    assert {one.how.split()[0] == "cut" for one in found if one.what == "other"} == {False}


def test_a_traceback_is_raised_where_it_is_asked_for(tmp_path):
    with pytest.raises(KeyError):
        for number in range(12):
            run(kind(answering(refuse(lambda folder: KeyError(3)))), 0, number, tmp_path, raises=True)
