"""python -m benchmarks.quality.sensitivity [--only KEY] [--write]: how much does each parameter matter?

After `make demo`. Each change of a parameter is computed by `dvc repro` in a clone below .cache/, which
shares DVC's cache. There the rows of the changed run are scored on the same rooms as those of the run without
a change. What was measured is kept, so a stopped run goes on where it was.
`--write` puts the tables into docs/notes/sensitivity.md.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from dvc.utils.hydra import apply_overrides
from rich.console import Console

from anyscene.arrays import I4
from anyscene.datasets import label_set as named_label_set
from anyscene.errors import PipelineError
from anyscene.project import layout, parameters, store
from anyscene.project.layout import Artefacts
from anyscene.project.progress import progress
from anyscene.study.ablation import Ablation, Inputs
from anyscene.study.bootstrap import Interval, draws, resampled_miou
from anyscene.study.metrics_json import SceneTallies
from anyscene.tasks.segmentation.metrics import counted_miou, tally

CLONE, MEASURED = (layout.TIMES.with_name(f"sensitivity{what}") for what in ("", "-measured"))
PAGE = Path("docs/notes/sensitivity.md")
MARK = "<!-- measured -->\n"
BASE = "no change"
FUSED, TRAINED = "fusion", "training"  # the rows that need no network; the networks
ROLES = {FUSED: ("fusion", "superpoints"), TRAINED: ("network",)}
STAGES = {FUSED: ("fusion",), TRAINED: ("training",)}

Counts = Mapping[str, I4]  # row -> i4[P, S, 3, K], those of `metrics.class_counts`


@dataclass(frozen=True)
class Change:
    """A parameter and the values that are tried."""

    key: str  # {first} and {last} stand for those networks of params.yaml
    values: tuple[str, ...]
    group: str  # the rows that are measured


CHANGES = (
    Change("superpoints.k", ("0.005", "0.02", "0.05"), FUSED),
    Change("superpoints.min_vertices", ("5", "60"), FUSED),
    Change("projection.tolerance", ("0.02", "0.05", "0.25"), FUSED),
    Change("projection.border", ("0", "5"), FUSED),
    Change("scenes.frame_stride", ("2", "5"), FUSED),
    Change("synthesis.images", ("4",), FUSED),
    Change("synthesis.attention_threshold", ("0.5",), FUSED),
    Change("synthesis.seed", ("1",), FUSED),
    Change("capability.pooled", ("false",), FUSED),
    Change("fusion.tau", ("0.01", "0.02", "0.1", "0.2", "1.0"), FUSED),
    Change("fusion.normalise", ("false",), FUSED),
    Change("text.template", ("'{}'", "'a photo of a {}'"), FUSED),
    Change("training.{first}.seed", ("1", "2"), TRAINED),  # how far chance alone goes
    Change("training.{first}.steps", ("150", "600"), TRAINED),
    Change("training.{first}.learning_rate", ("1.0e-4", "1.0e-3"), TRAINED),
    Change("training.{first}.batch_norm", ("own",), TRAINED),
    Change("augmentation.turn", ("free",), TRAINED),
    Change("augmentation.elastic", ("0.95",), TRAINED),
    Change("network.precision", ("float32",), TRAINED),
    Change("training.{last}.momentum", ("0.9", "0.99"), TRAINED),
    Change("training.{last}.balance", ("0.0", "1.0"), TRAINED),
    Change("training.{last}.loss", ("code",), TRAINED),
    Change("training.{last}.start", ("code",), TRAINED),
)


@dataclass(frozen=True)
class Effect:
    """What a change does to the mIoU of a row, in points of percent."""

    row: str
    before: float
    after: float
    doubt: Interval  # of the difference, over resampled rooms


def prepare() -> None:
    """Make the clone, with the artefacts of the run without a change."""
    if CLONE.is_dir():
        return
    subprocess.run(["git", "clone", "--quiet", ".", str(CLONE)], check=True)
    cache = _dvc("cache", "dir", folder=Path()).strip()
    _dvc("cache", "dir", "--local", cache)
    for copied in (layout.PARAMETERS, Path("dvc.lock")):  # as they are here, committed or not
        (CLONE / copied).write_bytes(copied.read_bytes())
    _dvc("checkout", "--quiet", "--force")


def _dvc(*arguments: str, folder: Path = CLONE) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def measured(change: str, group: str) -> Counts:
    """What the rows of a group count with a change, which is KEY=VALUE or BASE. It is computed if it was not
    yet. Raises CalledProcessError where DVC cannot compute it."""
    kept = MEASURED / f"{group}-{change.replace('/', '_')}.npz"
    if not kept.is_file():
        (CLONE / layout.PARAMETERS).write_bytes(layout.PARAMETERS.read_bytes())
        if change != BASE:
            with chdir(CLONE):
                apply_overrides(str(layout.PARAMETERS), [change])
        _dvc("repro", "--quiet", *STAGES[group])
        with chdir(CLONE):
            counts = counted(ROLES[group])
        kept.parent.mkdir(exist_ok=True)
        np.savez_compressed(kept, allow_pickle=False, **counts)
    with np.load(kept) as arrays:
        return dict(arrays)


def counted(roles: Sequence[str]) -> Counts:
    """What the rows of some roles count in each room of the project in the working directory."""
    params, artefacts = parameters.load(), Artefacts()
    label_set = named_label_set(params.dataset.label_set)
    ablation = Ablation(Inputs.of(params, artefacts))
    rows = [row for row in ablation.rows if row.role in roles]
    tallies = SceneTallies(params.evaluation.unpredicted)
    scenes = store.split_ids(artefacts.data("scenes"), params.evaluation.split)
    for scene in scenes:
        label = store.open_scene(store.scene_path(artefacts.data("labels"), scene))["label"][:]
        features = ablation.features(scene)
        for row in rows:
            tallies.add(row.name, [tally(label, said, label_set) for said in row.predict(features)])
    return {row.name: tallies.counts(row.name) for row in rows}


def effects(before: Counts, after: Counts) -> Iterator[Effect]:
    """The effect on every row that both have. Both are resampled by the same rooms, so differences are
    paired."""
    settings = parameters.load().evaluation
    for row in before.keys() & after.keys():
        a, b = before[row], after[row]
        draw = draws(a.shape[1], settings.bootstrap, np.random.default_rng(settings.seed))
        doubt = Interval.of(resampled_miou(b, draw) - resampled_miou(a, draw))
        yield Effect(row, _miou(a), _miou(b), doubt)


def _miou(counts: I4) -> float:
    return float(counted_miou(counts.sum(1, dtype=np.float64)).mean())


def table(shown: Sequence[str], found: Iterable[tuple[str, str, Sequence[Effect]]]) -> str:
    """Markdown with a line for each value. shown: rows; found: (key, value, effects)."""
    lines = [f"| parameter | value | {' | '.join(shown)} |", f"|---|---|{'---|' * len(shown)}"]
    for key, value, of_rows in found:
        by_row = {effect.row: effect for effect in of_rows}
        cells = (_cell(by_row[row]) for row in shown)
        lines.append(f"| `{key}` | {value} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(effect: Effect) -> str:
    """Empty where the row does not depend on the parameter."""
    if effect.after == effect.before and effect.doubt.low == effect.doubt.high == 0:
        return ""
    found = f"{effect.after - effect.before:+.1f} ({effect.doubt.low:+.1f} to {effect.doubt.high:+.1f})"
    return found if effect.doubt.low <= 0 <= effect.doubt.high else f"**{found}**"


def _group(group: str, changes: Sequence[Change], say: Console) -> str:
    names = list(parameters.load().training)
    asked = [
        (change.key.format(first=names[0], last=names[-1]), value)
        for change in changes
        if change.group == group
        for value in change.values
    ]
    before = measured(BASE, group)
    found = []
    with progress(f"sensitivity of {group}", len(asked)) as advance:
        for key, value in asked:
            try:
                after = measured(f"{key}={value}", group)
            except (subprocess.CalledProcessError, PipelineError) as error:
                say.print(f"{key}={value}: {error}", markup=False)
            else:
                found.append((key, value, list(effects(before, after))))
            advance(f"{key}={value}")
    rows = " | ".join(f"{row} {_miou(counts):.1f}" for row, counts in before.items())
    moved = {one.row for *_, of_rows in found for one in of_rows if one.after != one.before}
    return f"Without a change: {rows}.\n\n{table([row for row in before if row in moved], found)}"


def main(
    only: Annotated[str | None, typer.Option(help="the beginning of keys")] = None,
    write: Annotated[bool, typer.Option(help=f"the tables into {PAGE}")] = False,
) -> None:
    """Measure how much each parameter matters."""
    say = Console(soft_wrap=True, highlight=False)
    prepare()
    changes = [change for change in CHANGES if only is None or change.key.startswith(only)]
    tables = [
        _group(group, changes, say) for group in STAGES if any(change.group == group for change in changes)
    ]
    text = "\n".join(tables)
    say.print(text, markup=False)
    if write:
        head, mark, _ = PAGE.read_text().partition(MARK)
        PAGE.write_text(head + mark + text)


if __name__ == "__main__":
    typer.run(main)
