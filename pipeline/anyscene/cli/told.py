"""What a person tells of a capture, a mesh or a cloud that it does not say itself: options of several
commands."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anyscene.cli.import_ import Confidence, DepthUnit, Every, From, Mesh, Scale, Sure, Up, export_options
from anyscene.datasets import imports
from anyscene.datasets.imports import ExportOptions
from anyscene.library.scanned import as_scene
from anyscene.project.parameters import Params
from anyscene.scene import Scene

if TYPE_CHECKING:
    from anyscene.library.feature_cloud import FeatureCloud

ANYTHING = (
    "id of an imported scene; or a path: of an artefact (.zarr), a scan, an export (folder or archive), a "
    "mesh or cloud (.ply, .npy), or a folder with mesh.ply alone"
)
SAID = (
    "Options from --from to --every say what an export does not say itself, as for anyscene import. --scale "
    "and --up also work for a mesh or a cloud."
)


@dataclass(frozen=True)
class Told:
    """What `anyscene import` is told of an export."""

    exporter: str | None
    options: ExportOptions
    mesh: Path | None
    every: int

    def open(self, scene: str, source: str | None, params: Path | None) -> FeatureCloud:
        """As `anyscene.open`. It takes PyTorch."""
        from anyscene.library import opening

        return opening.open(
            scene,
            source=source,
            project=params,
            exporter=self.exporter,
            options=self.options,
            mesh=self.mesh,
            every=self.every,
        )

    def as_scene(self, path: Path, settings: Params) -> AbstractContextManager[tuple[Scene, str]]:
        """As `library.scanned.as_scene`."""
        return as_scene(path, settings, self.exporter, self.options, self.mesh, self.every)

    def refuse(self, because: str) -> None:
        """Raise DataError where anything was told and there is nothing to import."""
        imports.refuse(self.exporter, self.options, self.mesh, self.every, because)


def with_told(main: Callable[..., object]) -> Callable[..., object]:
    """`main`, which takes a Told as `told`, as a command that has the options of `anyscene import` in its
    place, and says so in its help."""
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
    asked.__doc__ = f"{inspect.cleandoc(main.__doc__ or '')}\n\n{SAID}"
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
