"""What a command says where its words cannot be written as they are."""

import os
import subprocess
import sys

import pytest

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
