"""Hands a command to a ready Python, and ends as it does.

python launcher.py FOLDER PYTHON ARGUMENT...

FOLDER is that of `ready_python.folder`, PYTHON the interpreter that runs what no ready one can. It starts
before each command: so it imports little.
"""

from __future__ import annotations

import marshal
import os
import signal
import socket
import sys
from contextlib import suppress

SERVERS = {"dvc": "dvc", "stages": "stages", "anyscene": "stages", "benchmarks": "stages"}  # by package
# No package reads these when it is imported: those of shells, of DVC, of pytest, and those that torch,
# open_clip and scikit-learn set when the process that runs tests imports them.
FREE = {
    *(b"PATH", b"PYTHONPATH", b"PWD", b"OLDPWD", b"SHLVL", b"_"),
    *(b"TORCHINDUCTOR_CACHE_DIR", b"TOKENIZERS_PARALLELISM", b"KMP_DUPLICATE_LIB_OK", b"KMP_INIT_AT_FORK"),
}
FREE_PREFIXES = (b"DVC", b"PYTEST_")
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def main(folder: str, python: str, *arguments: str) -> None:
    """Run the command of `arguments`, as `python` takes them; does not return."""
    status = None
    if server := server_of(folder, arguments):
        status = run_by(server, (python, *arguments))
    if status is None:
        os.execv(python, [python, *arguments])
    if os.WIFSIGNALED(status):
        with suppress(OSError):  # of what cannot be handled
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


def server_of(folder: str, arguments: tuple[str, ...]) -> str | None:
    """The socket of the server that can run `python ARGUMENTS` as an interpreter of its own would."""
    if len(arguments) < 2 or arguments[0] != "-m":
        return None
    name = SERVERS.get(arguments[1].partition(".")[0])
    with open(os.path.join(folder, "environment"), "rb") as file:
        there = dict(line.split(b"=", 1) for line in file.read().split(b"\0"))
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    at_start = any(os.path.exists(os.path.join(entry, "sitecustomize.py")) for entry in path)
    same = told(there) == told(dict(os.environb))
    return os.path.join(folder, name) if name and same and not at_start else None


def told(environment: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """What packages may read of an environment when they are imported."""
    return {
        name: value
        for name, value in environment.items()
        if name not in FREE and not name.startswith(FREE_PREFIXES)
    }


def run_by(server: str, command: tuple[str, ...]) -> int | None:
    """The exit status of the command, as `os.waitpid` has it; None where the server does not run it."""
    umask = os.umask(0o077)
    os.umask(umask)
    request = marshal.dumps((command, os.getcwdb(), dict(os.environb), umask))
    with socket.socket(socket.AF_UNIX) as connection:
        signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)  # till there is one to forward them to
        try:
            connection.connect(server)
            socket.send_fds(connection, [len(request).to_bytes(8, "little")], [0, 1, 2])
            connection.sendall(request)
            child = int.from_bytes(connection.recv(8), "little")
        except OSError:  # the server has ended, or a stream is closed
            child = 0
        if child:
            for number in FORWARDED:
                signal.signal(number, lambda number, frame: os.kill(child, number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
        if not child:
            return None
        ended = connection.recv(8)
        return int.from_bytes(ended, "little") if ended else int(signal.SIGKILL)  # with the server


if __name__ == "__main__":
    main(*sys.argv[1:])
