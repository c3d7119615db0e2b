"""Imports packages, and runs each command that a launcher hands over in a fork of itself.

python server.py LISTENER FOLDER MODULE...

LISTENER is the descriptor of the socket that launchers connect to. The server ends with its standard input,
and with it every command that runs; then it removes FOLDER.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import marshal
import os
import runpy
import selectors
import shutil
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

OWN = {"anyscene", "anyscene_demo", "benchmarks", "stages", "tests"}


@dataclass
class Running:
    """A command, in its own process, which leads a group."""

    process: int
    launcher: socket.socket

    def kill(self) -> None:
        """End it with what it started, as a signal to its launcher's group would."""
        with suppress(ProcessLookupError):
            os.killpg(self.process, signal.SIGKILL)


@dataclass(frozen=True)
class Request:
    """A command as its launcher was given it."""

    command: tuple[str, ...]  # python, -m, module, its arguments
    folder: bytes
    environment: dict[bytes, bytes]
    umask: int
    streams: tuple[int, ...]  # descriptors: input, output, errors

    @classmethod
    def receive(cls, launcher: socket.socket) -> Request:
        """What a launcher sends when it has connected."""
        length, streams, _, _ = socket.recv_fds(launcher, 8, 3)
        sent = launcher.recv(int.from_bytes(length, "little"), socket.MSG_WAITALL)
        command, folder, environment, umask = marshal.loads(sent)
        return cls(command, folder, environment, umask, tuple(streams))


def load(modules: list[str]) -> None:
    """Import them; an extra that is not installed is left to the command that asks for it. Raises
    RuntimeError where the commands would not begin as in an interpreter of their own."""
    for module in modules:
        with suppress(ImportError):
            importlib.import_module(module)
    if own := OWN & {name.partition(".")[0] for name in sys.modules}:
        raise RuntimeError(f"{own}: tests edit these")
    if len(os.listdir("/proc/self/task")) > 1:
        raise RuntimeError("a fork has none of the threads, but what they hold")
    gc.collect()
    gc.freeze()  # what is there is never looked through again, nor copied into a fork


def serve(listener: socket.socket) -> Request | None:
    """Start commands and tell launchers how they ended, until standard input ends. Returns in each fork, with
    what it has to run, and at the end, with None."""
    with selectors.DefaultSelector() as events, listener:
        events.register(sys.stdin.fileno(), selectors.EVENT_READ)
        events.register(listener, selectors.EVENT_READ)
        while True:
            key = events.select()[0][0]  # the others come again, where this one leaves them
            command: Running | None = key.data
            if key.fileobj is listener:
                if request := start(listener, events):
                    return request
            elif command is None:
                for other in list(events.get_map().values()):
                    if other.data:
                        other.data.kill()
                return None
            elif key.fileobj is command.launcher:
                command.kill()
                events.unregister(command.launcher)
            else:
                finish(command, key.fd, events)


def start(listener: socket.socket, events: selectors.BaseSelector) -> Request | None:
    """Fork for the next launcher. Returns in the fork alone."""
    launcher, _ = listener.accept()
    try:
        request = Request.receive(launcher)
    except (OSError, EOFError, ValueError, TypeError):  # it was killed before it had sent all
        launcher.close()
        return None
    process = os.fork()
    if not process:
        os.setpgid(0, 0)
        for key in [*events.get_map().values()]:
            if key.data:
                os.close(key.fd)
        launcher.close()
        return request
    with suppress(PermissionError, ProcessLookupError):
        os.setpgid(process, process)  # here, too: whichever comes first
    for stream in request.streams:
        os.close(stream)
    command = Running(process, launcher)
    with suppress(BrokenPipeError, ConnectionResetError):
        launcher.sendall(process.to_bytes(8, "little"))
    events.register(launcher, selectors.EVENT_READ, command)
    events.register(os.pidfd_open(process), selectors.EVENT_READ, command)
    return None


def finish(command: Running, descriptor: int, events: selectors.BaseSelector) -> None:
    """Tell the launcher how its command ended, whose process the descriptor stands for."""
    _, status = os.waitpid(command.process, 0)
    with suppress(BrokenPipeError, ConnectionResetError):
        command.launcher.sendall(status.to_bytes(8, "little"))
    with suppress(KeyError):  # a launcher that has ended is no longer there
        events.unregister(command.launcher)
    command.launcher.close()
    events.unregister(descriptor)
    os.close(descriptor)


def run(request: Request, path: list[str], set_here: dict[bytes, bytes]) -> None:
    """Run the command in this process, as it would begin in one of its own. path: where Python looks without
    PYTHONPATH; set_here: variables that packages set when they are imported."""
    for target, stream in enumerate(request.streams):
        os.dup2(stream, target)
        os.close(stream)
    os.chdir(request.folder)
    os.umask(request.umask)
    os.environb.clear()
    os.environb.update(set_here | request.environment)
    added = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = [os.getcwd(), *map(os.path.abspath, added), *path]
    importlib.invalidate_caches()
    _, _, module, *arguments = request.command
    sys.argv, sys.orig_argv = ["-m", *arguments], [*request.command]
    output: Any = sys.stdout
    output.reconfigure(line_buffering=os.isatty(1))
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        said = end.code
        exits.append(said & 0xFF if isinstance(said, int) else int(said is not None))
        raise
    except KeyboardInterrupt:
        exits.append(-signal.SIGINT)
        raise
    except BaseException:
        exits.append(1)
        raise


def leave() -> None:
    """End before Python takes apart all packages, which takes seconds; it has joined the threads, called what
    was registered for the end, and shown what was raised."""
    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)  # of libraries in C
    if exits[-1] < 0:
        signal.signal(-exits[-1], signal.SIG_DFL)
        os.kill(os.getpid(), -exits[-1])
    os._exit(exits[-1])


if __name__ == "__main__":
    exits = [0]  # the last is the exit code, or less than 0, as subprocess has it, the signal
    atexit.register(leave)  # the first, which is called last
    number, folder, *modules = sys.argv[1:]
    where, at_start = sys.path[1:], dict(os.environb)
    load(modules)
    if asked := serve(socket.socket(fileno=int(number))):
        run(asked, where, {name: os.environb[name] for name in os.environb.keys() - at_start.keys()})
    else:
        shutil.rmtree(folder, ignore_errors=True)
