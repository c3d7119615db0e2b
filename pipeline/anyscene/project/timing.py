"""How long the stages took. This is kept beside the artefacts and not in them, as it differs between runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from anyscene.errors import OutputError
from anyscene.project import outputs
from anyscene.project.layout import TIMES


@dataclass(frozen=True)
class Timing:
    """The last run of a stage."""

    stage: str  # as DVC names its run: "projection@dense"
    seconds: float
    finished: bool  # False where it failed
    note: str  # what it did or why it failed; "" where it said nothing
    ended: datetime  # in UTC


@contextmanager
def recorded(
    stage: str | None, since: float | None = None, folder: Path = TIMES
) -> Iterator[Callable[[object], None]]:
    """A context that keeps how long `stage` took, and yields note(text) for what it did. The time counts from
    `since` (of time.monotonic; None: now) to the end of the block. Without a stage nothing is kept."""
    start = time.monotonic() if since is None else since
    notes: list[object] = []

    def keep(finished: bool) -> None:
        if not stage:
            return
        said = ", ".join(str(note) for note in notes if note is not None)
        seconds = round(time.monotonic() - start, 2)
        record = {"stage": stage, "seconds": seconds, "finished": finished, "note": said}
        with suppress(OutputError):  # a stage must not fail because the disk has no room for a note
            outputs.write(folder / f"{quote(stage, safe='@')}.json", json.dumps(record) + "\n")

    try:
        yield notes.append
    except BaseException as error:
        notes.append(next(iter(str(error).splitlines()), type(error).__name__))
        keep(False)
        raise
    keep(True)


def read(root: Path) -> list[Timing]:
    """The runs that were kept in the project at `root`, earliest end first. Files that cannot be read are
    left out."""
    found = []
    for file in (root / TIMES).glob("*.json"):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            found.append(Timing(ended=datetime.fromtimestamp(file.stat().st_mtime, UTC), **record))
        except (OSError, ValueError, TypeError):  # half written by a run that was killed
            continue
    return sorted(found, key=lambda timing: timing.ended)
