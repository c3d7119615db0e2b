"""Check that this machine can run the pipeline."""

import functools
import importlib
import importlib.util
import os
import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from anyscene.cli.command import command
from anyscene.errors import PipelineError
from anyscene.project import parameters, presets
from anyscene.study import cost
from anyscene.weights import catalogue, verifying

DISK_GB = 10
THROUGHPUT = Path("reports/throughput.json")
PACKAGES = ("torchvision", "zarr", "dvc", "diffusers", "transformers", "segment_anything", "embreex")


def doctor(
    preset: Annotated[
        str | None, typer.Option(help=f"of the paper: {', '.join(presets.names())}; changes nothing")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="folder of the scans, with --preset")] = None,
    params: Path = Path("params.yaml"),
) -> None:
    """Check packages, sparse backends, weights, data and disk, and say what to do about what is missing; with
    --preset what the paper's settings for a data set need, and what they would cost."""
    checks, settings = _packages(), None
    try:
        settings = presets.load(preset, params, root) if preset else parameters.load(params)
    except PipelineError as error:
        checks.append((False, str(params), str(error)))
    if settings is not None:
        checks += _settings(settings, params if preset is None else presets.FOLDER / f"{preset}.yaml")
    if preset is None:
        checks.append(
            (_free_gb() >= DISK_GB, "disk", f"{_free_gb():.0f} GB free, the demo takes up to {DISK_GB}")
        )
    console = Console(highlight=False)
    table = Table("", "what", box=None)
    table.add_column("found", overflow="fold")  # addresses and paths whole
    for fine, what, found in checks:
        table.add_row("[green]ok[/]" if fine else "[red]no[/]", what, Text(found))
    console.print(table)
    if preset is not None and settings is not None:
        console.print(_cost(settings))
    if not all(fine for fine, _, _ in checks):
        raise PipelineError("something is missing: see the lines marked 'no'")


def _packages() -> list[tuple[bool, str, str]]:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device, works on CPU"
    checks = [(True, "torch", f"{torch.__version__}, {device}, {os.cpu_count()} cores")]
    for name in PACKAGES:
        found = importlib.util.find_spec(name) is not None
        checks.append((found, name, "installed" if found else "missing: run `make install`"))
    minkowski = importlib.util.find_spec("MinkowskiEngine") is not None
    checks.append(
        (True, "sparse backend", "MinkowskiEngine and torch" if minkowski else "torch (no MinkowskiEngine)")
    )
    return checks


def _settings(settings: parameters.Params, file: Path) -> list[tuple[bool, str, str]]:
    checks = [(True, str(file), f"dataset {settings.dataset.name}")]
    checks += [_segmenter(model, settings) for model in settings.segmenters.names]
    if settings.segmenters.captioner == "blip":
        checks.append(_captioner(Path(settings.segmenters.weights) / "blip"))
    checks.append(_text(settings.text.encoder))
    checks.append(_weights("text-to-image model", Path(settings.synthesis.diffusion), "model_index.json"))
    checks.append(_weights("SAM", Path(settings.synthesis.sam), "sam.json"))
    root = Path(settings.dataset.root)
    built = settings.dataset.name == "demo"
    hint = "built by `dvc repro`" if built else f"{root}: no such folder: set dataset.root"
    checks.append((root.is_dir() or built, "raw scans", str(root) if root.is_dir() else hint))
    return checks


def _segmenter(model: str, settings: parameters.Params) -> tuple[bool, str, str]:
    folder = Path(settings.segmenters.weights) / model
    what = f"2D model {model}"
    published = model in ("grounded", "lseg", "mask2former", "oneformer", "sam3")
    if published and not (folder / "precomputed.json").is_file():
        # here, for they need packages that may be what is missing
        from anyscene.segmenters import grounded, sam3, universal
        from anyscene.segmenters.lseg import segmenter as lseg

        finds = {"grounded": grounded.find, "lseg": lseg.find, "sam3": sam3.find}
        try:
            return True, what, str(finds.get(model, functools.partial(universal.find, model))(folder))
        except PipelineError as error:
            return False, what, str(error)
    found = folder.is_dir() and any(folder.iterdir())
    remedy = "run `make zoo`" if model in ("dense", "mask") else "docs/segmenters.md says what belongs there"
    for entry in catalogue.CATALOGUE:
        if entry.name == model:
            remedy = verifying.where_from(entry)
    return found, what, str(folder) if found else f"{folder} is empty: {remedy}"


def _text(encoder: str) -> tuple[bool, str, str]:
    _, _, pretrained = encoder.removeprefix("open_clip:").partition(":")
    if not encoder.startswith("open_clip:") or "/" not in pretrained:
        return True, "text encoder", encoder  # in a package, or downloaded by open_clip
    return _weights("text encoder", Path(pretrained), "")


def _weights(what: str, path: Path, inside: str) -> tuple[bool, str, str]:
    """path: a file, or a folder that holds the file `inside`."""
    if path.is_file() or (inside and (path / inside).is_file()):
        return True, what, str(path)
    entry = catalogue.entry_of(path)
    remedy = f"`anyscene weights fetch {entry.name}`" if entry else "see params.yaml"
    return False, what, f"{path}: not there; {remedy}"


def _captioner(folder: Path) -> tuple[bool, str, str]:
    from anyscene.segmenters.captions import blip

    try:
        return True, "captioner blip", str(blip.find(folder))
    except PipelineError as error:
        return False, "captioner blip", str(error)


def _free_gb() -> float:
    return shutil.disk_usage(".").free / 1e9


def _cost(settings: parameters.Params) -> Group:
    size = cost.extent(settings)
    lines = Table("", "", box=None, title="what it would cost", title_justify="left", show_header=False)
    scenes = "" if size.scenes is None else f"{size.scenes:,} scenes, "
    lines.add_row("data", Text(f"{scenes}{size.views:,} views: {size.known}"))
    for work in cost.work(settings, size, cost.read_rates(THROUGHPUT)):
        hours = "hours: not measured"
        if work.rate is not None:
            hours = f"{work.hours:,.1f} hours on {work.rate.device}, as measured with {work.rate.setting}"
        lines.add_row(work.what, f"{work.count:,} {work.unit}, {hours}")
    for name, section in (("distillation", settings.distillation), ("ensembling", settings.ensembling)):
        if size.training:
            epochs = cost.visits(section, size) / size.training
            lines.add_row("", f"{name}: {epochs:.1f} epochs of {size.training:,} scenes")
    each = cost.bytes_per_point(settings)
    disk = f"up to {each / 1000:.2f} GB a million points; how many there are is not known without the scans"
    if size.points is not None:
        disk = f"up to {each * size.points / 1e9:.0f} GB, {size.points:,} points of {each:,} bytes"
    lines.add_row("disk", f"{disk}; {_free_gb():.0f} GB are free")
    return Group("", lines)


app = command(doctor)

if __name__ == "__main__":
    app()
