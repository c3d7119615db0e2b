"""Where tables and lines for people go: stdout."""

from __future__ import annotations

from rich.console import Console

PIPED = 400  # columns where there is no terminal: a log or `grep` wants whole lines, and no cell that is cut


def stdout() -> Console:
    """A console on stdout. It marks no numbers in colours, and takes no brackets in names for markup; what is
    to be bold is a `Text`."""
    found = Console(highlight=False, markup=False)
    if not found.is_terminal:
        found.width = PIPED
    return found
