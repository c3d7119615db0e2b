"""python -m benchmarks [NAME ...]: measure, print, write reports/benchmarks.json."""

import json
import os
import sys
from pathlib import Path

import torch
from rich.console import Console

from benchmarks import figures

OUTPUT = Path("reports/benchmarks.json")


def main(names: list[str]) -> None:
    known = {measure.__name__: measure for measure in figures.ALL}
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"no benchmark called {unknown[0]}; known: {', '.join(known)}")
    console, records = Console(soft_wrap=True, highlight=False), []
    torch.set_num_threads(1)
    for name in names or known:
        for figure in known[name]():
            digits = ".0f" if figure.unit == "bytes" else ".4f"
            console.print(
                f"[bold]{figure.name}[/]: {figure.ratio:.3f} x ({figure.ours:{digits}} to "
                f"{figure.peer:{digits}} {figure.unit})\n    {figure.setting}\n    against {figure.against}"
            )
            records.append({**vars(figure), "ratio": figure.ratio})
    OUTPUT.parent.mkdir(exist_ok=True)
    result = {"cores": os.cpu_count(), "threads": 1, "figures": records}
    OUTPUT.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
