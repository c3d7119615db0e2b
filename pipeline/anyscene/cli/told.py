"""What a person tells of a capture, a mesh or a cloud that it does not say itself: options of several
commands."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from anyscene.datasets import imports, readings
from anyscene.datasets.geometry import formats
from anyscene.datasets.imports import ExportOptions
from anyscene.datasets.walls import WALLS
from anyscene.errors import DataError
from anyscene.library.scanned import as_scene
from anyscene.project.parameters import Params
from anyscene.scene import Scene

ANYTHING = (
    "id of an imported scene; or a path: of an artefact (.zarr), a scan, an export (folder or archive), or a "
    f"mesh or cloud ({', '.join(formats.READERS)}; also in a folder or a .zip)"
)
SAID = (
    "Options from --from to --axes say what an export does not say itself, as for anyscene import. --scale, "
    "--up and --walls also work for a scan, a mesh or a cloud. Without --up, what is up is found by surfaces "
    "and cameras where they agree, and said; so is the angle at which walls stand."
)

# its members are known once the readers are
Exporter = StrEnum("Exporter", {name: name for name in imports.READERS})  # type: ignore[misc]
DepthForms = StrEnum("DepthForms", {name: name for name in readings.FORMS})  # type: ignore[misc]
Directions = StrEnum("Directions", {name: name for name in readings.POSES})  # type: ignore[misc]
AxesOf = StrEnum("AxesOf", {name: name for name in readings.AXES})  # type: ignore[misc]
WallsOf = StrEnum("WallsOf", {name: name for name in WALLS})  # type: ignore[misc]
UNITS = {"m": 1.0, "mm": 0.001}


class Confidence(StrEnum):
    """How sure a device is of its depth, from the lowest to the highest."""

    low = "low"
    medium = "medium"
    high = "high"


From = Annotated[Exporter | None, typer.Option("--from", help="what wrote the export; default: by its files")]
Scale = Annotated[float | None, typer.Option(help="metres of a unit of its poses; 1 where measured")]
DepthUnit = Annotated[str | None, typer.Option(help="unit of its depth: mm, m, or metres of a step")]
Up = Annotated[
    str | None,
    typer.Option(help="what is up in its world: x, -x, y, ..., X,Y,Z, or images: where these are held level"),
]
Stand = Annotated[
    WallsOf | None,
    typer.Option(
        "--walls", help="align: turned along x and y, where they tell their angle; keep: as they stand"
    ),
]
Sure = Annotated[Confidence, typer.Option(help="depth that the device was less sure of is dropped")]
Mesh = Annotated[
    Path | None,
    typer.Option(help="mesh or cloud in the export's world; colours that it lacks are those of the frames"),
]
Estimate = Annotated[
    Path | None,
    typer.Option(
        "--estimate-depth",
        help="folder of a Depth Anything model; it estimates the depth of an export that has none",
    ),
]
Form = Annotated[
    DepthForms | None,
    typer.Option("--depth-form", help="what depth counts: steps along the axis of the camera, or a ray"),
]
PosesLead = Annotated[Directions | None, typer.Option("--poses", help="from where to where its poses lead")]
CameraAxes = Annotated[
    AxesOf | None, typer.Option("--axes", help="of its cameras; opengl: x right, y up, z back")
]
Anyway = Annotated[
    bool, typer.Option("--anyway", help="go on where depth maps contradict each other, or the mesh")
]
Every = Annotated[int, typer.Option(min=1, help="take every so many-th of its frames")]


@dataclass(frozen=True)
class Told:
    """What `anyscene import` is told of an export. The fields are arguments of `anyscene.open`."""

    exporter: str | None
    options: ExportOptions
    mesh: Path | None
    every: int

    def as_scene(self, path: Path, settings: Params) -> AbstractContextManager[tuple[Scene, str]]:
        """As `library.scanned.as_scene`, with progress."""
        return as_scene(
            path, settings, self.exporter, self.options, self.mesh, self.every, show_progress=True
        )

    def refuse(self, because: str) -> None:
        """Raise DataError where anything was told and there is nothing to import."""
        imports.refuse(self.exporter, self.options, self.mesh, self.every, because)


def with_told(main: Callable[..., object], said: str = SAID) -> Callable[..., object]:
    """`main`, which takes a Told as `told`, as a command that has the options of `anyscene import` in its
    place. said: what its help then says of them."""
    tell: Callable[..., Told] = _told
    options = list(inspect.signature(tell, eval_str=True).parameters.values())
    of_main = list(inspect.signature(main, eval_str=True).parameters.values())
    place = [one.name for one in of_main].index("told")

    @functools.wraps(main)
    def asked(**arguments: object) -> object:
        told = tell(**{one.name: arguments.pop(one.name) for one in options})
        return main(told=told, **arguments)

    taken = [*of_main[:place], *options, *of_main[place + 1 :]]
    keywords = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in taken]
    asked.__dict__["__signature__"] = inspect.Signature(keywords)
    asked.__doc__ = f"{inspect.cleandoc(main.__doc__ or '')}\n\n{said}".rstrip()
    asked.__annotations__ = {one.name: one.annotation for one in taken}
    return asked


def _told(
    exporter: From = None,
    scale: Scale = None,
    depth_unit: DepthUnit = None,
    up: Up = None,
    walls: Stand = None,
    confidence: Sure = Confidence.medium,
    mesh: Mesh = None,
    estimate: Estimate = None,
    every: Every = 1,
    depth_form: Form = None,
    poses: PosesLead = None,
    axes: CameraAxes = None,
    anyway: Anyway = False,
) -> Told:
    options = export_options(scale, depth_unit, up, confidence)
    meant = {"walls": walls, "depth_form": depth_form, "poses": poses, "axes": axes}
    said: dict[str, Any] = {name: choice and str(choice) for name, choice in meant.items()}
    options = replace(options, **said, anyway=anyway)
    if estimate is not None:
        from anyscene.project.device import choose_device  # takes PyTorch
        from anyscene.segmenters.depth_anything import DepthAnything

        options = replace(options, depth_model=DepthAnything.load(estimate, choose_device("auto")))
    return Told(exporter, options, mesh, every)


def export_options(
    scale: float | None, depth_unit: str | None, up: str | None, confidence: str
) -> ExportOptions:
    """The options in the form of the library. Raises DataError for what is not a unit or not a direction."""
    if scale is not None and not readings.SMALLEST <= scale <= readings.LARGEST:
        raise DataError(
            f"--scale {scale:g}: must be {readings.SMALLEST:g} to {readings.LARGEST:g}, the metres of a unit"
        )
    direction = None if up is None else imports.direction(up)
    sure = list(Confidence).index(Confidence(confidence))
    return ExportOptions(scale, _unit(depth_unit), direction, confidence=sure)


def _unit(text: str | None) -> float | None:
    if text is None:
        return None
    if text in UNITS:
        return UNITS[text]
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not readings.SMALLEST <= value <= readings.LARGEST:
        raise DataError(f"--depth-unit {text}: give mm, m, or the metres of one step (0.00025)")
    return value
