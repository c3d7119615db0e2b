"""python -m benchmarks.quality.compare_runs BEFORE AFTER [--renamed OLD=NEW ...]: are two runs alike?

BEFORE and AFTER are folders of finished projects. Every array of every artefact in data/, every tensor of
every network in models/, every capability and the scores of every row are compared bit for bit. Attributes
are not compared, because they say how an artefact was made. OLD=NEW is for a network that has another name in
the later run; a name is its folder under models/ or its row in metrics.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from safetensors.numpy import load_file

from anyscene.project import layout, store

SCORES = ("mIoU", "mAcc", "f_mIoU", "f_mAcc")


def artefacts(root: Path) -> dict[str, Path]:
    """The zarr groups under data/, by path."""
    found = sorted((root / layout.DATA).rglob(f"*{store.SUFFIX}"))
    return {path.relative_to(root).as_posix(): path for path in found if ".partial" not in path.as_posix()}


def networks(root: Path, renamed: Mapping[str, str]) -> dict[str, Path]:
    """The weights of the trained networks, by folder under models/, without the demo's models."""
    found = sorted((root / layout.NETWORKS).rglob("model.safetensors"))
    names = {path: path.parent.relative_to(root / layout.NETWORKS).as_posix() for path in found}
    return {renamed.get(name, name): path for path, name in names.items() if not name.startswith("demo/")}


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether type, shape and bits are equal; a NaN equals the same NaN."""
    alike = one.dtype == other.dtype and one.shape == other.shape
    return alike and np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes()


def arrays(one: Path, other: Path) -> Iterator[tuple[str, bool]]:
    """(name, equal) for every array that either artefact has."""
    first, second = store.open_scene(one), store.open_scene(other)
    for name in sorted({*first, *second}):
        yield name, name in first and name in second and same(first[name][:], second[name][:])


def tensors(one: Path, other: Path) -> Iterator[tuple[str, bool]]:
    """(name, equal) of every tensor that either file has."""
    first, second = load_file(one), load_file(other)
    for name in sorted({*first, *second}):
        yield name, name in first and name in second and same(first[name], second[name])


def figures(root: Path, renamed: Mapping[str, str]) -> dict[str, object]:
    """Capabilities by 2D model, and scores by row."""
    found: dict[str, object] = {}
    for path in sorted((root / layout.CAPABILITY).glob("*.json")):
        found[f"capability of {path.stem}"] = json.loads(path.read_text())["capability"]
    rows = json.loads((root / layout.METRICS).read_text())["semantic"]
    for row, scores in rows.items():
        found[f"row {renamed.get(row, row)}"] = [scores[name] for name in SCORES]
    return found


def compare(before: Path, after: Path, renamed: Mapping[str, str]) -> tuple[int, list[str]]:
    """(how many arrays, tensors and figures were compared, what differs)."""
    count, differing = 0, []
    for read, (first, second) in (
        (arrays, (artefacts(before), artefacts(after))),
        (tensors, (networks(before, renamed), networks(after, {}))),
    ):
        differing += [f"{name}: in one of the runs alone" for name in sorted(first.keys() ^ second.keys())]
        for name in sorted(first.keys() & second.keys()):
            for part, equal in read(first[name], second[name]):
                count += 1
                differing += [] if equal else [f"{name}: {part}"]
    first, second = figures(before, renamed), figures(after, {})
    for name in sorted({*first, *second}):
        count += 1
        if first.get(name) != second.get(name):
            differing.append(f"{name}: {first.get(name)} and {second.get(name)}")
    return count, differing


Renamed = Annotated[list[str] | None, typer.Option(metavar="OLD=NEW")]


def main(before: Path, after: Path, renamed: Renamed = None) -> None:
    """Compare two runs of the project, bit for bit."""
    names = dict(one.split("=", 1) for one in renamed or ())
    count, differing = compare(before, after, names)
    print("\n".join([*differing, f"{count} arrays, tensors and figures compared, {len(differing)} differ"]))
    sys.exit(bool(differing))


if __name__ == "__main__":
    typer.run(main)
