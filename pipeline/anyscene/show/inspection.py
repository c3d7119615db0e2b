"""What an artefact holds: a tree of its arrays with shapes, codecs, ranges and counts, and a picture."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from rich.text import Text
from rich.tree import Tree

from anyscene.arrays import I8, U1, Array
from anyscene.errors import StoreError
from anyscene.project import store
from anyscene.project.artefact import Artefact, Stored
from anyscene.show.viewpoint import corner_viewpoint
from anyscene.tasks.layer import NEUTRAL, distinct_colours

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from anyscene.tasks.query.index import QuantisedFeatures

WANTED = (
    "give a .zarr folder, a model (folder or .safetensors), a file of data/capability, or what holds them"
)
DEEP = 3  # levels of folders that are searched, as many as models/demo/diffusion/unet needs
PANELS, LONGEST, BRIEF = 9, 32, 2000  # histograms in a picture; characters of a name above one; of a record
BLOCK = 1 << 22  # values that are read at a time


def tree(path: Path) -> Tree:
    """A tree to print: of the group at `path`, of all groups in a folder, or of a model.

    Raises StoreError for what this pipeline did not write, saying what it is where that is known.
    """
    kind, path = _kind(Path(path))
    trees = {"network": _weights, "artefact": _group, "capability": _capability, "folder": _folder}
    return trees[kind](path)


def record(path: Path) -> dict[str, Any]:
    """What `tree` shows, for JSON. "kind" says what the other keys are: of a "network" or an "artefact" each
    array with its range and counts, of "capability" the value of each class, of a "folder" its artefacts.

    Raises StoreError as `tree` does.
    """
    kind, path = _kind(Path(path))
    size = _size(path)
    found: dict[str, Any] = {"path": str(path), "kind": kind, "bytes": size}
    if kind == "network":
        found["arrays"] = {name: one for name, one in _tensors(path)}
        found["records"] = {one.name: _parsed(one) for one in sorted(path.parent.glob("*.json"))}
    elif kind == "artefact":
        group = _open(path)
        found["attributes"] = dict(group.attrs)
        found["arrays"] = {name: _array_record(group, name, path) for name in group}
    elif kind == "capability":
        found["classes"] = _measured(path)
    else:
        found["folders"] = {
            str(folder.relative_to(path)): [{"name": one.name, "bytes": _size(one)} for one in inside]
            for folder, inside in _folders(path)
        }
        found["bytes"] = sum(one["bytes"] for inside in found["folders"].values() for one in inside)
    return found


def _array_record(group: Artefact, name: str, path: Path) -> dict[str, Any]:
    try:
        array = group[name]
        about = {"dtype": str(array.dtype), "shape": list(array.shape), "bytes": _size(path / name)}
        return {**about, "codecs": str(array.codecs), **_statistics(array)}
    except StoreError as error:
        return {"error": str(error)}


def _kind(path: Path) -> tuple[str, Path]:
    """What is at `path`, "network", "artefact", "capability" or "folder", and where it is. Raises StoreError
    for what this pipeline did not write, saying what it is where that is known."""
    if weights := _weights_file(path):
        return "network", weights
    if (path / "zarr.json").is_file():
        return "artefact", path
    if path.is_file():
        return "capability", path
    if not path.is_dir():
        raise StoreError(
            f"{path}: no such folder; artefacts lie under data/ and models/ once `dvc repro` ran"
        )
    if (path / "mesh.ply").is_file():
        raise StoreError(f"{path}: a raw scan; once it is imported look at data/scenes/{path.name}.zarr")
    if next(path.glob("*/mesh.ply"), None):
        raise StoreError(f"{path}: raw scans; once they are imported look at data/scenes")
    if next(_folders(path), None) is None:
        raise StoreError(f"{path}: no artefact here; {WANTED}")
    return "folder", path


def _folder(path: Path) -> Tree:
    found = list(_folders(path))
    count, size = sum(len(inside) for _, inside in found), sum(_size(one) for _, all in found for one in all)
    root = Tree(_titled(path, f"{count} artefacts, {_bytes(size)}"))
    if [folder for folder, _ in found] == [path]:
        for one in found[0][1]:
            root.add(_line(one))
    else:
        for folder, inside in found:
            taken = _bytes(sum(map(_size, inside)))
            name = "." if folder == path else str(folder.relative_to(path))
            root.add(
                Text(f"{name}  {len(inside)} of them, {taken}: {inside[0].name}{' ...' * (len(inside) > 1)}")
            )
    return root


def _folders(path: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Yield each folder that holds artefacts, from `path` down to DEEP levels below, and these artefacts."""
    for folder, below, files in os.walk(path):
        here = Path(folder)
        inside = [here / name for name in below if name.endswith(store.SUFFIX) and name[0] != "."]
        inside += [here / name for name in files if name.endswith(".safetensors")]
        inside += [here / name for name in files if here.name == "capability" and name.endswith(".json")]
        deepest = len(here.relative_to(path).parts) == DEEP
        below[:] = sorted(
            name for name in below if here / name not in inside and name[0] != "." and not deepest
        )
        if inside:
            yield here, sorted(inside)


def _line(path: Path) -> Text:
    if path.name.endswith(store.SUFFIX):
        try:
            arrays = store.open_scene(path).items()
            what = ", ".join(f"{name}{list(array.shape)}" for name, array in arrays)
        except StoreError as error:
            return Text(str(error), "red")
    else:
        what = ""
    return Text(f"{path.name}  {_bytes(_size(path))}  {what}".rstrip())


def _measured(path: Path) -> dict[str, float]:
    """The capability in 0..1 by class, from a file in data/capability."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return dict(zip(record["vocabulary"], map(float, record["capability"]), strict=True))
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "`anyscene evaluation --show` prints it" if path.name == "metrics.json" else WANTED
        raise StoreError(f"{path}: a file, no artefact; {hint}") from error


def _capability(path: Path) -> Tree:
    measured = _measured(path)
    root = Tree(_titled(path, _bytes(path.stat().st_size)))
    contents = _contents(np.array([*measured.values()]))
    line = root.add(_titled("capability", f"{len(measured)} classes  {contents}"))
    for name, value in measured.items():
        line.add(Text(f"{value:.3f}  {name}"))
    return root


def _open(path: Path) -> Artefact:
    """The artefact at `path`, unless it is someone else's store or an array of ours."""
    try:
        node = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
        ours = {"key", "format"} <= set(node.get("attributes", {}))
        kind = node.get("node_type")
    except (OSError, ValueError, AttributeError):
        return store.open_scene(path)
    if kind == "array":
        raise StoreError(f"{path}: one array; give the artefact that holds it, {path.parent}")
    if not ours:
        raise StoreError(f"{path}: a zarr store of another program, `zarr.open` reads it; {WANTED}")
    return store.open_scene(path)


def _group(path: Path) -> Tree:
    group = _open(path)
    root = Tree(_titled(path, _bytes(_size(path))))
    for name, value in group.attrs.items():
        text = f"{len(value)} of them" if isinstance(value, list) else json.dumps(value)
        root.add(Text(f"{name}: {text}", "dim"))
    for name in group:
        try:
            root.add(_titled(name, *_array(group[name], _size(path / name))))
        except StoreError as error:
            root.add(Text(str(error), "red"))
    return root


def _weights_file(path: Path) -> Path | None:
    if path.is_file() and path.suffix == ".safetensors":
        return path
    inside = sorted(path.glob("*.safetensors")) if path.is_dir() else []
    return inside[0] if len(inside) == 1 else None


def _tensors(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of each tensor in a file of weights with its type, shape, range and counts."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:  # NumPy has no bfloat16
            for name in sorted(file.keys()):
                kind, shape = file.get_slice(name).get_dtype(), file.get_slice(name).get_shape()
                values = file.get_tensor(name)
                values = values.float() if values.is_floating_point() else values
                yield name, {"dtype": kind, "shape": shape, **_statistics(np.atleast_1d(values.numpy()))}
    except SafetensorError as error:
        raise StoreError(f"{path}: damaged ({error}); train it again, or fetch it again") from error


def _weights(path: Path) -> Tree:
    lines, count = [], 0
    for name, found in _tensors(path):
        lines.append(Text(f"{name}  {found['dtype']}{found['shape']}  {_said(found)}"))
        count += found["values"]
    root = Tree(_titled(path, f"{count:,} parameters, {_bytes(path.stat().st_size)}"))
    for record in sorted(path.parent.glob("*.json")):
        root.add(Text(f"{record.name}: {_brief(record)}", "dim"))
    for line in lines:
        root.add(line)
    return root


def _brief(record: Path) -> str:
    found = _parsed(record)
    text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    return text if len(text) <= BRIEF else f"{text[:BRIEF]} ..."


def _parsed(record: Path) -> Any:
    """What the JSON file `record` holds; a text that says so where it is damaged."""
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except ValueError as error:
        return f"damaged ({error})"


def _titled(name: object, *said: str | tuple[str, str]) -> Text:
    """A line that begins with a bold name. said: the rest, texts or (text, style)."""
    return Text.assemble((str(name), "bold"), "  ", *said)


def _array(array: Stored, stored: int) -> tuple[str, tuple[str, str], str]:
    """An array in one line, in parts. stored: how many bytes it takes on disk."""
    ratio = (
        f"{array.nbytes / stored:.1f}x" if array.nbytes and stored else "-"
    )  # nothing is stored of what is formed
    shape = ", ".join(map(str, array.shape))
    before = f"{array.dtype}[{shape}]  {_bytes(stored)}  {ratio}  "
    return before, (str(array.codecs), "dim"), f"  {_contents(array)}"


def _contents(array: Stored | Array) -> str:
    """The statistics of an array in words."""
    return _said(_statistics(array))


def _said(found: Mapping[str, Any]) -> str:
    if found["values"] == 0:
        return "empty"
    counts = found["counts"]
    if "true" in counts:
        return f"{counts['true']:,} of {found['values']:,} true"
    special = [f"{number:,} {what}" for what, number in counts.items() if number]
    low, high = found["low"], found["high"]
    return ", ".join(["no finite value" if low is None else f"{low:.4g} .. {high:.4g}", *special])


def _statistics(array: Stored | Array) -> dict[str, Any]:
    """How many values there are, the lowest and the highest finite one (None without any), and how many are
    special: NaN, infinite, -1 among signed integers (which means none), rows of floats that are all 0
    (empty), True among booleans."""
    low, high = np.inf, -np.inf
    count: Counter[str] = Counter()
    for values in _blocks(array) if array.size else ():
        if values.dtype == bool:
            count["true"] += int(np.count_nonzero(values))
        elif values.dtype.kind == "f":
            finite = np.isfinite(values)
            nan = int(np.count_nonzero(np.isnan(values)))
            count["NaN"] += nan
            count["infinite"] += finite.size - int(np.count_nonzero(finite)) - nan
            if values.ndim == 2:
                count["empty rows"] += len(values) - int(np.count_nonzero(values.any(1)))
            values = values[finite]
        elif values.dtype.kind == "i":
            count["of -1"] += int(np.count_nonzero(values == -1))
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    known = low <= high
    return {
        "values": int(array.size),
        "low": low if known else None,
        "high": high if known else None,
        "counts": dict(count),
    }


def _blocks(array: Stored | Array) -> Iterator[Array]:
    """Yield the whole array, some rows at a time."""
    rows = max(1, BLOCK * array.shape[0] // array.size)
    for start in range(0, array.shape[0], rows):
        yield array[start : start + rows]


def picture(path: Path, scene: Path | None = None, size: int = 800) -> U1:
    """u1[size, size, 3]: a picture of an artefact. It shows a scene from above a corner, synthesised images,
    capability as bars, or histograms of anything else.

    A scene has its own colours; features get colours by their three principal axes; superpoints and labels
    have one colour each. scene: the group in data/scenes that has the points, where the artefact has none.
    Raises StoreError where there is nothing to show.
    """
    path = Path(path)
    if weights := _weights_file(path):
        from safetensors.torch import load_file  # NumPy has no bfloat16

        return histograms({name: value.float().numpy() for name, value in load_file(weights).items()}, size)
    if path.is_file():
        return bars(_measured(path), size)
    if not (path / "zarr.json").is_file() and path.is_dir():
        raise StoreError(f"{path}: a folder has no picture; give one of the artefacts in it")
    group = _open(path)
    if "image" in group:
        return _sheet(group, size)
    colours = _colours(group)
    if colours is None:
        return histograms({name: group[name][:] for name in group}, size)
    points = group if "xyz" in group else store.open_scene(scene or _scene_of(path))
    view = corner_viewpoint(points["xyz"][:], points["normal"][:], (size, size)).picture(
        colours, shaded=False
    )
    white = Image.new("RGB", (size, size), "white")
    white.paste(Image.fromarray(view), mask=Image.fromarray(view[..., 3]))
    return np.asarray(white)


def _scene_of(path: Path) -> Path:
    for folder in Path(path).resolve().parents:
        candidate = folder / "scenes" / Path(path).name
        if candidate.is_dir():
            return candidate
    raise StoreError(f"{path}: its scene is not in a folder 'scenes' beside it; give it with --scene")


def _colours(group: Artefact) -> U1 | None:
    """u1[N, 3]: the colours of its points; None where no array has a value for each point."""
    if "rgb" in group:
        return group["rgb"][:]
    seen = next((group[name][:] > 0 for name in ("valid", "count") if name in group), None)
    for name in ("feature", "superpoint_feature"):  # the latter where each point is a superpoint
        if seen is not None and name in group and group[name].shape[0] == len(seen):
            colours = np.full((len(seen), 3), NEUTRAL, np.uint8)
            colours[seen] = principal_colours(group[name][:], np.flatnonzero(seen))
            return colours
    for name in ("superpoint", "label", "prediction"):
        if name in group:
            ids = group[name][:]
            return distinct_colours(ids if ids.ndim == 1 else ids[:, 0])
    return None


def principal_colours(feature: Array | QuantisedFeatures, rows: I8 | None = None) -> U1:
    """u1[n, 3]: features as colours by their first three principal components, each stretched from its 2nd to
    its 98th percentile. Signs are fixed, so that equal features give equal pictures. feature: f[N, C]; rows:
    i8[n], those to use; None: all."""
    rows = np.arange(len(feature)) if rows is None else rows
    if len(rows) == 0:
        return np.zeros((0, 3), np.uint8)
    sample = feature[rows[:: max(1, len(rows) // 20000)]].astype(np.float32)
    mean = sample.mean(0)
    _, axes = np.linalg.eigh((sample - mean).T @ (sample - mean))
    axes = axes[:, ::-1][:, :3]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    component = np.empty((len(rows), axes.shape[1]), np.float32)
    step = max(1, BLOCK // feature.shape[1])
    for start in range(0, len(rows), step):  # widened all at once they would take twice what is stored
        block = rows[start : start + step]
        component[start : start + step] = (feature[block].astype(np.float32) - mean) @ axes
    low, high = np.percentile(component, [2, 98], axis=0)
    colours = np.zeros((len(rows), 3), np.uint8)
    colours[:, : axes.shape[1]] = np.clip((component - low) / np.maximum(high - low, 1e-9), 0, 1) * 255
    return colours


def histograms(arrays: Mapping[str, Array], size: int) -> U1:
    """u1[size, size, 3]: histograms of the finite values of the PANELS largest arrays, with counts on a
    logarithmic axis. Raises StoreError where no array has any."""
    finite = {name: values[np.isfinite(values)].astype(np.float32) for name, values in arrays.items()}
    largest = sorted((n for n in finite if finite[n].size), key=lambda n: -finite[n].size)[:PANELS]
    if not largest:
        raise StoreError("no array in it holds a value that could be shown")
    from matplotlib.figure import Figure

    columns = int(np.ceil(np.sqrt(len(largest))))
    rows = -(-len(largest) // columns)
    figure = Figure((size / 100, size / 100), dpi=100, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, name in zip(panels, largest, strict=False):
        panel.hist(finite[name], bins=60, log=True, color="#33608c")
        dropped = arrays[name].size - finite[name].size
        note = f"{finite[name].size:,} values" + (f", {dropped:,} not finite" if dropped else "")
        panel.set_title(f"{_short(name)}\n{note}", fontsize=8)
        panel.tick_params(labelsize=7)
        panel.locator_params(axis="x", nbins=4)
    for panel in panels[len(largest) :]:
        panel.axis("off")
    return _drawn(figure)


def bars(measured: Mapping[str, float], size: int) -> U1:
    """u1[size, size, 3]: a bar for each value in 0..1."""
    from matplotlib.figure import Figure

    figure = Figure((size / 100, size / 100), dpi=100, layout="constrained")
    panel = figure.subplots()
    panel.barh(list(map(_short, measured)), list(measured.values()), color="#33608c")
    panel.set(xlim=(0, 1), xlabel="capability")
    panel.invert_yaxis()
    panel.tick_params(labelsize=8 if len(measured) <= 40 else 4)
    return _drawn(figure)


def _drawn(figure: Figure) -> U1:
    """u1[H, W, 3]: the figure as a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib leaves these two without types
    buffer = canvas.buffer_rgba()  # type: ignore[no-untyped-call]
    return np.asarray(buffer)[..., :3].copy()


def _short(name: str) -> str:
    """The end of `name` where it is too long for a panel, else all of it."""
    return name if len(name) <= LONGEST else "..." + name[3 - LONGEST :]


def _sheet(group: Artefact, size: int) -> U1:
    """u1[h, size, 3]: the first synthesised images above their masks."""
    images = group["image"][:8]
    rows = [np.concatenate(list(images), 1)]
    if "mask" in group:
        masks = np.repeat(group["mask"][:8][..., None].astype(np.uint8) * 255, 3, -1)
        rows.append(np.concatenate(list(masks), 1))
    sheet = np.concatenate(rows)
    height = max(1, round(size * len(sheet) / sheet.shape[1]))
    return np.asarray(Image.fromarray(sheet).resize((size, height), Image.Resampling.NEAREST))


def _size(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
