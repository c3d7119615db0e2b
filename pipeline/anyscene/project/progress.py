"""Progress of long work: a bar with an estimate on a terminal, elsewhere a line at every tenth, and
after ten seconds without one. Elsewhere the first five seconds are silent, and so is what takes no longer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

SILENCE = 10  # seconds after which a line is due
BRIEF = 5  # seconds of work that has no line


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[..., None]]:
    """A context that yields advance(note=""), to be called when one of `total` pieces is done. The note is
    shown beside the progress. A KeyboardInterrupt that ends it gets a note, "3 of 12", of what was done."""
    done = 0
    with _shown(label, total) as show:

        def advance(note: str = "") -> None:
            nonlocal done
            done += 1
            show(note)

        try:
            yield advance
        except KeyboardInterrupt as stop:
            stop.add_note(f"{done} of {total}")
            raise


@contextmanager
def _shown(label: str, total: int) -> Iterator[Callable[[str], object]]:
    console = Console(stderr=True, highlight=False)
    if total == 0:
        yield lambda note: None
    elif console.is_terminal:
        columns = (
            *(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
            ),
            *(TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()),
        )
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(label, total=total, note="")
            yield lambda note: bar.update(task, advance=1, note=note)
    else:
        yield _lines(console, label, total)


def _lines(console: Console, label: str, total: int) -> Callable[[str], None]:
    start, done = time.monotonic(), 0
    last = start

    def advance(note: str) -> None:
        nonlocal done, last
        done += 1
        now = time.monotonic()
        due = done * 10 // total > (done - 1) * 10 // total or now - last >= SILENCE
        if due and now - start >= BRIEF:
            last, spent = now, now - start
            left = spent / done * (total - done)
            note = f"{note}, " if note else ""
            line = f"{label}: {done}/{total}, {note}{spent:.0f} s, about {left:.0f} s left"
            console.print(line, soft_wrap=True, markup=False)

    return advance
