"""A Python that has imported packages already: a command of the project starts in it in a tenth of the time.

Most of what a stage on a miniature costs is that its process imports torch, and DVC its own packages. So a
server (`server.py`), started once by a process that runs tests, imports packages of others, never the
project's own, which tests edit. `python` in `folder()` hands it the commands of the project (`launcher.py`).
Each runs in a fork of the server, with the arguments, folder, environment and streams of its caller. It has
to be the environment that tests began with, but for variables that no package reads when it is imported. Any
other command, and one in another environment, is run by the interpreter itself.

Three things are unlike a Python of one's own. The forks of one server order the texts of a set alike. A
module of the project that forgets to import a package may find it imported. At the end nothing is taken
apart, so that a file which was not closed may lack its end. Tests that are about a process, such as how it
is killed, take a Python of their own.
"""

from __future__ import annotations

import functools
import os
import shlex
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
# What commands import. DVC has a server of its own: it sets up logging, as no stage does, and needs no torch.
SERVERS = {
    "dvc": ("dvc.cli", "dvc.repo", "dvc.commands.repro"),
    "stages": (
        *("numpy", "scipy.ndimage", "scipy.optimize", "scipy.spatial", "scipy.stats", "numba", "zarr"),
        *("torch", "torch._dynamo", "transformers", "open_clip", "timm", "typer", "rich.progress", "dvclive"),
        *("diskcache", "cachetools", "ruamel.yaml", "jinja2", "plyfile", "PIL.Image"),
    ),
}
ENVIRONMENT = dict(os.environ)  # before any test sets a variable
_running: list[subprocess.Popen[bytes]] = []


@functools.cache
def folder() -> Path:
    """The folder whose `python` is ready, for the front of PATH. Its servers end with this process."""
    folder = Path(tempfile.mkdtemp(prefix="ready-python-"))
    for name, modules in SERVERS.items():
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / name))
            listener.listen()
            _running.append(
                subprocess.Popen(
                    [sys.executable, HERE / "server.py", str(listener.fileno()), folder, *modules],
                    env={key: value for key, value in ENVIRONMENT.items() if key != "PYTHONPATH"},
                    stdin=subprocess.PIPE,  # ends when this process does
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[listener.fileno()],
                    start_new_session=True,
                )
            )
    (folder / "environment").write_bytes(b"\0".join(os.fsencode(f"{k}={v}") for k, v in ENVIRONMENT.items()))
    words = [sys.executable, "-I", "-S", str(HERE / "launcher.py"), str(folder), sys.executable]
    (folder / "python").write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    (folder / "python").chmod(0o755)
    return folder
