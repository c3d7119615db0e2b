"""One thin command per stage: read the parameters, call the library, write the artefacts."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable

import typer
from rich.console import Console

from anyscene.errors import PipelineError
from anyscene.project import timing

STARTED = time.monotonic()  # before the imports of a stage: torch alone takes seconds


def command(main: Callable[..., object]) -> typer.Typer:
    """`main` as a command line: its docstring is the help, a PipelineError is a message and exit code 1.
    Where DVC runs it as a stage it is timed, with what `main` returns as a note.

    app = command(main)

    if __name__ == "__main__":
        app()
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(reporting(main))
    return app


def reporting(main: Callable[..., None]) -> Callable[..., None]:
    """`main`, where a PipelineError is a message and exit code 1."""

    @functools.wraps(main)
    def reported(*arguments: object, **options: object) -> None:
        try:
            with timing.recorded(os.environ.get("DVC_STAGE"), STARTED) as note:
                note(main(*arguments, **options))
        except PipelineError as error:
            Console(stderr=True, soft_wrap=True).print(str(error), style="red", markup=False, highlight=False)
            sys.exit(1)

    return reported
