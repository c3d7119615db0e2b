"""Check that this machine can run the pipeline."""

import codecs
import importlib.util
import json
import locale
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from anyscene import datasets, segmenters
from anyscene.cli.command import command
from anyscene.cli.options import Json
from anyscene.cli.steps import Step, steps
from anyscene.cli.told import Told, with_told
from anyscene.datasets import Extent
from anyscene.errors import PipelineError
from anyscene.library.opening import located
from anyscene.project import extras, layout, new_project, parameters, presets
from anyscene.project.console import stdout
from anyscene.project.stages import declared
from anyscene.segmenters import captions
from anyscene.study import cost, disk
from anyscene.weights import catalogue, headers

DEMO = "demo"  # the data set that this package makes itself
DAY = 24  # hours: what takes longer on a CPU is work for a GPU
DISK_GB = 4  # of data and models after `make demo`: 1.7, and as much again in a cache without hard links
MEASURED_BY = (
    "not measured: in a clone `python -m benchmarks.speed.throughput --device cuda NAME ...` measures what "
    "runs here; time others on some frames"
)
NO_PROJECT = (
    "none here; scans and networks are opened by their paths. `anyscene init FOLDER`, in a clone, makes one"
)
SAID = "Options from --from to --axes say what SCAN does not say itself, as for anyscene import."
AGAIN = "get it again; `anyscene weights verify` reads files whole"
MISSING = "something is missing: see the lines marked 'no'"
PACKAGES = ("torchvision", "zarr", "dvc", "diffusers", "transformers", "segment_anything", "embreex")


class Check(NamedTuple):
    """One line of what the doctor found."""

    fine: bool  # whether it is there
    what: str  # what was looked for
    found: str  # where it is, or what to do about it


def doctor(
    scan: Annotated[
        str | None, typer.Argument(help="a scan or an export, which is checked instead of the machine")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help=f"settings of SAS: {', '.join(presets.names())}; changes nothing")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="folder of the scans, with --preset")] = None,
    params: Path = layout.PARAMETERS,
    as_json: Json = False,
    *,
    told: Told,
) -> None:
    """Check packages, sparse backends, weights, data and disk, and say what to do about what is missing.

    Of weights only the beginning is read: `anyscene weights verify` reads them whole.

    With SCAN: whether it can be read, and how far its depth maps agree with each other and with its mesh.

    With --preset: what the settings of SAS for a data set need, what they would cost in time and disk, and
    the commands from here to the table, in their order. It needs no project.
    """
    if scan is not None:
        checks = [_scan(Path(scan), told, params)]
        if as_json:
            typer.echo(json.dumps({"checks": [check._asdict() for check in checks]}, indent=2))
        else:
            stdout().print(_table(checks))
        _require_fine(checks, as_json)
        return
    told.refuse("no scan is checked")
    settings, refused, at_hand, rates = None, [], False, {}
    bare = preset is None and params == layout.PARAMETERS and not params.exists()
    try:
        if bare:
            refused.append(Check(True, "project", NO_PROJECT))
        elif preset is None:
            settings = parameters.load(params)
        else:
            clone = new_project.CLONE / layout.PARAMETERS  # which a project begins from
            file = clone if params == layout.PARAMETERS and not params.is_file() else params
            settings = presets.load(preset, file, root)
            rates = cost.read_rates(file.parent / layout.THROUGHPUT)
            at_hand = parameters.load(file).dataset.reader == settings.dataset.reader
    except PipelineError as error:
        if preset is not None:  # without its settings there is nothing to look for
            raise
        refused.append(Check(False, "parameters", str(error)))
    checks = _packages(optional=bare) + refused
    if settings is not None:
        checks += check_settings(settings, params if preset is None else presets.FOLDER / f"{preset}.yaml")
    checks.append(_encoding())
    shares: list[disk.Share] = []
    if preset is None and not bare:
        try:
            shares = [] if settings is None else _shares(settings)
        except PipelineError as error:
            checks.append(Check(False, "artefacts", str(error)))
        checks.append(_space(shares, settings))
    if as_json:
        record: dict[str, object] = {"checks": [check._asdict() for check in checks]}
        if shares:
            record["disk"] = [asdict(share) | {"folder": str(share.folder)} for share in shares]
        if preset is not None and settings is not None:
            record |= _cost_record(settings, rates)
            record["steps"] = [asdict(step) for step in steps(preset, settings, at_hand)]
        typer.echo(json.dumps(record, indent=2))
    else:
        console = stdout()
        console.print(_table(checks))
        if shares:
            console.print(_shares_table(shares))
        if preset is not None and settings is not None:
            console.print(_cost(settings, rates))
            console.print(
                _steps(steps(preset, settings, at_hand)), soft_wrap=True
            )  # a command stays on its line
    _require_fine(checks, as_json)


def _require_fine(checks: list[Check], as_json: bool) -> None:
    if not all(check.fine for check in checks):
        raise PipelineError("something is missing: see the checks that are not fine" if as_json else MISSING)


def _table(checks: list[Check]) -> Table:
    table = Table("", "what", box=None)
    table.add_column("found", overflow="fold")  # addresses and paths whole
    for check in checks:
        fine = Text("ok", "green") if check.fine else Text("no", "red")
        table.add_row(fine, check.what, check.found)
    return table


def _packages(optional: bool) -> list[Check]:
    """Whether packages are there. optional: whether those of an extra may be missing."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device, works on CPU"
    checks = [Check(True, "torch", f"{torch.__version__}, {device}, {os.cpu_count()} cores")]
    for name in PACKAGES:
        found = importlib.util.find_spec(name) is not None
        extra = extras.of_module(name)
        remedy = "install anyscene again" if extra is None else f'pip install "anyscene[{extra}]"'
        spare = optional and extra is not None
        said = "installed" if found else f"{'not installed' if spare else 'missing'}: {remedy}"
        checks.append(Check(found or spare, name, said))
    minkowski = importlib.util.find_spec("MinkowskiEngine") is not None
    backends = "MinkowskiEngine and torch" if minkowski else "torch (no MinkowskiEngine)"
    checks.append(Check(True, "sparse backend", backends))
    return checks


def _scan(path: Path, told: Told, params: Path) -> Check:
    """Whether a scan can be read, and what was found in it."""
    try:
        with told.as_scene(path, located(params if params.is_file() else None)[0]) as (scene, said):
            depth = sum(frame.depth is not None for frame in scene.frames)
            counts = f"{len(scene.frames)} frames, {depth} with depth; {len(scene.xyz):,} points"
            return Check(True, "scan", "\n".join([f"{path}: {counts}", *filter(None, [said])]))
    except PipelineError as error:
        return Check(False, "scan", str(error))


def check_settings(settings: parameters.Params, file: Path) -> list[Check]:
    """Whether everything is there that the parameters of `file` name."""
    checks = [Check(True, "parameters", f"{file}: dataset {settings.dataset.name}")]
    checks += [check_model(model, settings) for model in settings.segmenters.names]
    section = settings.segmenters
    checks.append(_found(f"captioner {section.captioner}", lambda: captions.find(section)))
    checks.append(_text(settings.text.encoder))
    checks.append(_weights("text-to-image model", Path(settings.synthesis.diffusion), "model_index.json"))
    checks.append(_weights("SAM", Path(settings.synthesis.sam), "sam.json"))
    checks.append(_scans(settings.dataset))
    return checks


def _scans(dataset: parameters.Dataset) -> Check:
    """Whether anything lies in the folder of the raw scans."""
    root = Path(dataset.root)
    there = root.is_dir() and any(root.iterdir())
    if not there and dataset.name == DEMO:
        return Check(True, "raw scans", "built by `dvc repro`")
    wrong = "is empty: put the scans there, or" if root.is_dir() else "no such folder:"
    return Check(there, "raw scans", str(root) if there else f"{root}: {wrong} set dataset.root")


def check_model(name: str, settings: parameters.Params) -> Check:
    """Whether the 2D model `name` can be loaded."""

    def find() -> str:
        found = segmenters.find(name, settings)
        for path in segmenters.weights(name, settings.segmenters, captions=False, answers=False):
            headers.require(path, AGAIN)
        return found

    return _found(f"2D model {name}", find)


def _found(what: str, find: Callable[[], str]) -> Check:
    """A check by `find`, which says where something is, or raises PipelineError where it is missing. Files of
    weights there must begin as such files do."""
    try:
        found = find()
        headers.require(Path(found), AGAIN)
        return Check(True, what, found)
    except PipelineError as error:
        return Check(False, what, str(error))


def _text(encoder: str) -> Check:
    _, _, pretrained = encoder.removeprefix("open_clip:").partition(":")
    if not encoder.startswith("open_clip:") or "/" not in pretrained:
        return Check(True, "text encoder", encoder)  # in a package, or downloaded by open_clip
    return _weights("text encoder", Path(pretrained), "")


def _weights(what: str, path: Path, inside: str) -> Check:
    """Whether weights are at `path`, a file or a folder that holds the file `inside`."""
    if path.is_file() or (inside and (path / inside).is_file()):
        return _found(what, lambda: str(path))
    entry = catalogue.entry_of(path)
    remedy = f"`anyscene weights fetch {entry.name}`" if entry else "see params.yaml"
    return Check(False, what, f"{path}: not there; {remedy}")


def _encoding() -> Check:
    """Whether files are read as they are written, in UTF-8."""
    found = locale.getpreferredencoding(False).lower()
    fine = codecs.lookup(found).name == "utf-8"
    return Check(fine, "encoding", found if fine else f"{found}: set PYTHONUTF8=1, or a locale with UTF-8")


def _shares(settings: parameters.Params) -> list[disk.Share]:
    """What a run of the project at hand takes on disk; empty where there are no stages, or its scans are not
    there yet. Raises PipelineError where an artefact is damaged."""
    try:
        splits = datasets.open_dataset(settings.dataset, settings.scenes).splits()
        sys.path.insert(0, str(Path.cwd()))  # where the project's stages are
        stages = declared()
    except PipelineError:
        return []
    training = sum(split == "train" for split in splits.values())
    return disk.foretold(settings, stages, len(splits), training)


def _space(shares: list[disk.Share], settings: parameters.Params | None) -> Check:
    """Whether the disk is large enough. What is an upper bound alone does not make it too small, unless
    nothing is known but that."""
    free = _free_gb()
    if not shares:
        return _supposed_space(free, settings)
    whole, there = (
        sum(sizes) / 1e9 for sizes in zip(*((one.bytes, one.there) for one in shares), strict=True)
    )
    sure = sum(one.bytes - one.there for one in shares if one.measured) / 1e9
    most = "" if all(one.measured for one in shares) else "at most "
    said = f"{free:,.0f} GB free; a whole run takes {most}{whole:,.1f} GB, of which {there:,.1f} are there"
    return Check(free >= sure, "disk", said)


def _supposed_space(free: float, settings: parameters.Params | None) -> Check:
    """Whether the disk is large enough for a run of which no scene can be read yet."""
    if settings is None:
        return Check(True, "disk", f"{free:,.0f} GB free")
    if settings.dataset.name == DEMO:
        return Check(free >= DISK_GB, "disk", f"{free:,.0f} GB free; the demo's run takes up to {DISK_GB} GB")
    try:
        size = cost.extent(settings)
    except PipelineError:
        return Check(True, "disk", f"{free:,.0f} GB free; what a run takes is not known without the scans")
    whole = cost.disk_bytes(settings, size)
    said = next(_disk(settings, size))[1]
    return Check(whole is None or free >= whole / 1e9, "disk", f"{free:,.0f} GB free; a run takes {said}")


def _shares_table(shares: list[disk.Share]) -> Table:
    table = Table("what lies on disk", box=None)
    for name in ("GB in the end", "GB now"):
        table.add_column(name, justify="right")
    table.add_column("known")
    for share in shares:
        sizes = (f"{size / 1e9:,.3f}" for size in (share.bytes, share.there))
        table.add_row(str(share.folder), *sizes, share.known)
    return table


def _free_gb() -> float:
    return shutil.disk_usage(".").free / 1e9


def _cost(settings: parameters.Params, rates: dict[str, cost.Rate]) -> Group:
    size = cost.extent(settings)
    lines = Table("", "", box=None, title="what it would cost", title_justify="left", show_header=False)
    scenes = "" if size.scenes is None else f"{size.scenes:,} scenes, "
    lines.add_row("data", Text(f"{scenes}{size.views:,} views: {size.known}"))
    works = cost.work(settings, size, rates)
    for work in works:
        hours = "hours: not measured"
        if work.rate is not None:
            hours = f"{work.hours:,.1f} hours on {work.rate.device}, as measured with {work.rate.setting}"
        lines.add_row(work.what, f"{work.count:,} {work.unit}, {hours}")
    lines.add_row("in all", _sum(works))
    for name, section in settings.training.items():
        if size.training:
            epochs = cost.visits(section, size) / size.training
            lines.add_row("", f"{name}: {round(epochs, 1):g} epochs of {size.training:,} scenes")
    lines.add_row("", MEASURED_BY)
    for what, said in _disk(settings, size):
        lines.add_row(what, said)
    return Group("", lines)


def _sum(works: list[cost.Work]) -> str:
    """The hours of all works together, as far as they were measured."""
    found = cost.hours_by_device(works)
    if not found:
        return "not known: no rate was measured"
    most = "about" if all(work.rate for work in works) else "at least"
    said = " and ".join(f"{hours:,.0f} hours on {device}" for device, hours in found.items())
    slow = any(device.startswith("CPU") and hours > DAY for device, hours in found.items())
    return f"{most} {said}{': take a GPU' if slow else ''}"


def _cost_record(settings: parameters.Params, rates: dict[str, cost.Rate]) -> dict[str, object]:
    """What `_cost` prints, for JSON."""
    size = cost.extent(settings)
    works = cost.work(settings, size, rates)
    held = {
        "bytes_per_point": cost.bytes_per_point(settings),
        "bytes": cost.disk_bytes(settings, size),
        "frames_bytes": cost.frame_bytes(settings, size),
    }
    return {
        "data": asdict(size),
        "work": [asdict(work) | {"hours": work.hours} for work in works],
        "disk": held,
    }


def _disk(settings: parameters.Params, size: Extent) -> Iterator[tuple[str, str]]:
    """Rows of the table: what lies on disk, and how much it takes."""
    each, whole = cost.bytes_per_point(settings), cost.disk_bytes(settings, size)
    if size.points is not None and whole is not None:
        yield "disk", f"up to {whole / 1e9:,.0f} GB, {size.points:,} points of {each:,} bytes"
    else:
        said = (
            f"up to {each / 1000:.2f} GB a million points; how many there are is not known without the scans"
        )
        if whole is not None:
            said += f": {whole / 1e9:,.0f} GB if a scene has {disk.SUPPOSED:,}"
        yield "disk", said
    yield "", "and nothing more in DVC's cache, or as much again on a file system without hard links"
    if size.scenes and size.training:
        points = (size.points or size.scenes * disk.SUPPOSED) * size.training / size.scenes
        for name, kept in disk.memories(settings).items():
            yield "", f"up to {kept * points / 1e9:,.0f} GB for what {name} remembers, until it is trained"
    yield "", "`anyscene doctor` in the project says it more closely once some scenes are computed"
    if frames := cost.frame_bytes(settings, size):
        yield "", f"images of `anyscene frames`: {frames / 1e9:,.1f} GB before PNG's compression"
    yield "", f"{_free_gb():,.0f} GB are free"


def _steps(found: list[Step]) -> Text:
    """The steps as a script: what is done by hand stands in its comments."""
    lines = ["", "in this order"]
    for step in found:
        lines.append(f"    # {step.do}: {step.why}" if step.by_hand else f"    {step.do}  # {step.why}")
    return Text("\n".join(lines))


app = command(with_told(doctor, SAID), "doctor")

if __name__ == "__main__":
    app()
