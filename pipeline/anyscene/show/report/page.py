"""reports/index.html: what came out, to look at. It is one file and needs no network."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from anyscene.capability.class_ids import class_id
from anyscene.capability.measured import read as read_capability
from anyscene.datasets import LabelSet
from anyscene.networks.trained import described
from anyscene.project import layout, outputs, parameters, store
from anyscene.project.console import stdout
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.show import charts, palette
from anyscene.show.report import drawn_scene, gaps, scores, timings
from anyscene.show.report.run import Run
from anyscene.show.report.template import template
from anyscene.study.losses import losses

TILE, TILES = 72, 4  # pixels of a synthesised image; images of a class
LARGEST_MB = 20  # of the page
MANY = 40  # with more classes the page lists only those that are needed, and folds what is long
PACKAGES = ("anyscene", "torch", "numpy", "zarr", "diffusers", "segment-anything")
UNSHOWN = ("report", "runtime")  # parameters that shape no result


def write(params: Params, artefacts: Artefacts, stages: Sequence[str]) -> None:
    """Write the page, and beside it timings.html with a line for each of `stages`; print where the page
    is."""
    text, lines = build(params, artefacts, stages), timings.build(stages, artefacts)
    path = artefacts.root / layout.PAGE
    outputs.write(artefacts.root / layout.TIMINGS, lines)
    outputs.write(path, text)
    stdout().print(f"report: {path.resolve()} ({len(text) / 1e6:.1f} MB)")


def build(params: Params, artefacts: Artefacts, stages: Sequence[str]) -> str:
    """The page as HTML. It shows what there is, and says what is missing or damaged. stages: those before the
    report, as DVC names them."""
    run = Run(params, artefacts)
    run.missing.extend(gaps.uncomputed(run))
    run.missing.extend(gaps.unmeasured(run))
    run.missing.extend(gaps.doubtful(run))
    shown = drawn_scene.gallery(run)
    return template("page.html.j2").render(
        params=params,
        metrics=run.metrics,
        **scores.shown(run.metrics),
        confusion=scores.confusion(run.confusion, run.metrics),
        capability=_capability(run),
        gallery=shown,
        largest=LARGEST_MB,
        legend=legend(run.label_set, shown.drawn),
        many=MANY,
        neutral=palette.hexadecimal(palette.NEUTRAL),
        right=palette.hexadecimal(palette.RIGHT),
        wrong=palette.hexadecimal(palette.WRONG),
        synthesis=_synthesis(run),
        tiles=min(TILES, params.synthesis.images),
        curves=_curves(run),
        sizes=_sizes(run),
        stages=stages,
        seeds=_seeds(params),
        settings=_settings(params),
        versions=[
            ("Python", platform.python_version()),
            *((name, _version(name)) for name in _packages(run)),
        ],
        missing=list(dict.fromkeys(run.missing)),
    )


def legend(label_set: LabelSet, drawn: Iterable[drawn_scene.DrawnScene]) -> list[tuple[int, str, str]]:
    """(number, name, colour) for every class; where there are many, for those that a picture shows."""
    shown = {row for scene in drawn for picture in scene.pictures for row in picture.classes}
    return [
        (row + 1, label_set.names[row], palette.hexadecimal(label_set.colours[row]))
        for row in range(len(label_set))
        if len(label_set) <= MANY or row in shown
    ]


def _capability(run: Run) -> dict[str, Any]:
    """The capability of each 2D model, as metrics.json has it; also for a run that was not evaluated."""
    if run.metrics:
        known: dict[str, Any] = run.metrics["capability"]["model"]
        return known
    found: dict[str, Any] = {}
    vocabulary, folder = run.params.vocabulary, run.artefacts.data("capability")
    for model in run.params.segmenters.names:
        measured = run.tried(partial(read_capability, folder, model, vocabulary))
        if measured is not None:
            percent = dict(zip(vocabulary, (100 * measured).tolist(), strict=True))
            found[model] = {"capability": percent}
    return found


def _synthesis(run: Run) -> list[tuple[str, str]]:
    """(class, sheet of images) for every class that has any."""
    found, vocabulary = [], run.params.vocabulary
    for name in vocabulary:
        path = store.scene_path(run.artefacts.data("synthesis"), class_id(name))
        if path.is_dir() and (sheet := run.tried(partial(_sheet, path))):
            found.append((name, sheet))
    if len(found) < len(vocabulary):
        run.missing.append(f"Images were synthesised for {len(found)} of {len(vocabulary)} classes.")
    return found


def _sheet(path: Path) -> str:
    group = store.open_scene(path)
    image, attention, coarse, mask = (
        group[array][:TILES] for array in ("image", "attention", "coarse", "mask")
    )
    return palette.data_uri(palette.synthesis_sheet(image, attention, coarse, mask, TILE, TILES), 70)


def _curves(run: Run) -> list[charts.LineChart]:
    """The training losses of every network."""
    networks = run.tried(lambda: described(run.artefacts.networks)) or ()
    return [
        charts.curve(found.network.title.removeprefix("+ "), found.step, found.loss)
        for found in losses(networks, run.missing)
    ]


def _sizes(run: Run) -> list[tuple[str, int, int]]:
    """(folder, number of files, bytes) of what each stage has written."""
    models = run.params.segmenters.names
    stages = ("scenes", "labels", "superpoints", *(f"projection/{model}" for model in models))
    folders = [run.artefacts.data(stage) for stage in (*stages, "synthesis", "capability", "fusion")]
    folders += [run.artefacts.model(name) for name in run.params.training]
    found = []
    for folder in filter(run.artefacts.has, folders):
        sizes = [p.stat().st_size for p in folder.rglob("*") if p.is_file() and p.name != ".gitignore"]
        found.append((folder.relative_to(run.artefacts.root).as_posix(), len(sizes), sum(sizes)))
    return found


def _seeds(params: Params) -> list[tuple[str, int]]:
    """(section or network, seed) for everything that is drawn at random."""
    shown = {name: section for name, section in vars(params).items() if name not in _unshown(params)}
    return [
        (name, section.seed)
        for name, section in (shown | params.training).items()
        if hasattr(section, "seed")
    ]


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


def _packages(run: Run) -> Iterator[str]:
    """Those that computed the run. The page is the same where others are installed, too."""
    yield from PACKAGES
    if run.metrics and "minkowski" in run.metrics["backend"].values():
        yield "MinkowskiEngine"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
