"""Which files of the project work: those with a function that runs while a stage or a tool does."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from anyscene.project import parameters
from tests.builders import REPOSITORY

FOLDERS = tuple(f"{REPOSITORY / folder}/" for folder in ("pipeline", "stages"))
DEEP = 2  # an object is given parameters also where an attribute of one of its attributes is
SHORT = 3  # letters; shorter texts, and numbers, are the same object in many places


class Calls:
    """Files as docs/architecture.md names them: below the package, or else below the project."""

    def __init__(self) -> None:
        self.ran: set[str] = set()  # with a function that ran
        self.given: set[str] = set()  # with a function that ran and was given parameters
        self._values: dict[int, object] = {}  # of parameters, by their identity

    def note(self, frame: FrameType, event: str, argument: object) -> None:
        """A function for sys.setprofile."""
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(FOLDERS):
            return
        if not code.co_flags & inspect.CO_OPTIMIZED:  # the body of a module or of a class
            return
        file = named(code.co_filename)
        self.ran.add(file)
        if file not in self.given:
            taken = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            if any(self._is_given(frame.f_locals.get(name)) for name in taken):
                self.given.add(file)

    def _is_given(self, value: object, depth: int = DEEP) -> bool:
        """Whether `value` is a section of the parameters or one of its values, or holds one."""
        if id(value) in self._values:
            return True
        kind = type(value)
        if kind.__module__ == parameters.__name__ and dataclasses.is_dataclass(kind):
            self._keep(value)
            return True
        if depth == 0 or not kind.__module__.startswith(("anyscene", "stages")):
            return False
        return any(self._is_given(one, depth - 1) for one in list(getattr(value, "__dict__", {}).values()))

    def _keep(self, section: Any) -> None:
        for field in dataclasses.fields(section):
            value = getattr(section, field.name, None)
            if (isinstance(value, tuple | dict) and value) or (isinstance(value, str) and len(value) > SHORT):
                self._values[id(value)] = value


def named(path: str) -> str:
    """The name of a file in the page."""
    return path.removeprefix(f"{REPOSITORY}/").removeprefix("pipeline/").removeprefix("anyscene/")


@contextmanager
def followed() -> Iterator[Calls]:
    """The calls in this context, in all threads that begin in it."""
    calls = Calls()
    threading.setprofile(calls.note)
    sys.setprofile(calls.note)
    try:
        yield calls
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
