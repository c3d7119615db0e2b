"""Errors that a person can act on, as one message."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from anyscene.errors import PipelineError
from anyscene.project import extras


@contextlib.contextmanager
def refusals(name: str) -> Iterator[None]:
    """A PipelineError, and a package that is missing because its extra is not installed, become a message on
    stderr and exit code 1. Any other error is one of the code, and passes.

    name: the command as one types it.
    """
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
