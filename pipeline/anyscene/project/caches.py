"""Where what can be found again is kept. Where its usual place cannot be written, as in a container that runs
as another user, a folder below the temporary one takes its place."""

from __future__ import annotations

import functools
import hashlib
import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from anyscene.project import outputs

PACKAGES = Path(__file__).parents[2]  # the folder that this package is in


def folder(usual: Path) -> Path:
    """`usual` where it can be written, or nothing can; else a folder of its own below `temporary`."""
    if outputs.can_write(usual):
        return usual
    with suppress(OSError):
        return temporary() / f"{usual.name}-{hashlib.sha256(os.fsencode(usual.absolute())).hexdigest()[:16]}"
    return usual


def home(variable: str, usual: str) -> Path:
    """The folder that an environment variable of the XDG Base Directory Specification names; by default the
    folder `usual` in the home of the user, who may have none."""
    named = os.environ.get(variable)
    return Path(named or os.path.expanduser(f"~/{usual}"))


@functools.cache
def temporary() -> Path:
    """A folder below the temporary one that no other user can write: numba runs what lies there. Raises
    OSError where none can be made."""
    path = Path(tempfile.gettempdir()) / f"anyscene-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    state = path.lstat()
    if stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid() and not state.st_mode & 0o022:
        return path
    return Path(tempfile.mkdtemp(prefix="anyscene-"))  # another's, who may have made it to be run


def settle() -> None:
    """Tell libraries where to keep what they compile and find, where they could not write it: numba beside
    the code or in the home of the user, matplotlib in the home."""
    with suppress(OSError):  # where nothing can be written anywhere, the libraries will say so
        if "NUMBA_CACHE_DIR" not in os.environ and not _can_compile():
            os.environ["NUMBA_CACHE_DIR"] = str(temporary() / "numba")
            if "numba" in sys.modules:  # it has read its environment
                sys.modules["numba"].config.reload_config()
        if "MPLCONFIGDIR" not in os.environ and not _in_home("XDG_CONFIG_HOME", ".config"):
            os.environ["MPLCONFIGDIR"] = str(temporary() / "matplotlib")


def _in_home(variable: str, usual: str) -> bool:
    return outputs.can_write(home(variable, usual))


def _can_compile() -> bool:
    """Whether numba can keep code in the home, or beside every module."""
    if _in_home("XDG_CACHE_HOME", ".cache"):
        return True
    beside = {file.parent / "__pycache__" for file in PACKAGES.rglob("*.py")}
    return all(map(outputs.can_write, beside))
