"""Check that this machine can run the pipeline."""

import importlib
import importlib.util
import os
import shutil
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline import config
from pipeline.errors import PipelineError
from stages import command

DISK_GB = 10
PACKAGES = ("torchvision", "zarr", "dvc", "diffusers", "transformers", "segment_anything", "embreex")


def doctor(params: Path = Path("params.yaml")) -> None:
    """Check packages, sparse backends, weights, data and disk, and say what to do about what is missing."""
    checks = [*_packages(), *_settings(params), _disk()]
    table = Table("", "what", "found", box=None)
    for fine, what, found in checks:
        table.add_row("[green]ok[/]" if fine else "[red]no[/]", what, found)
    Console(highlight=False).print(table)
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


def _settings(params: Path) -> list[tuple[bool, str, str]]:
    try:
        settings = config.load(params)
    except PipelineError as error:
        return [(False, str(params), str(error))]
    checks = [(True, str(params), f"dataset {settings.dataset.name}")]
    checks += [_segmenter(model, settings) for model in settings.segmenters.names]
    if settings.segmenters.captioner == "blip":
        checks.append(_captioner(Path(settings.segmenters.weights) / "blip"))
    root = Path(settings.dataset.root)
    built = settings.dataset.name == "demo"
    hint = "built by `dvc repro`" if built else "no such folder: set dataset.root"
    checks.append((root.is_dir() or built, "raw scans", str(root) if root.is_dir() else hint))
    return checks


def _segmenter(model: str, settings: config.Params) -> tuple[bool, str, str]:
    folder = Path(settings.segmenters.weights) / model
    what = f"2D model {model}"
    published = model in ("lseg", "mask2former", "oneformer")
    if published and not (folder / "precomputed.json").is_file():
        # here, for they need packages that may be what is missing
        from pipeline.segmenters import lseg, universal

        try:
            return True, what, str(lseg.find(folder) if model == "lseg" else universal.find(model, folder))
        except PipelineError as error:
            return False, what, str(error)
    found = folder.is_dir() and any(folder.iterdir())
    remedy = "run `make zoo`" if model in ("dense", "mask") else "docs/segmenters.md says what belongs there"
    return found, what, str(folder) if found else f"{folder} is empty: {remedy}"


def _captioner(folder: Path) -> tuple[bool, str, str]:
    from pipeline.segmenters import blip

    try:
        return True, "captioner blip", str(blip.find(folder))
    except PipelineError as error:
        return False, "captioner blip", str(error)


def _disk() -> tuple[bool, str, str]:
    free = shutil.disk_usage(".").free / 1e9
    return free >= DISK_GB, "disk", f"{free:.0f} GB free, the demo takes up to {DISK_GB}"


app = command(doctor)

if __name__ == "__main__":
    app()
