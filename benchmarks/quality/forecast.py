"""python -m benchmarks.quality.forecast PROJECT [--few 4] [--draws 20]: `anyscene doctor` and the disk.

Of a finished project, a few scenes of every stage after the import are shown to the forecast, drawn at
random; what it says of all is compared with what `du` says of the whole folders.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from anyscene.project import layout, parameters, store
from anyscene.project.parameters import Params
from anyscene.project.stages import Stage, declared
from anyscene.study import disk


def shown(
    project: Path, few: int, params: Params, stages: Mapping[str, Stage], seed: int
) -> list[disk.Share]:
    """The forecast where a few scenes of each folder are there, but all of data/scenes, and all images."""
    rng = np.random.default_rng(seed)
    scenes = store.scene_ids(project / layout.SCENES)
    drawn = {f"{scene}{store.SUFFIX}" for scene in rng.choice(scenes, min(few, len(scenes)), replace=False)}
    with tempfile.TemporaryDirectory() as place:
        for folder in (
            one for stage in stages.values() for item in stage.items(params) for one in stage.artefacts(item)
        ):
            (Path(place) / folder).mkdir(parents=True)
            every = folder in (layout.SCENES, layout.SYNTHESIS)
            for artefact in sorted((project / folder).glob(f"*{store.SUFFIX}")):
                if every or artefact.name in drawn:
                    (Path(place) / folder / artefact.name).symlink_to(artefact.resolve())
        os.chdir(place)
        try:
            return disk.foretold(params, stages, len(scenes), 0)
        finally:
            os.chdir(project)


def main(project: Path, few: int = 4, draws: int = 20) -> None:
    project = project.resolve()
    os.chdir(project)
    sys.path.insert(0, str(project))
    params, stages = parameters.load(layout.PARAMETERS), declared()
    rounds = [shown(project, few, params, stages, seed) for seed in range(draws)]
    table = Table("folder", "MB", "foretold, MB: median", "least", "most", "within 10 %")
    rows = [
        (str(shares[0].folder), [share.bytes for share in shares]) for shares in zip(*rounds, strict=True)
    ]
    rows = [row for row in rows if row[0].startswith("data")]
    whole = [sum(disk.taken(one) for one in (project / name).glob(f"*{store.SUFFIX}")) for name, _ in rows]
    rows.append(("all", [sum(sizes) for sizes in zip(*(sizes for _, sizes in rows), strict=True)]))
    for (name, sizes), true in zip(rows, [*whole, sum(whole)], strict=True):
        close = sum(abs(size / true - 1) <= 0.1 for size in sizes) if true else draws
        figures = (f"{size / 1e6:,.1f}" for size in (true, np.median(sizes), min(sizes), max(sizes)))
        table.add_row(name, *figures, f"{close} of {draws}")
    Console(width=120).print(table)


if __name__ == "__main__":
    typer.run(main)
