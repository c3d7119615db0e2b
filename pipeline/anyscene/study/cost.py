"""What a run would cost: views, hours, disk. Counted and measured, and where not, that is said.

Rates are those of reports/throughput.json, written by `python -m benchmarks.speed.throughput`: a list of
{"what", "device", "setting", "per_second", ...}. `what`: a 2D model, a diffusion model, a SAM or a training.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anyscene import datasets, segmenters
from anyscene.capability import titles
from anyscene.datasets import Extent
from anyscene.errors import DataError, PipelineError
from anyscene.project.parameters import Params, Training
from anyscene.text import width_of

SAMPLE = 3  # scenes that are read to estimate all of them
SCENE_BYTES = 4 * 3 + 3 + 4 * 3 + 2 + 4 + 4  # xyz, colour, normal, label, instance, superpoint of a point


@dataclass(frozen=True)
class Rate:
    """per_second on `device`, measured at `setting`: "frames of 320x240, base 640"."""

    per_second: float
    device: str
    setting: str


@dataclass(frozen=True)
class Work:
    """count of `unit` that `what` takes; rate: None where it was not measured."""

    what: str
    count: int
    unit: str
    rate: Rate | None

    @property
    def hours(self) -> float | None:
        return None if self.rate is None else self.count / self.rate.per_second / 3600


def extent(params: Params) -> Extent:
    """What lies in dataset.root: scenes counted, views and points estimated from a few scenes; where nothing
    does, what was published about the data set. Raises DataError where neither is known."""
    if not Path(params.dataset.root).is_dir():
        published = datasets.entry(params.dataset.reader).published(params.scenes.frame_stride)
        if published is None:
            raise DataError(f"{params.dataset.root}: no such folder; set dataset.root to the scans")
        return published
    dataset = datasets.open_dataset(params.dataset, params.scenes)
    splits = dataset.splits()
    places = np.linspace(0, len(splits) - 1, min(SAMPLE, len(splits))).round().astype(int)
    chosen = [list(splits)[place] for place in places]
    scenes = [dataset.read(scene) for scene in chosen]
    views = round(np.mean([len(scene.frames) for scene in scenes]) * len(splits))
    points = round(np.mean([len(scene.xyz) for scene in scenes]) * len(splits))
    training = sum(split == "train" for split in splits.values())
    of = "counted" if len(chosen) == len(splits) else f"estimated from {', '.join(chosen)}"
    return Extent(len(splits), training, views, points, of)


def work(params: Params, size: Extent, rates: dict[str, Rate]) -> list[Work]:
    """What takes time, in the order of the stages. 2D models label the synthesised images besides."""
    images = params.synthesis.images * len(params.vocabulary)
    section = params.segmenters
    models = [model for model in section.names if not segmenters.runs_elsewhere(model, section)]
    found = [(segmenters.entry(model).title, size.views, "views") for model in models]
    found.append((titles.painter(params.synthesis.diffusion), images, "images"))
    found.append((titles.sam(params.synthesis.sam), images, "masks"))
    found += [(what, images, "synthesised images") for what, *_ in found[: len(models)]]
    for section in params.training.values():
        found.append((training(section.kind, params), visits(section, size), "scenes"))
    return [Work(*one, rates.get(one[0])) for one in found]


def visits(section: Training, size: Extent) -> int:
    """Scenes that a training goes through, each as often as it is visited."""
    batch = section.batch if size.training is None else min(section.batch, size.training)
    return section.steps * batch * section.accumulate


def training(kind: str, params: Params) -> str:
    """What reports/throughput.json calls a training by an objective of that kind: by what its rate depends
    on."""
    return f"{kind} {params.network.variant}, {params.network.voxel * 100:g} cm"


def read_rates(file: Path) -> dict[str, Rate]:
    """By what was measured, on the fastest device; empty without the file. Raises PipelineError where it is
    no such list."""
    if not file.is_file():
        return {}
    found: dict[str, Rate] = {}
    try:
        for row in json.loads(file.read_text()):
            rate = Rate(float(row["per_second"]), str(row["device"]), str(row["setting"]))
            known = found.setdefault(row["what"], rate)
            found[row["what"]] = max(known, rate, key=lambda one: one.per_second)
        return found
    except (ValueError, KeyError, TypeError) as error:
        raise PipelineError(
            f"{file}: no list of what, device, setting and per_second ({error!r}); measure again"
        ) from error


def bytes_per_point(params: Params) -> int:
    """That the artefacts take of a point, before they are compressed: an upper bound. Superpoints' features,
    some dozens of points to one, are left out."""
    models, width = len(params.segmenters.names), width_of(params.text.encoder)
    feature = 2 * width
    fusion = 1 + 3 * models + (feature if params.fusion.point_features else 0)
    return SCENE_BYTES + models * (feature + 2) + fusion
