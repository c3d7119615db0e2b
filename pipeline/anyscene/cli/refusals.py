"""Errors that a person can do something about, each as one message."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator

from anyscene.errors import PipelineError
from anyscene.project import extras


@contextlib.contextmanager
def refusals(name: str) -> Iterator[None]:
    """Turn a PipelineError into a message on stderr and exit code 1, and so too a missing package whose extra
    is not installed. Any other error is a fault of the code, and is raised.

    name: the command as one types it. What the encoding of stdout or stderr lacks is written in escapes.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    except PipelineError as error:
        said = str(error)
    except ModuleNotFoundError as error:
        if (needed := extras.remedy(error)) is None:
            raise
        said = f"{name} {needed}"
    else:
        return
    from rich.console import Console  # a help text does without it

    Console(stderr=True, soft_wrap=True).print(said, style="red", markup=False, highlight=False)
    sys.exit(1)
