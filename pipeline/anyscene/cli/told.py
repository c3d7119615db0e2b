"""What a person tells of a capture, a mesh or a cloud that it does not say itself: options of several
commands."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from anyscene.cli.import_ import Confidence, DepthUnit, Every, From, Mesh, Scale, Sure, Up, export_options
from anyscene.datasets import imports
from anyscene.datasets.imports import ExportOptions
from anyscene.library.scanned import as_scene
from anyscene.project.parameters import Params
from anyscene.scene import Scene

ANYTHING = (
    "id of an imported scene; or a path: of an artefact (.zarr), a scan, an export (folder or archive), a "
    "mesh or cloud (.ply, .npy), or a folder with mesh.ply alone"
)


@dataclass(frozen=True)
class Told:
    """What `anyscene import` is told of an export."""

    exporter: str | None
    options: ExportOptions
    mesh: Path | None
    every: int

    def as_scene(self, path: Path, settings: Params) -> AbstractContextManager[tuple[Scene, str]]:
        """As `library.scanned.as_scene`."""
        return as_scene(path, settings, self.exporter, self.options, self.mesh, self.every)

    def refuse(self, because: str) -> None:
        """Raise DataError where anything was told and there is nothing to import."""
        imports.refuse(self.exporter, self.options, self.mesh, self.every, because)


def with_told(main: Callable[..., object]) -> Callable[..., object]:
    """`main`, which takes `told`, as a command that has the options of `anyscene import` in its place. It is
    given `told` as a Told."""
    options = list(inspect.signature(_told, eval_str=True).parameters.values())
    of_main = list(inspect.signature(main, eval_str=True).parameters.values())
    place = [one.name for one in of_main].index("told")

    @functools.wraps(main)
    def asked(**arguments: object) -> object:
        told = _told(**{one.name: arguments.pop(one.name) for one in options})  # type: ignore[arg-type]
        return main(told=told, **arguments)

    taken = [*of_main[:place], *options, *of_main[place + 1 :]]
    keywords = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in taken]
    asked.__dict__["__signature__"] = inspect.Signature(keywords)
    asked.__annotations__ = {one.name: one.annotation for one in taken}
    return asked


def _told(
    export: From = None,
    scale: Scale = None,
    depth_unit: DepthUnit = None,
    up: Up = None,
    confidence: Sure = Confidence.medium,
    mesh: Mesh = None,
    every: Every = 1,
) -> Told:
    return Told(export, export_options(scale, depth_unit, up, confidence), mesh, every)
