"""A function as a command line."""

from __future__ import annotations

import functools
import inspect
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from anyscene.cli.refusals import refusals
from anyscene.errors import PipelineError
from anyscene.project import freshness, layout, parameters, timing
from anyscene.project.stages import Stage

Show = Annotated[bool, typer.Option("--show", help="print what the last run has written, compute nothing")]
STARTED = time.monotonic()  # before the imports of a stage: torch alone takes seconds


def command(main: Callable[..., object], name: str | None = None) -> typer.Typer:
    """`main` as a command line: its docstring is the help; `refusals` are messages and exit code 1.

    app = command(main)

    if __name__ == "__main__":
        app()
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(reporting(main, name))
    return app


def stage_command(
    stage: Stage, run: Callable[..., object], show: Callable[..., None] | None = None
) -> typer.Typer:
    """The command of a stage: reads the parameters, looks up what the stage is made by, and runs it.

    run takes the item where the stage has one, by the name of its first argument, then `params` and `fresh`;
    what else it takes are options. What it returns is a note beside how long the stage took.
    show: prints what the last run has written, which is all that `--show` does. Its arguments are options of
    `run`.
    """
    taken = list(inspect.signature(run, eval_str=True).parameters.values())
    items = [one for one in taken if stage.each is not None][:1]
    options = [one for one in taken[len(items) :] if one.name not in ("params", "fresh")]

    def main(**arguments: Any) -> object:
        if show is not None and arguments.pop("show"):
            return show(**{name: arguments[name] for name in inspect.signature(show).parameters})
        params = parameters.load(arguments.pop("params"))
        item = arguments.pop(items[0].name) if items else None
        if items and item not in stage.items(params):
            known = ", ".join(map(str, stage.items(params)))
            raise PipelineError(f"{stage.each}: no {item!r} there; there are {known}")
        fresh = freshness.of(stage, params, item)
        try:
            said = run(*([item] if items else []), params, fresh, **arguments)
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(_stopped(stage, stop)) from stop
        for folder in stage.artefacts(item):
            from anyscene.project import index  # only here: other commands need no zarr

            index.write(folder)
        return said

    file = inspect.Parameter(
        "params", inspect.Parameter.KEYWORD_ONLY, default=layout.PARAMETERS, annotation=Path
    )
    keyword = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in options]
    if show is not None:
        keyword.append(
            inspect.Parameter("show", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Show)
        )
    main.__dict__["__signature__"] = inspect.Signature([*items, *keyword, file])
    main.__annotations__ = {one.name: one.annotation for one in (*items, *keyword, file)}
    main.__doc__, main.__name__ = run.__doc__, run.__name__
    return command(main, stage.name)


def _stopped(stage: Stage, stop: KeyboardInterrupt) -> str:
    """What is said of a stage that Ctrl-C ended. The last note is of the outermost progress."""
    done = getattr(stop, "__notes__", ())
    kept = f"; {done[-1]} scenes to compute are kept" if stage.by_scene and done else ""
    return f"stopped{kept}; the same command goes on"


def reporting(main: Callable[..., object], name: str | None = None) -> Callable[..., None]:
    """`main` with its `refusals`. Where DVC runs it it is timed.

    name: what it is called by; by default as the file that it stands in.
    """
    called = f"anyscene {name or Path(inspect.getfile(main)).stem.strip('_')}"

    @functools.wraps(main)
    def reported(*arguments: object, **options: object) -> None:
        with refusals(called):
            with timing.recorded(os.environ.get("DVC_STAGE"), STARTED) as note:
                note(main(*arguments, **options))

    return reported
