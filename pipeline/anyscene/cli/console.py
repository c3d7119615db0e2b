"""Where commands print tables."""

from rich.console import Console

PIPED = 400  # characters of a line


def console() -> Console:
    """Prints in the width of the terminal; into a pipe in lines that are long enough for grep."""
    found = Console(highlight=False)
    if not found.is_terminal:
        found.width = PIPED
    return found
