"""python -m benchmarks.speed.many_scenes [--scenes 2000] [--few 200]: every stage on many small scans.

The scans lie in the layout of ScanNet, each with a .sens file of its own. Three projects, of START, `few` and
`scenes` scans, run stage by stage through DVC: with the demo's dense model, and with a model of masks whose
answers lie in files. Of each stage the table has the memory of its largest process at its peak, that of DVC
itself, which looks at the files of all scenes, that of all processes together, and the time of a scene: what
more scans cost, divided by their number, so that the time to start a stage is not part of it. It is the
processor's time, which other work on the machine hardly changes. Then one scan is added to the largest
project; what the stages print says how many scenes each of them computed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from anyscene.project import layout, new_project, parameters, presets
from anyscene.segmenters.precomputed import image_index
from anyscene.weights.catalogue import ANSWERS
from tests.builders import REPOSITORY, scannet

START, EVERY = 20, 10  # scans of the smallest project; one of EVERY scans is for validation
FRAMES = 6  # of each scan, of which one has no pose
ELSEWHERE = "elsewhere"  # the model whose answers lie in files
LABELS = ("wall", "chair", "cabinet")
SETTINGS = {
    "dataset": {"reader": "scannet"},
    "segmenters": {"names": ["dense", ELSEWHERE], "batch": 8},
    "projection": {"width": 48, "height": 36, "tolerance": 0.25},
    "vocabulary": ["wall", "floor", "chair", "table"],
    "synthesis": {"images": 2, "steps": 2},
    "evaluation": {"bootstrap": 100, "shuffles": 2},
    "network": {"variant": "14A", "width": 0.25},
}
STEPS = 4  # of each training
FRAMES_WRITTEN = "frames"  # the command that writes the images for models that run elsewhere
TRAININGS = [f"training@{name}" for name in parameters.load(REPOSITORY / layout.PARAMETERS).training]
STAGES = (
    "freshness",
    "scenes",
    "labels",
    "superpoints",
    "synthesis",
    FRAMES_WRITTEN,
    "capability@dense",
    f"capability@{ELSEWHERE}",
    "projection@dense",
    f"projection@{ELSEWHERE}",
    "fusion",
    *TRAININGS,
    "evaluation",
    "report",
)
UNTIL = STAGES.index(TRAININGS[0])  # what one more scan may not take long for
COUNTS = re.compile(r"(\d+) computed, (\d+) unchanged, (\d+) removed")
SAMPLED = 0.1  # seconds between two looks at the memory
GIB = 2**30
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """What a command took, with all processes that it started."""

    wall: float  # seconds
    processor: float  # seconds, of all cores together
    itself: float  # GiB at its peak
    largest: float  # GiB, of the largest process that it started, at its peak
    together: float  # GiB, of all its processes at their peak; what they share counts once
    said: str

    @property
    def counts(self) -> str:
        """What it says of scenes, without its name."""
        found = COUNTS.search(self.said)
        return found[0] if found else ""


def run(folder: Path, *command: str) -> Usage:
    """Run a command of Python in `folder`. Raises RuntimeError with what it printed where it fails."""
    began, before = time.perf_counter(), os.times()
    itself, largest, together = 0.0, 0.0, 0.0
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, stdout=said, stderr=subprocess.STDOUT, text=True
        )
        while process.poll() is None:
            of_each = [_memory(one) for one in _family(process.pid)]
            itself = max(itself, of_each[0][0])
            largest = max([largest, *(peak for peak, _ in of_each[1:])])
            together = max(together, sum(share for _, share in of_each))
            time.sleep(SAMPLED)
        said.seek(0)
        text = said.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{text}")
    after = os.times()
    used = sum(getattr(after, kind) - getattr(before, kind) for kind in ("children_user", "children_system"))
    return Usage(time.perf_counter() - began, used, itself / GIB, largest / GIB, together / GIB, text)


def _family(process: int) -> list[int]:
    """A process and all that it started, directly or not."""
    found = [process]
    for one in found:
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def _memory(process: int) -> tuple[float, float]:
    """(the bytes that a process held at its peak, its share of what it holds now); zeros where it has
    ended."""
    with suppress(OSError):
        peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
        share = re.search(r"Pss:\s+(\d+)", Path(f"/proc/{process}/smaps_rollup").read_text())
        if peak and share:
            return 1024.0 * int(peak[1]), 1024.0 * int(share[1])
    return 0.0, 0.0


def create(folder: Path, scans: int) -> None:
    """A project of so many scans beside it."""
    root = folder.with_name(f"{folder.name}-raw") / "scans"
    root.mkdir(parents=True)
    scannet.write_table(root.parent / "scannetv2-labels.combined.tsv", scannet.TABLE)
    add(root, range(scans))
    new_project.create(folder, root)
    settings = dict(SETTINGS) | {
        "training": {
            name: {"steps": STEPS, "from": start, "batch_norm": "own"} for name, start in _starts().items()
        }
    }
    presets.change(folder / layout.PARAMETERS, settings)
    (folder / layout.DEMO_MODELS / ELSEWHERE).mkdir()
    described = f'{{"format": 1, "kind": "masks", "labels": {list(LABELS)}}}'.replace("'", '"')
    (folder / layout.DEMO_MODELS / ELSEWHERE / ANSWERS).write_text(described)
    identity = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@example.org")
    for command in (["init", "--quiet"], [*identity, "commit", "--quiet", "--allow-empty", "-m", "Start"]):
        subprocess.run(["git", *command], cwd=folder, check=True)


def _starts() -> dict[str, str]:
    """What each network begins from: the first of them from random weights."""
    names = list(parameters.load().training)
    return {name: names[place - 1] if place else parameters.RANDOM for place, name in enumerate(names)}


def add(root: Path, places: range) -> None:
    """Write the scans with these numbers, and list them in the splits."""
    for place in places:
        scan = f"scene{place:04}_00"
        scannet.write_scan(root, scan, frames=FRAMES, seed=place)
    (root / "splits").mkdir(exist_ok=True)
    for split in ("train", "val"):
        chosen = [one for one in places if (one % EVERY == 0) == (split == "val")]
        with (root / "splits" / f"{split}.txt").open("a") as listed:
            listed.writelines(f"scene{place:04}_00\n" for place in chosen)


def answer(folder: Path) -> None:
    """Write the answers of the model ELSEWHERE to all images that have none yet."""
    for row in image_index.read(folder / image_index.INDEX):
        file = folder / layout.DEMO_MODELS / ELSEWHERE / f"{row['key']}.npz"
        if file.exists():
            continue
        rng = np.random.default_rng(int(row["key"][:12], 16))
        with Image.open(folder / image_index.INDEX.parent / f"{row['key']}.png") as image:
            width, height = image.size
        mask = np.zeros((2, height, width), bool)
        mask[0, : height // 2], mask[1, :, : width // 3] = True, True
        np.savez(
            file,
            mask=mask,
            label=rng.integers(0, len(LABELS), 2),
            score=rng.uniform(0.5, 1, 2).astype(np.float32),
        )


def round_of(folder: Path, console: Console) -> dict[str, Usage]:
    """Bring every stage up to date, one after the other; what each took."""
    found = {}
    for stage in STAGES:
        command = ("-m", "dvc", "repro", "--single-item", stage)
        if stage == FRAMES_WRITTEN:
            command = ("-m", "anyscene.cli.frames")
        used = found[stage] = run(folder, *command)
        console.print(
            f"{folder.name} {stage}: {used.wall:.1f} s, {used.processor:.1f} s of the processor, largest "
            f"{used.largest:.3f} GiB, DVC {used.itself:.3f} GiB, together {used.together:.3f} GiB "
            f"{used.counts}"
        )
        if stage == FRAMES_WRITTEN:
            answer(folder)
    return found


def _grown(before: float, after: float) -> tuple[str, str]:
    return f"{before:.3f}", f"{after:.3f} ({after / before - 1:+.0%})" if before else f"{after:.3f}"


def main(scenes: int = 2000, few: int = 200, folder: Path | None = None) -> None:
    """Run all stages on few and on many scenes, and print what each takes. folder: a new one, in which the
    projects stay."""
    console = Console(highlight=False, soft_wrap=True)
    with tempfile.TemporaryDirectory() if folder is None else nullcontext(folder) as place:
        took = {}
        for count in (START, few, scenes):
            create(project := Path(place) / f"of{count}", count)
            took[count] = round_of(project, console)
        table = Table(
            *("stage", "largest, GiB", "", "DVC, GiB", "", "together, GiB", "", "a scene, ms", ""),
            title=f"{few} {scenes}",
        )
        for stage in STAGES:
            least, less, more = (took[count][stage] for count in (START, few, scenes))
            of_few = 1000 * (less.processor - least.processor) / (few - START)
            of_many = 1000 * (more.processor - less.processor) / (scenes - few)
            table.add_row(
                stage,
                *_grown(less.largest, more.largest),
                *_grown(less.itself, more.itself),
                *_grown(less.together, more.together),
                f"{of_few:.1f}",
                f"{of_many:.1f}",
            )
        console.print(table)
        add(project.with_name(f"{project.name}-raw") / "scans", range(scenes, scenes + 1))
        added = round_of(project, console)
        until = sum(added[stage].wall for stage in STAGES[:UNTIL])
        console.print(f"one more scan: {until:.0f} s until training")
        for name in ("status", "repro"):
            again = run(project, "-m", "dvc", name)
            console.print(
                f"dvc {name}, nothing to do: {again.wall:.1f} s, {again.processor:.1f} s of the processor"
            )


if __name__ == "__main__":
    typer.run(main)
