"""How long the stages took: kept beside the artefacts, never in one, for it differs from run to run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from anyscene.project.layout import TIMES


@dataclass(frozen=True)
class Timing:
    """The last run of a stage, named as DVC names it ("projection@dense"). note: what it did or why it
    failed, "" where it said nothing; ended: when, in UTC."""

    stage: str
    seconds: float
    finished: bool
    note: str
    ended: datetime


@contextmanager
def recorded(
    stage: str | None, since: float | None = None, folder: Path = TIMES
) -> Iterator[Callable[[object], None]]:
    """Keep how long `stage` took, from `since` (of time.monotonic; default: now) to the end of the block, and
    what the block notes: gives note(text). Without a stage nothing is kept."""
    start = time.monotonic() if since is None else since
    notes: list[object] = []

    def keep(finished: bool) -> None:
        if not stage:
            return
        said = ", ".join(str(note) for note in notes if note is not None)
        seconds = round(time.monotonic() - start, 2)
        record = {"stage": stage, "seconds": seconds, "finished": finished, "note": said}
        with suppress(OSError):  # a full disk is no reason to fail for what was only a note
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{quote(stage, safe='@')}.json").write_text(json.dumps(record) + "\n")

    try:
        yield notes.append
    except BaseException as error:
        notes.append(next(iter(str(error).splitlines()), type(error).__name__))
        keep(False)
        raise
    keep(True)


def read(root: Path) -> list[Timing]:
    """What was kept in the project at `root`, earliest end first; what cannot be read is left out."""
    found = []
    for file in (root / TIMES).glob("*.json"):
        try:
            record = json.loads(file.read_text())
            found.append(Timing(ended=datetime.fromtimestamp(file.stat().st_mtime, UTC), **record))
        except (OSError, ValueError, TypeError):  # half written by a run that was killed
            continue
    return sorted(found, key=lambda timing: timing.ended)
