"""reports/index.html: what came out, to look at. One file that needs no network."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from anyscene import datasets
from anyscene.datasets import LabelSet
from anyscene.errors import PipelineError, TrainingError
from anyscene.learning.engine import curve
from anyscene.project import parameters, store
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.project.progress import progress
from anyscene.show import charts, palette
from anyscene.show.report import drawn_scene, scores, timings
from anyscene.show.report.template import template
from anyscene.study.ablation import NETWORKS
from anyscene.study.table import title

TILE, TILES = 72, 4  # pixels of a synthesised image, images of a class
LARGEST_MB = 20  # of the page
ROOMS_MB = 14  # of the rooms in it: the rest is never as large as what is left
MANY = 40  # classes: of more the page lists those that are needed, and folds what is long
NAMED = 3  # scenes that a line about missing ones names
PACKAGES = ("anyscene", "torch", "MinkowskiEngine", "numpy", "zarr", "diffusers", "segment-anything")
UNSHOWN = ("report", "runtime")  # parameters that shape no result

Found = TypeVar("Found")


def build(params: Params, artefacts: Artefacts) -> str:
    """The page as HTML, of whatever there is; what is missing or damaged is said in it."""
    label_set = datasets.label_set(params.dataset.label_set)
    missing = _uncomputed(params, artefacts)
    metrics = _json(artefacts, "reports/metrics.json", missing)
    confusion = _json(artefacts, "reports/plots/confusion.json", missing)
    missing += _unmeasured(metrics)
    drawn, scenes, full = _rooms(params, artefacts, label_set, missing)
    capability = metrics["capability"]["model"] if metrics else _capability(params, artefacts, missing)
    return template("page.html.j2").render(
        params=params,
        metrics=metrics,
        missing=missing,
        headline=scores.headline(metrics) if metrics else [],
        table=scores.table(metrics) if metrics else None,
        differences=scores.differences(metrics) if metrics else [],
        classes=scores.classes(metrics, params.segmenters.names) if metrics else None,
        scatters=scores.scatters(metrics) if metrics else [],
        capability=capability,
        confusion=scores.confusion(confusion) if confusion else None,
        rooms=drawn,
        scenes=scenes,
        full=LARGEST_MB if full else None,
        legend=_legend(label_set, drawn),
        many=MANY,
        neutral=palette.hexadecimal(palette.NEUTRAL),
        right=palette.hexadecimal(palette.RIGHT),
        wrong=palette.hexadecimal(palette.WRONG),
        synthesis=_synthesis(params.vocabulary, artefacts, missing),
        tiles=min(TILES, params.synthesis.images),
        curves=_curves(artefacts, missing),
        sizes=_sizes(params, artefacts),
        stages=timings.stages(params),
        seeds=_seeds(params),
        settings=_settings(params),
        versions=[("Python", platform.python_version()), *((name, _version(name)) for name in PACKAGES)],
    )


def _legend(label_set: LabelSet, drawn: Sequence[drawn_scene.DrawnScene]) -> list[tuple[int, str, str]]:
    """(number, name, colour) of every class, of many those that a picture shows."""
    shown = {row for room in drawn for layer in room.layers for row in layer.classes}
    return [
        (row + 1, label_set.names[row], palette.hexadecimal(label_set.colours[row]))
        for row in range(len(label_set))
        if len(label_set) <= MANY or row in shown
    ]


def _json(artefacts: Artefacts, name: str, missing: list[str]) -> dict[str, Any] | None:
    path = artefacts.root / name
    try:
        return json.loads(path.read_text()) if path.is_file() else None
    except ValueError as error:
        missing.append(f"{name} is damaged ({error}): run dvc repro evaluation.")
        return None


def _uncomputed(params: Params, artefacts: Artefacts) -> list[str]:
    """What the stages before evaluation should have written and have not, as a whole or for some scenes."""
    models, known = params.segmenters.names, _ids(artefacts.data("scenes"))
    by_scene = {name: artefacts.data(name) for name in ("superpoints", "fusion")}
    by_scene |= {f"projection of {model}": artefacts.data(f"projection/{model}") for model in models}
    networks = [*(f"distillation/{objective}" for objective in params.distillation.objectives), "ensembling"]
    measured = {f"capability of {m}": artefacts.data("capability") / f"{m}.json" for m in models}
    there = {name: artefacts.has(folder) for name, folder in by_scene.items()}
    there |= {name: path.is_file() for name, path in measured.items()}
    there |= {name.replace("/", " "): artefacts.has(artefacts.model(name)) for name in networks}
    absent = [name for name, computed in there.items() if not computed]
    found = [f"Not computed: {', '.join(absent)}. Run dvc repro."] if known and absent else []
    for name, folder in by_scene.items():
        lacking = sorted(known - _ids(folder)) if there[name] else []
        if lacking:
            shown = ", ".join(lacking[:NAMED]) + (" and others" if len(lacking) > NAMED else "")
            found.append(f"{name} lacks {len(lacking)} of {len(known)} scenes: {shown}. Run dvc repro.")
    return found


def _ids(folder: Path) -> set[str]:
    return set(store.scene_ids(folder)) if folder.is_dir() else set()


def _unmeasured(metrics: dict[str, Any] | None) -> list[str]:
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
) -> tuple[list[drawn_scene.DrawnScene], int, bool]:
    """Pictures of up to `report.scenes` scenes of the split, how many scenes it has, and whether fewer are
    shown than asked for, for the page would grow too large."""
    split = params.evaluation.split
    if not artefacts.has(artefacts.data("scenes")):
        missing.append("There are no scenes yet: run dvc repro.")
        return [], 0, False
    scenes = _tried(lambda: store.split_ids(artefacts.data("scenes"), split), missing)
    if not scenes:
        missing.append(f"No scene of the split {split} can be shown.")
        return [], 0, False
    ablation = _tried(lambda: drawn_scene.ablation(params, artefacts, label_set), missing)
    chosen = drawn_scene.choose(scenes, params.report.scenes)
    drawn: dict[str, drawn_scene.DrawnScene] = {}
    left, full = ROOMS_MB * 1e6, False
    with progress("report", len(chosen)) as advance:
        for scene in drawn_scene.spread(chosen):
            room = _tried(
                lambda scene=scene: drawn_scene.draw(scene, params, artefacts, label_set, ablation), missing
            )
            if room is not None:
                left -= sum(len(layer.image) for layer in room.layers)
                full = left < 0
                if full:
                    break
                drawn[scene] = room
                missing += room.problems
            advance()
    return [drawn[scene] for scene in chosen if scene in drawn], len(scenes), full


def _tried(work: Callable[[], Found], missing: list[str]) -> Found | None:
    """What the work gives; None where an artefact is damaged, which is then among what is missing."""
    try:
        return work()
    except PipelineError as error:
        missing.append(str(error))
        return None


def _capability(params: Params, artefacts: Artefacts, missing: list[str]) -> dict[str, Any]:
    """As metrics.json has it, of a run that was not evaluated."""
    found = {}
    for model in params.segmenters.names:
        measured = _tried(lambda model=model: artefacts.capability(model, params.vocabulary), missing)
        if measured is not None:
            percent = dict(zip(params.vocabulary, (100 * measured).tolist(), strict=True))
            found[model] = {"capability": percent}
    return found


def _synthesis(vocabulary: Sequence[str], artefacts: Artefacts, missing: list[str]) -> list[tuple[str, str]]:
    """(class, sheet of images) of every class that has any."""
    found = []
    for name in vocabulary:
        path = store.scene_path(artefacts.data("synthesis"), name.replace(" ", "_"))
        if path.is_dir() and (sheet := _tried(lambda path=path: _sheet(path), missing)):
            found.append((name, sheet))
    if len(found) < len(vocabulary):
        missing.append(f"Images were synthesised for {len(found)} of {len(vocabulary)} classes.")
    return found


def _sheet(path: Path) -> str:
    group = store.open_scene(path)
    arrays = (group[array][:TILES] for array in ("image", "attention", "coarse", "mask"))
    return palette.data_uri(palette.synthesis_sheet(*arrays, TILE, TILES), 70)


def _curves(artefacts: Artefacts, missing: list[str]) -> list[charts.Curve]:
    found = []
    for row, folder in NETWORKS.items():
        if (artefacts.model(folder) / curve.FOLDER).is_dir():
            read = _tried(lambda folder=folder: _curve(artefacts.model(folder)), missing)
            if read is not None:
                found.append(charts.curve(title(row).removeprefix("+ "), *read))
    return found


def _curve(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        step, loss = curve.read(folder)
    except IndexError as error:
        raise TrainingError(f"{folder / curve.FOLDER}: not a step in it; train again") from error
    known = np.isfinite(loss)
    if not known.any():
        raise TrainingError(f"{folder / curve.FOLDER}: no loss in it is finite; train again")
    return step[known], loss[known]


def _sizes(params: Params, artefacts: Artefacts) -> list[tuple[str, int, int]]:
    """(folder, files, bytes) of what each stage has written."""
    stages = ["scenes", "labels", "superpoints", *(f"projection/{m}" for m in params.segmenters.names)]
    folders = [artefacts.data(stage) for stage in (*stages, "synthesis", "capability", "fusion")]
    folders += [artefacts.model(folder) for folder in NETWORKS.values()]
    found = []
    for folder in filter(artefacts.has, folders):
        sizes = [p.stat().st_size for p in folder.rglob("*") if p.is_file() and p.name != ".gitignore"]
        found.append((folder.relative_to(artefacts.root).as_posix(), len(sizes), sum(sizes)))
    return found


def _seeds(params: Params) -> list[tuple[str, int]]:
    """(section, seed) of everything that is drawn at random."""
    shown = {name: section for name, section in vars(params).items() if name not in _unshown(params)}
    return [(name, section.seed) for name, section in shown.items() if hasattr(section, "seed")]


def _unshown(params: Params) -> tuple[str, ...]:
    return UNSHOWN if params.dataset.name == "demo" else (*UNSHOWN, "world")


def _settings(params: Params) -> str:
    """The parameters that shape results, as YAML."""
    sections = parameters.plain(params).items()
    shown = {name: _listed(section) for name, section in sections if name not in _unshown(params)}
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
