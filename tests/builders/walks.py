"""Which files of the project work: those with a function that runs while a stage or a tool does."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from anyscene.project import parameters
from tests.builders import REPOSITORY

FOLDERS = tuple(f"{REPOSITORY / folder}/" for folder in ("pipeline", "stages"))
DEEP = 2  # an object is given parameters also where an attribute of one of its attributes is


@dataclass
class Calls:
    """Files as docs/architecture.md names them: below the package, or else below the project."""

    ran: set[str] = field(default_factory=set)  # with a function that ran
    given: set[str] = field(default_factory=set)  # with a function that ran and was given parameters

    def note(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(FOLDERS):
            return
        if not code.co_flags & inspect.CO_OPTIMIZED:  # the body of a module or of a class
            return
        file = named(code.co_filename)
        self.ran.add(file)
        if file not in self.given:
            taken = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            values = (frame.f_locals.get(name) for name in taken)
            if any(_is_given(value) for value in values):
                self.given.add(file)


def named(path: str) -> str:
    """The name of a file in the page."""
    name = path.removeprefix(f"{REPOSITORY}/").removeprefix("pipeline/")
    return name.removeprefix("anyscene/")


@contextmanager
def followed() -> Iterator[Calls]:
    """Calls in this context, in all threads that begin in it."""
    calls = Calls()
    threading.setprofile(calls.note)
    sys.setprofile(calls.note)
    try:
        yield calls
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


def _is_given(value: object, depth: int = DEEP) -> bool:
    """Whether `value` is a section of the parameters, or holds one."""
    kind = type(value)
    if kind.__module__ == parameters.__name__:
        return True
    if depth == 0 or not kind.__module__.startswith(("anyscene", "stages")):
        return False
    return any(_is_given(one, depth - 1) for one in getattr(value, "__dict__", {}).values())
