"""The commands that lead from a preset to its table, in their order."""

from __future__ import annotations

import importlib.util
import shlex
from dataclasses import dataclass
from pathlib import Path

from anyscene import segmenters
from anyscene.errors import PipelineError
from anyscene.project.parameters import Params
from anyscene.segmenters import captions
from anyscene.segmenters.precomputed import converters
from anyscene.study import cost
from anyscene.weights import needed

SITES = {  # where those who made the scans give them out, by the reader
    "scannet": "http://www.scan-net.org",
    "matterport": "https://niessner.github.io/Matterport",
    "nuscenes": "https://www.nuscenes.org",
}


@dataclass(frozen=True)
class Step:
    """Something to do on the way."""

    do: str  # a command, or in words what no command does
    why: str  # what it is for
    by_hand: bool = False  # whether `do` is in words


def steps(preset: str, params: Params, at_hand: bool) -> list[Step]:
    """What is to be done from here to the table. Scans, weights and answers that are there are left out.

    params: those of the preset, with its folder of scans. at_hand: whether the current folder is a project of
    the preset's data set; if not, one is made in it, which takes the weights that are here.
    """
    weights, awaited = Path(params.segmenters.weights), cost.awaited(params)
    root = shlex.quote(params.dataset.root)
    found = []
    if not _any_scans(Path(params.dataset.root)):
        site = SITES.get(params.dataset.reader, "those who made them")
        found.append(Step(f"get the scans of {params.dataset.name} into {root}", f"from {site}", True))
    if at_hand:
        found.append(Step(f"anyscene preset {preset} --root {root}", "sets params.yaml"))
    else:
        found.append(
            Step(f"anyscene init {preset} --preset {preset} --root {root}", "makes a project of its own")
        )
        if weights.is_dir():
            found.append(Step(f"mv {weights} {preset}/", "takes along the weights that are here"))
        found.append(Step(f"cd {preset}", "all that follows is done there"))
    if "openseg" in params.segmenters.names and importlib.util.find_spec("tensorflow") is None:
        found.append(Step('pip install "anyscene[openseg]"', "TensorFlow, which runs it"))
    missing = [
        entry
        for entry in needed.of(params)
        if not entry.complete(weights) and not _is_there(entry.folder, params)
    ]
    if fetched := " ".join(entry.name for entry in missing if entry.fetchable):
        found.append(Step(f"anyscene weights fetch {fetched}", f"into {weights}"))
    for entry in missing:
        if not entry.fetchable and not entry.elsewhere:
            files = ", ".join(file.name for file in entry.files)
            found.append(Step(f"put {files} into {weights / entry.folder}", f"from {entry.source}", True))
    if missing:
        found.append(Step("anyscene weights verify", "says whether they are whole"))
    if awaited:
        found.append(Step("dvc repro scenes synthesis", "imports the scans, paints the classes"))
        found.append(Step("anyscene frames", "writes the images that models elsewhere are shown"))
    for model in awaited:
        found.append(Step(f"run {model} on data/frames", "`anyscene convert --help` says what is read", True))
        if model in converters.READERS:
            taken = f"anyscene convert FOLDER --from {model} --out {weights / model}"
            found.append(Step(taken, "takes its answers"))
    found.append(Step("anyscene doctor", "says what is still missing"))
    if not at_hand:
        found.append(Step('git add --all && git commit --message "Start"', "DVC's experiments want a commit"))
    found.append(Step("dvc repro", "computes everything"))
    found.append(Step('git add --all && git commit --message "First run"', "what an experiment goes back to"))
    found.append(Step("anyscene evaluation --show", "prints the table"))
    return found


def _any_scans(root: Path) -> bool:
    return root.is_dir() and any(root.iterdir())


def _is_there(name: str, params: Params) -> bool:
    """Whether a 2D model or the captioner of the parameters has weights, also others than the catalogue's
    first: SEEM has several files, of which one is used, and so has TAP."""
    section = params.segmenters
    try:
        if name == section.captioner:
            captions.find(section)
        elif name in section.names:
            segmenters.find(name, params)
        else:
            return False
    except PipelineError:
        return False
    return True
