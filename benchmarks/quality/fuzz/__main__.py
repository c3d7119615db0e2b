"""python -m benchmarks.quality.fuzz [--minutes N] [--seed S]: damaged files against what reads them.

Each case takes whole files of a kind, damages one, and asks for what the whole files answer. Refused is
right, and so is the same answer. Another answer is wrong where the format lets the damage be noticed. A
traceback, a minute without an answer, and 4 GiB of memory are faults whatever the files hold. A line of the
output names the kind and the case, by which it is repeated. docs/notes/fuzz.md has the table.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.quality.fuzz.case import ANSWERED, FAULTS, Outcome, run
from benchmarks.quality.fuzz.kinds import KINDS
from benchmarks.quality.fuzz.worker import Worker

ENOUGH = 300  # cases of a kind; then those that are slower are served first
WIDTH = 140  # of the table, wherever it is written to


def main(
    minutes: Annotated[float, typer.Option(help="shared by all kinds")] = 60.0,
    seed: Annotated[int, typer.Option()] = 0,
    only: Annotated[str | None, typer.Option(help="a kind, or what the names of several begin with")] = None,
    case: Annotated[int | None, typer.Option(help="this one alone; raises what it does")] = None,
    out: Annotated[Path | None, typer.Option(help="JSON to write: counts and faults")] = None,
) -> None:
    """Damage files at random, and print what came of it."""
    chosen = [name for name in KINDS if only is None or name.startswith(only)]
    if case is not None:
        for name in chosen:
            with tempfile.TemporaryDirectory(prefix="fuzz_") as folder:
                print(run(KINDS[name], seed, case, Path(folder), raises=True))
        return
    console = Console(highlight=False, width=WIDTH)
    counts, faults = {name: Counter[str]() for name in chosen}, []
    spent = dict.fromkeys(chosen, 0.0)  # seconds
    with tempfile.TemporaryDirectory(prefix="fuzz_") as folder, Worker(Path(folder), seed) as worker:
        began = time.monotonic()
        while (now := time.monotonic()) < began + 60 * minutes:
            name = min(chosen, key=lambda one: (counts[one].total() >= ENOUGH, spent[one]))
            number = counts[name].total()
            found: Outcome = worker.ask(name, number)
            counts[name][found.what] += 1
            spent[name] += time.monotonic() - now
            if found.what in FAULTS:
                faults.append({"kind": name, "case": number, **vars(found)})
                console.print(f"{name} --case {number}: {found}", markup=False, soft_wrap=True)
                console.file.flush()
    console.print(_table(counts))
    if out is not None:
        record = {"seed": seed, "minutes": minutes, "counts": counts, "faults": faults}
        out.write_text(json.dumps(record, indent=2) + "\n")


def _table(counts: dict[str, Counter[str]]) -> Table:
    table = Table("kind", "cases", *ANSWERED, *FAULTS, box=None, pad_edge=False)
    whole = sum(counts.values(), Counter[str]())
    for name, row in {**counts, "all": whole}.items():
        table.add_row(name, str(row.total()), *(str(row[what]) for what in (*ANSWERED, *FAULTS)))
    return table


if __name__ == "__main__":
    typer.run(main)
