"""What a person can do something about is one line, whatever a terminal can show."""

from __future__ import annotations

import errno
import io
import logging
import os
import subprocess
import sys
import warnings

import pytest

from anyscene.cli.refusals import refusals
from anyscene.errors import CutText, DataError

pytestmark = pytest.mark.integration


def refused(error, capsys):
    with pytest.raises(SystemExit) as ended, refusals("anyscene query"):
        raise error
    assert ended.value.code == 1
    return capsys.readouterr().err


def test_ctrl_c_is_a_line(capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger("asyncio"), "level", logging.WARNING)  # as it is when this ends
    for stop, said in (
        (KeyboardInterrupt(), "stopped\n"),
        (KeyboardInterrupt("stopped; [x]"), "stopped; [x]\n"),
    ):
        with pytest.raises(SystemExit) as ended, refusals("anyscene query"):
            raise stop
        assert ended.value.code == 130 and capsys.readouterr().err == said
    assert not logging.getLogger("asyncio").isEnabledFor(
        logging.ERROR
    )  # which tells of what zarr was reading


def test_an_error_is_a_line(capsys):
    assert refused(DataError("a.ply: [bold] is empty"), capsys) == "a.ply: [bold] is empty\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_no_fault_of_the_code(number, capsys):
    said = refused(OSError(number, "No space left on device", "/tmp/x"), capsys)
    assert said == "/tmp/x: cannot be written (No space left on device); make room and run again\n"
    assert refused(OSError(number, "full"), capsys).startswith("anyscene query: cannot be written (full)")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENAMETOOLONG, "a name of more than 255 bytes, which no file system takes; give a shorter one"),
        (errno.EACCES, "nothing there may be read or written; ask whose it is, or give another path"),
        (errno.EPERM, "nothing there may be read or written; ask whose it is, or give another path"),
        (errno.EROFS, "nothing can be written there; give another path"),
        (errno.ELOOP, "its links lead in a circle; mend them, or give another path"),
    ],
)
def test_a_path_that_cannot_be_is_no_fault_of_the_code(number, said, capsys):
    assert refused(OSError(number, "why", "/a/b"), capsys) == f"/a/b: {said} (why)\n"
    assert refused(OSError(number, "why", "n" * 4000), capsys).startswith(f"{'n' * 120}...: {said}")
    with pytest.raises(OSError), refusals("anyscene query"):
        raise OSError(number, "of no path")


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "no such file", "a"), ValueError("a")])
def test_a_fault_of_the_code_is_raised(error):
    with pytest.raises(type(error)), refusals("anyscene query"):
        raise error


def test_what_an_encoder_leaves_out_is_a_line_and_other_warnings_are_as_ever(capsys, recwarn):
    with refusals("anyscene query"):
        warnings.warn("its last 3 characters are left out", CutText, stacklevel=1)
        warnings.warn("something else", UserWarning, stacklevel=1)
    said = capsys.readouterr().err
    assert "its last 3 characters are left out\n" in said and "CutText" not in said
    assert [str(one.message) for one in recwarn] == ["something else"] or "something else" in said


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_name_of_bytes_that_are_no_text_is_printed(monkeypatch, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding, errors="strict")
    monkeypatch.setattr(sys, "stdout", stream)
    with refusals("anyscene query"):
        print("heat map: ro\udcffm.ply, m²")
    stream.flush()
    squared = "m²" if encoding == "utf-8" else r"m\xb2"
    assert stream.buffer.getvalue().decode(encoding) == f"heat map: ro\\udcffm.ply, {squared}\n"


SAID = "ein grünes Bett 床, 3 m²"
CODE = """
import sys
from anyscene.cli.command import command
from anyscene.errors import DataError

def main(fails: bool = False) -> None:
    if fails:
        raise DataError(sys.stdin.buffer.read().decode())
    print(sys.stdin.buffer.read().decode())

command(main, "said")()
"""


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("utf-8", SAID.encode()),
        ("latin-1", "ein grünes Bett \\u5e8a, 3 m²".encode("latin-1")),
        ("ascii", rb"ein gr\xfcnes Bett \u5e8a, 3 m\xb2"),
    ],
)
@pytest.mark.parametrize("fails", [False, True])
def test_what_an_encoding_lacks_is_escaped(encoding, written, fails):
    done = subprocess.run(
        [sys.executable, "-c", CODE, *(["--fails"] if fails else [])],
        input=SAID.encode(),
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding},
    )
    assert (done.returncode, (done.stderr if fails else done.stdout).strip()) == (int(fails), written)


@pytest.mark.parametrize(
    "command", ["query {} lamp", "predict {} --out room.ply", "view {}", "export {} --out a"]
)
def test_a_path_that_leads_nowhere_is_refused_before_heavy_packages_are_imported(command, tmp_path):
    code = f"""
import sys
from anyscene.cli.main import app
try:
    app({command.format("nowhere.ply").split()})
finally:
    print(sorted({{"torch", "scipy", "numba", "trimesh", "open_clip"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == "[]\n"
