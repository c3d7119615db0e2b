"""python -m benchmarks.quality.ablation: Table 3 of SAS as an experiment of DVC -> reports/ablation.md.

Its eight rows need one run. The evaluation fuses the same projected features by every rule, whatever
`fusion.method` is, so each 2D model alone, add, linear and capability fusion are in any run; distillation
and temporal ensembling are stages of it. What a run leaves out by default is the baseline, pixel
distillation, for it costs as much training again: CHANGES asks for it. The experiment is computed beside the
workspace, out of DVC's cache, so that only what it changes is run.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dvc.api
from dvc.exceptions import DvcException

from anyscene.project import parameters
from anyscene.show.report.template import signed
from anyscene.study.table import title

OUTPUT, METRICS = Path("reports/ablation.md"), "reports/metrics.json"
NAME, CHANGES = "table-3", {"distillation.objectives": "[superpoint,pixel]"}
ROWS = ("add", "linear", "capability", "pixel_distillation", "superpoint_distillation", "ensembling")
# mIoU on ScanNet v2's validation set, arXiv:2503.08512, Table 3; the demo's models stand in for LSeg and SEEM
PAPER = {
    **{"dense": 51.2, "lseg": 51.2, "mask": 47.3, "seem": 47.3},
    **{"add": 48.6, "linear": 49.9, "capability": 55.5},
    **{"pixel_distillation": 56.7, "superpoint_distillation": 59.2, "ensembling": 61.9},
}
HEAD = """# Ablation

Table 3 of the [SAS paper](https://arxiv.org/abs/2503.08512) on {rooms} rooms of the split {split}, label set
{label_set}, in percent. Written by `make ablation`. Δ is the difference to the best 2D model alone. The last
two columns are the paper's mIoU on ScanNet: its order and differences compare with ours, its height does not.

| row | mIoU | Δ | 95 % over rooms | mAcc | f-mIoU | paper | Δ |
|---|---:|---:|---:|---:|---:|---:|---:|
"""
TAIL = """
{order}

All rows are of one experiment of DVC, `{name}`, run with `{changes}`:
the evaluation fuses the same projected features by every rule, so only pixel distillation, the baseline, is
not in every run.
"""
DVC = (sys.executable, "-m", "dvc")


def changes() -> list[str]:
    """Options of `dvc exp run`."""
    return [part for key, value in CHANGES.items() for part in ("-S", f"{key}={value}")]


def markdown(metrics: Mapping[str, Any], models: Sequence[str]) -> str:
    """The page, of the experiment's metrics.json. A row that it lacks says why."""
    scores, doubt = metrics["semantic"], metrics["bootstrap"]
    best = doubt.get("best_single")
    head = HEAD.format(rooms=doubt["rooms"], split=metrics["split"], label_set=metrics["label_set"])
    highest = max((PAPER[model] for model in models if model in PAPER), default=None)
    lines = []
    for row in (*models, *ROWS):
        cells = [metrics["missing"].get(row, "not measured"), *4 * [""]]
        if row in scores:
            found, interval = scores[row], doubt["mIoU"][row]
            delta = signed(found["mIoU"] - scores[best]["mIoU"]) if best not in (None, row) else ""
            reach = f"{interval['low']:.1f} to {interval['high']:.1f}"
            cells = [f"{found['mIoU']:.1f}", delta, reach, f"{found['mAcc']:.1f}", f"{found['f_mIoU']:.1f}"]
        paper = ["", ""]
        if row in PAPER and highest is not None:
            delta = signed(PAPER[row] - highest) if PAPER[row] != highest else ""
            paper = [f"{PAPER[row]:.1f}", delta]
        lines.append(f"| {' | '.join([_name(row), *cells, *paper])} |\n")
    return (
        head
        + "".join(lines)
        + TAIL.format(
            order=order(scores, doubt.get("difference", {})), name=NAME, changes=" ".join(changes())
        )
    )


def order(scores: Mapping[str, Mapping[str, float]], doubt: Mapping[str, Mapping[str, float]]) -> str:
    """Which of the rows that follow each other in the paper's table are the other way round. doubt: intervals
    of differences between rows, where they were measured."""
    wrong = []
    for a, b in itertools.pairwise(row for row in ROWS if row in scores):
        step, papers = scores[b]["mIoU"] - scores[a]["mIoU"], PAPER[b] - PAPER[a]
        if step * papers > 0:
            continue
        reach = f"paper {signed(papers)}"
        if interval := doubt.get(f"{b} - {a}"):
            reach = f"95 % over rooms {signed(interval['low'])} to {signed(interval['high'])}, {reach}"
        wrong.append(f"\n- from {_name(a)} to {_name(b)} {signed(step)} ({reach})")
    if not wrong:
        return "From simple addition on, every step goes the way that it goes in the paper."
    return f"Steps that go another way than in the paper:\n{''.join(wrong)}"


def _name(row: str) -> str:
    return title(row).removeprefix("+ ")


def main() -> None:
    models = parameters.load().segmenters.names
    subprocess.run([*DVC, "exp", "remove", "--quiet", NAME], stderr=subprocess.DEVNULL)  # of an earlier run
    subprocess.run([*DVC, "exp", "run", "--queue", "--name", NAME, *changes()], check=True)
    subprocess.run([*DVC, "exp", "run", "--run-all"], check=True)
    try:
        metrics = json.loads(dvc.api.read(METRICS, rev=NAME))
    except DvcException as error:
        sys.exit(f"experiment {NAME} gave no {METRICS} ({error}); `dvc queue logs {NAME}` says why")
    OUTPUT.write_text(markdown(metrics, models))
    print(f"{OUTPUT.resolve()}\n`dvc exp show --only-changed --drop '.*/.*'` has it beside the workspace")


if __name__ == "__main__":
    main()
