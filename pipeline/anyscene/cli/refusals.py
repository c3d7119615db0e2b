"""Errors that a person can do something about, each as one message."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import multiprocessing
import signal
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from anyscene.errors import CutText, PipelineError, blamed
from anyscene.project import extras

STOPPED = 130  # the exit code of what Ctrl-C ends, as shells have it
FULL = (errno.ENOSPC, errno.EDQUOT)  # of a disk: never a fault of the code

if multiprocessing.current_process().name != "MainProcess":  # its parent is not known yet
    # Ctrl-C reaches workers too. They finish the scene at hand, which is kept, and their parent ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def refusals(name: str) -> Iterator[None]:
    """Turn a PipelineError into a message on stderr and exit code 1, and so too a missing package whose extra
    is not installed. Ctrl-C is a message and exit code 130. Any other error is a fault of the code, and is
    raised.

    name: the command as one types it. What the encoding of stdout or stderr lacks, and the bytes of a name
    that is no text, are written in escapes.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _said_in_a_line():
            yield
    except KeyboardInterrupt as stop:
        # zarr's event loop would tell of what it was about to read
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        _print(str(stop) or "stopped", "yellow")
        sys.exit(STOPPED)
    except PipelineError as error:
        said = str(error)
    except ModuleNotFoundError as error:
        if (needed := extras.remedy(error)) is None:
            raise
        said = f"{name} {needed}"
    except OSError as error:
        if error.errno in FULL:
            said = f"{error.filename or name}: cannot be written ({error.strerror}); make room and run again"
        elif (told := blamed(error)) is not None:
            said = told
        else:
            raise
    else:
        return
    _print(said, "red")
    sys.exit(1)


@contextlib.contextmanager
def _said_in_a_line() -> Iterator[None]:
    """Print what a person should know of a text as a line, without the code that noticed it."""
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, CutText):
                _print(str(message), "yellow")
            else:
                shown(message, category, *where, **more)

        warnings.showwarning = show
        yield


def _print(said: str, style: str) -> None:
    from rich.console import Console  # a help text does without it

    Console(stderr=True, soft_wrap=True).print(said, style=style, markup=False, highlight=False)
