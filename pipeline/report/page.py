"""reports/index.html: what came out, to look at. One file that needs no network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jinja2
import yaml

from pipeline import config, datasets, store
from pipeline.config import Params
from pipeline.datasets import LabelSet
from pipeline.evaluation.artefacts import Artefacts
from pipeline.evaluation.rows import NETWORKS
from pipeline.evaluation.table import title
from pipeline.progress import progress
from pipeline.report import charts, images, rooms, scores
from pipeline.training import curve

TILE, TILES = 72, 4  # pixels of a synthesised image, images of a class
STAGES = ("scenes", "labels", "superpoints", "projection", "synthesis", "capability", "fusion")
PACKAGES = ("anyscene", "torch", "MinkowskiEngine", "numpy", "zarr", "diffusers", "segment-anything")
UNSHOWN = ("world", "report", "runtime")  # parameters that shape no result


def build(params: Params, artefacts: Artefacts) -> str:
    """The page as HTML, of whatever there is; what is missing is said in it."""
    label_set = datasets.label_set(params.dataset.label_set)
    metrics = _json(artefacts.root / "reports/metrics.json")
    confusion = _json(artefacts.root / "reports/plots/confusion.json")
    missing = _missing(metrics)
    drawn, scenes = _rooms(params, artefacts, label_set, missing)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("page.html.j2").render(
        params=params,
        metrics=metrics,
        missing=missing,
        headline=scores.headline(metrics) if metrics else [],
        table=scores.table(metrics) if metrics else None,
        differences=scores.differences(metrics) if metrics else [],
        classes=scores.classes(metrics, params.segmenters.names) if metrics else None,
        scatters=scores.scatters(metrics) if metrics else [],
        confusion=scores.confusion(confusion) if confusion else None,
        rooms=drawn,
        scenes=scenes,
        legend=[
            (name, images.hexadecimal(colour))
            for name, colour in zip(label_set.names, label_set.colours, strict=True)
        ],
        neutral=images.hexadecimal(images.NEUTRAL),
        right=images.hexadecimal(images.RIGHT),
        wrong=images.hexadecimal(images.WRONG),
        synthesis=_synthesis(params.vocabulary, artefacts, missing),
        curves=_curves(artefacts),
        sizes=_sizes(artefacts),
        settings=_settings(params),
        versions=[(name, _version(name)) for name in PACKAGES],
    )


def _json(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.is_file() else None


def _missing(metrics: dict[str, Any] | None) -> list[str]:
    if metrics is None:
        return ["There are no figures, for nothing was evaluated: run dvc repro."]
    missing = [f"{title(row).removeprefix('+ ')}: {reason}." for row, reason in metrics["missing"].items()]
    if not metrics["semantic"]:
        missing.append("No scene is annotated, so nothing can be measured; what is predicted is shown below.")
    elif metrics["unannotated"]:
        missing.append(f"Without annotation, so in no figure: {', '.join(metrics['unannotated'])}.")
    return missing


def _rooms(
    params: Params, artefacts: Artefacts, label_set: LabelSet, missing: list[str]
) -> tuple[list[rooms.Room], int]:
    """Pictures of up to `report.scenes` scenes of the split, and how many scenes it has."""
    if not artefacts.has(artefacts.data("scenes")):
        missing.append("There are no scenes yet: run dvc repro.")
        return [], 0
    scenes = store.split_ids(artefacts.data("scenes"), params.evaluation.split)
    ablation = rooms.ablation(params, artefacts, label_set)
    chosen, drawn = rooms.choose(scenes, params.report.scenes), []
    with progress("report", len(chosen)) as advance:
        for scene in chosen:
            drawn.append(rooms.draw(scene, params, artefacts, label_set, ablation))
            advance()
    return drawn, len(scenes)


def _synthesis(vocabulary: Sequence[str], artefacts: Artefacts, missing: list[str]) -> list[tuple[str, str]]:
    """(class, sheet of images) of every class that has any."""
    found = []
    for name in vocabulary:
        path = store.scene_path(artefacts.data("synthesis"), name.replace(" ", "_"))
        if path.is_dir():
            group = store.open_scene(path)
            arrays = (group[array][:TILES] for array in ("image", "attention", "coarse", "mask"))
            found.append((name, images.data_uri(images.synthesis_sheet(*arrays, TILE, TILES), 70)))
    if len(found) < len(vocabulary):
        missing.append(f"Images were synthesised for {len(found)} of {len(vocabulary)} classes.")
    return found


def _curves(artefacts: Artefacts) -> list[charts.Curve]:
    found = []
    for row, folder in NETWORKS.items():
        if (artefacts.model(folder) / curve.FOLDER).is_dir():
            found.append(charts.curve(title(row).removeprefix("+ "), *curve.read(artefacts.model(folder))))
    return found


def _sizes(artefacts: Artefacts) -> list[tuple[str, int, int]]:
    """(folder, files, bytes) of what each stage has written."""
    folders = [artefacts.data(stage) for stage in STAGES] + [artefacts.model(f) for f in NETWORKS.values()]
    found = []
    for folder in filter(artefacts.has, folders):
        sizes = [p.stat().st_size for p in folder.rglob("*") if p.is_file() and p.name != ".gitignore"]
        found.append((folder.relative_to(artefacts.root).as_posix(), len(sizes), sum(sizes)))
    return found


def _settings(params: Params) -> str:
    """The parameters that shape results, as YAML."""
    shown = {name: _listed(section) for name, section in config.plain(params).items() if name not in UNSHOWN}
    return yaml.safe_dump(shown, sort_keys=False, default_flow_style=None, width=88)


def _listed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _listed(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
