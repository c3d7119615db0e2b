"""python -m benchmarks.quality.ablation: Table 3 of SAS as an experiment of DVC -> reports/ablation.md.

The eight rows of the table need one run. The evaluation fuses the same projected features by every rule,
whatever `fusion.method` is, so every run has each 2D model alone, add, linear and capability fusion. The rows
below are networks of the run. By default a run lacks the paper's baseline, because it costs as much training
again; `changes` adds it to the section `training`. DVC computes the experiment beside the workspace and takes
the rest from its cache, so only the stages that the experiment changes run.
"""

from __future__ import annotations

import itertools
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dvc.api
from dvc.exceptions import DvcException

from anyscene.errors import ConfigError
from anyscene.project import layout, parameters
from anyscene.show.report.template import signed
from anyscene.study import rows
from anyscene.study.literature import BASELINE, BASELINE_TITLE, METHOD, TABLE_3
from anyscene.study.rows import Row
from anyscene.study.table import drawn

OUTPUT = layout.REPORTS / "ablation.md"
NAME = "table-3"
STAND_INS = {"dense": "lseg", "mask": "seem"}  # the demo's models, and the paper's that they stand for
HEAD = """# Ablation

Table 3 of the [SAS paper](https://arxiv.org/abs/2503.08512) on {scenes} scenes of the split {split}, label
set {label_set}, in percent. `make ablation` writes this page. Δ is the difference from the best 2D model
alone. The last two columns are the paper's mIoU on ScanNet. Its order and differences can be compared with
ours, its height cannot.

| row | mIoU | Δ | 95 % over {drawn} | mAcc | f-mIoU | paper | Δ |
|---|---:|---:|---:|---:|---:|---:|---:|
"""
TAIL = """
{order}

All rows come from one experiment of DVC, `{name}`. The evaluation fuses the same projected features by every
rule, so the baseline alone is not in every run. These options added it:

    {changes}
"""
DVC = (sys.executable, "-m", "dvc")
# what differs between experiments, without hashes
SHOWN = r"--only-changed --drop '.*/.*|.*\.(code|packages|files|scene_files|settings)(\..*)?'"


def changes(training: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Options of `dvc exp run` that add the paper's baseline to the section `training`. The baseline is the
    distillation of this section with another kind and title. Empty if the baseline is there already. Raises
    ConfigError if neither is there."""
    kinds = {entry["kind"]: entry for entry in reversed(training.values())}
    if BASELINE in kinds:
        return []
    if METHOD not in kinds:
        raise ConfigError(f"params.yaml: training: no entry of the kind {METHOD}, whose baseline Table 3 has")
    entry = kinds[METHOD] | {"kind": BASELINE, "title": BASELINE_TITLE}
    name = BASELINE
    while name in training:
        name += "_baseline"
    return ["-S", f"+training.{name}={_override(entry)}"]


def _override(value: Any) -> str:
    """A YAML value in the grammar of Hydra, which DVC expects for changes."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_override(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_override, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def markdown(metrics: Mapping[str, Any], asked: Sequence[str]) -> str:
    """The page, from the experiment's metrics.json. A row that was not measured says why. asked: the options
    that `changes` returned."""
    scores, doubt = metrics["semantic"], metrics["bootstrap"]
    best = doubt.get("best_single")
    head = HEAD.format(
        scenes=doubt["scenes"], split=metrics["split"], label_set=metrics["label_set"], drawn=drawn(metrics)
    )
    shown = table_3(metrics)
    highest = max(
        (score for row, score in shown if row.role == "2d_model" and score is not None), default=None
    )
    lines = []
    for row, score in shown:
        cells = [metrics["missing"].get(row.name, "not measured"), *4 * [""]]
        if row.name in scores:
            found, interval = scores[row.name], doubt["mIoU"][row.name]
            delta = signed(found["mIoU"] - scores[best]["mIoU"]) if best not in (None, row.name) else ""
            reach = f"{interval['low']:.1f} to {interval['high']:.1f}"
            cells = [f"{found['mIoU']:.1f}", delta, reach, f"{found['mAcc']:.1f}", f"{found['f_mIoU']:.1f}"]
        paper = ["", ""]
        if score is not None and highest is not None:
            paper = [f"{score:.1f}", signed(score - highest) if score != highest else ""]
        lines.append(f"| {' | '.join([row.plain_title, *cells, *paper])} |\n")
    added = shlex.join(asked) or "none, because params.yaml has it"
    tail = TAIL.format(order=order(metrics), name=NAME, changes=added)
    return head + "".join(lines) + tail


def table_3(metrics: Mapping[str, Any]) -> list[tuple[Row, float | None]]:
    """The rows of metrics.json that Table 3 has, in the order of the table and with its mIoU in percent. They
    include every 2D model, with None for one that the paper does not have."""
    every = rows.of(metrics)
    found = [(row, theirs(row)) for row in every if row.role == "2d_model"]
    for role in ("fusion", "network"):
        for kind in TABLE_3.rows[role]:
            found += [(row, theirs(row)) for row in every if (row.role, row.kind) == (role, kind)]
    return found


def theirs(row: Row) -> float | None:
    """The mIoU of a row in Table 3, in percent; for a stand-in that of the 2D model it stands for."""
    return TABLE_3.of(replace(row, kind=STAND_INS.get(row.kind, row.kind)) if row.role == "2d_model" else row)


def order(metrics: Mapping[str, Any]) -> str:
    """A sentence on the steps from row to row that go another way than in the paper's table."""
    scores, doubt, wrong = metrics["semantic"], metrics["bootstrap"].get("difference", {}), []
    combined = [pair for pair in table_3(metrics) if pair[0].role != "2d_model" and pair[0].name in scores]
    for (a, papers_a), (b, papers_b) in itertools.pairwise(combined):
        step, papers = scores[b.name]["mIoU"] - scores[a.name]["mIoU"], papers_b - papers_a
        if step * papers > 0 or papers == 0:
            continue
        reach = f"paper {signed(papers)}"
        low = high = None
        if interval := doubt.get(f"{b.name} - {a.name}"):
            low, high = interval["low"], interval["high"]
        elif interval := doubt.get(f"{a.name} - {b.name}"):
            low, high = -interval["high"], -interval["low"]
        if low is not None:
            reach = f"95 % over {drawn(metrics)} {signed(low)} to {signed(high)}, {reach}"
        wrong.append(f"\n- from {a.plain_title} to {b.plain_title} {signed(step)} ({reach})")
    if not wrong:
        return "From simple addition on, every step goes the way that it goes in the paper."
    return f"These steps go another way than in the paper:\n{''.join(wrong)}"


def main() -> None:
    asked = changes(parameters.read()["training"])
    subprocess.run([*DVC, "exp", "remove", "--quiet", NAME], stderr=subprocess.DEVNULL)  # of an earlier run
    subprocess.run([*DVC, "exp", "run", "--queue", "--name", NAME, *asked], check=True)
    subprocess.run([*DVC, "exp", "run", "--run-all"], check=True)
    try:
        metrics = json.loads(dvc.api.read(str(layout.METRICS), rev=NAME))
    except DvcException as error:
        sys.exit(f"experiment {NAME} gave no {layout.METRICS} ({error}); `dvc queue logs {NAME}` says why")
    OUTPUT.write_text(markdown(metrics, asked), encoding="utf-8")
    print(f"{OUTPUT.resolve()}\n`dvc exp show {SHOWN}` has it beside the workspace")


if __name__ == "__main__":
    main()
