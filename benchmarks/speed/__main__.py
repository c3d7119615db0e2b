"""python -m benchmarks.speed [NAME ...]: measure, print and write reports/benchmarks.json. Without a NAME it
also writes docs/notes/benchmarks.md."""

import json
import os
import sys
from pathlib import Path

import torch
from rich.console import Console

from anyscene.project import layout
from benchmarks.speed import against_peers

OUTPUT, TABLE = layout.REPORTS / "benchmarks.json", Path("docs/notes/benchmarks.md")
HEAD = """# Benchmarks

`python -m benchmarks.speed` (`make bench`) writes this page. Both sides run five times, in turn and in one
process; the table shows the shortest run of each. They use one thread unless a row names more. If the peer
cannot be installed, we restated its published algorithm, as the last column says. A ratio below 1 is in our
favour. The ratio of a rate is the share of the limit that is reached.

| what | setting | ours | theirs | ratio | against |
|---|---|---|---|---|---|
"""


def main(names: list[str]) -> None:
    known = {measure.__name__: measure for measure in against_peers.ALL}
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"no benchmark called {unknown[0]}; known: {', '.join(known)}")
    console, measured = Console(soft_wrap=True, highlight=False), []
    torch.set_num_threads(1)
    for name in names or known:
        for figure in known[name]():
            console.print(
                f"[bold]{figure.name}[/]: {figure.ratio:.3f} x ({figure.shown(figure.ours)} to "
                f"{figure.shown(figure.peer)})\n    {figure.setting}\n    against {figure.against}"
            )
            measured.append(figure)
    OUTPUT.parent.mkdir(exist_ok=True)
    records = [{**vars(figure), "ratio": figure.ratio} for figure in measured]
    result = {"cores": os.cpu_count(), "threads": 1, "figures": records}
    OUTPUT.write_text(json.dumps(result, indent=2) + "\n")
    if not names:
        rows = (
            (f.name, f.setting, f.shown(f.ours), f.shown(f.peer), f"{f.ratio:.3f}", f.against)
            for f in measured
        )
        TABLE.write_text(HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows))


if __name__ == "__main__":
    main(sys.argv[1:])
