"""Look at an artefact: its tree with shapes, codecs, ranges and counts, and its values as a picture."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from rich.markup import escape
from rich.text import Text
from rich.tree import Tree

from pipeline import store
from pipeline.artefact import Artefact, Stored
from pipeline.errors import StoreError
from pipeline.report.views import corner_view

WANTED = "give a .zarr folder, a folder of them, or a model's folder or .safetensors file"
PANELS, LONGEST = 9, 32  # of histograms in a picture; characters of a name above one
BLOCK = 1 << 22  # values looked at at a time


def tree(path: Path) -> Tree:
    """The group at `path`, all groups in a folder, or a model, as a tree to print.

    Raises StoreError for what this pipeline did not write, with what it is instead where that is known.
    """
    path = Path(path)
    if weights := _weights_file(path):
        return _weights(weights)
    if (path / "zarr.json").is_file():
        return _group(path)
    if path.is_file():
        raise StoreError(f"{path}: a file, no artefact; {WANTED}")
    if not path.is_dir():
        raise StoreError(
            f"{path}: no such folder; artefacts lie under data/ and models/ once `dvc repro` ran"
        )
    groups = [store.scene_path(path, scene) for scene in store.scene_ids(path)]
    if not groups:
        raise StoreError(f"{path}: no artefact here; {WANTED}")
    root = Tree(f"[bold]{escape(str(path))}[/]  {len(groups)} artefacts, {_bytes(sum(map(_size, groups)))}")
    for group in groups:
        try:
            arrays = store.open_scene(group).items()
            names = ", ".join(f"{name}{list(array.shape)}" for name, array in arrays)
            root.add(Text(f"{group.name}  {_bytes(_size(group))}  {names}"))
        except StoreError as error:
            root.add(Text(str(error), "red"))
    return root


def _open(path: Path) -> Artefact:
    """The artefact at `path`, unless it is someone else's store or an array of ours."""
    try:
        node = json.loads((path / "zarr.json").read_text())
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
    root = Tree(f"[bold]{escape(str(path))}[/]  {_bytes(_size(path))}")
    for name, value in group.attrs.items():
        text = f"{len(value)} of them" if isinstance(value, list) else json.dumps(value)
        root.add(f"{name}: {text}", style="dim")
    for name in group:
        try:
            root.add(f"[bold]{name}[/]  {_array(group[name], _size(path / name))}")
        except StoreError as error:
            root.add(Text(str(error), "red"))
    return root


def _weights_file(path: Path) -> Path | None:
    if path.is_file() and path.suffix == ".safetensors":
        return path
    inside = path / "model.safetensors"
    return inside if inside.is_file() else None


def _weights(path: Path) -> Tree:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            slices = {name: file.get_slice(name) for name in sorted(file.keys())}
            shapes = {name: (part.get_dtype(), part.get_shape()) for name, part in slices.items()}
    except SafetensorError as error:
        raise StoreError(f"{path}: damaged ({error}); train it again, or fetch it again") from error
    count = sum(int(np.prod(shape)) for _, shape in shapes.values())
    root = Tree(f"[bold]{escape(str(path))}[/]  {count:,} parameters, {_bytes(path.stat().st_size)}")
    for name, (dtype, shape) in shapes.items():
        root.add(f"{escape(name)}  {dtype}\\{shape}")
    return root


def _array(array: Stored, stored: int) -> str:
    """stored: bytes on disk"""
    ratio = f"{array.nbytes / stored:.1f}x" if array.nbytes else "-"
    shape = ", ".join(map(str, array.shape))
    return f"{array.dtype}\\[{shape}]  {_bytes(stored)}  {ratio}  [dim]{array.codecs}[/]  {_contents(array)}"


def _contents(array: Stored) -> str:
    """Range of all finite values, and how many are not: NaN, infinite, -1 of signed integers (none there),
    rows of floats that are all 0 (empty), True of booleans."""
    if array.size == 0:
        return "empty"
    low, high, count = np.inf, -np.inf, Counter()
    for values in _blocks(array):
        if values.dtype == bool:
            count["true"] += np.count_nonzero(values)
        elif values.dtype.kind == "f":
            finite = np.isfinite(values)
            nan = np.count_nonzero(np.isnan(values))
            count["NaN"] += nan
            count["infinite"] += finite.size - np.count_nonzero(finite) - nan
            if values.ndim == 2:
                count["empty rows"] += len(values) - np.count_nonzero(values.any(1))
            values = values[finite]
        elif values.dtype.kind == "i":
            count["of -1"] += np.count_nonzero(values == -1)
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    found = [f"{number:,} {what}" for what, number in count.items() if number]
    if array.dtype == bool:
        return f"{count['true']:,} of {array.size:,} true"
    return ", ".join([f"{low:.4g} .. {high:.4g}" if low <= high else "no finite value", *found])


def _blocks(array: Stored) -> Iterator[np.ndarray]:
    """All of the array, some rows at a time."""
    rows = max(1, BLOCK * array.shape[0] // array.size)
    for start in range(0, array.shape[0], rows):
        yield array[start : start + rows]


def picture(path: Path, scene: Path | None = None, size: int = 800) -> np.ndarray:
    """u1[size,size,3]: a scene from above a corner, synthesised images, or histograms of what is neither.

    Features are shown by their three principal axes, superpoints and labels by a colour each, a scene in its
    own colours. `scene`: the group of data/scenes with the points, where the artefact has none itself.
    Raises StoreError where there is nothing to show.
    """
    path = Path(path)
    if weights := _weights_file(path):
        from safetensors.torch import load_file  # NumPy has no bfloat16

        return histograms({name: value.float().numpy() for name, value in load_file(weights).items()}, size)
    group = _open(path)
    if "image" in group:
        return _sheet(group, size)
    colours = _colours(group)
    if colours is None:
        return histograms({name: group[name][:] for name in group}, size)
    points = group if "xyz" in group else store.open_scene(scene or _scene_of(path))
    view = corner_view(points["xyz"][:], points["normal"][:], (size, size)).picture(colours, shaded=False)
    white = Image.new("RGB", (size, size), "white")
    white.paste(Image.fromarray(view), mask=Image.fromarray(view[..., 3]))
    return np.asarray(white)


def _scene_of(path: Path) -> Path:
    for folder in Path(path).resolve().parents:
        candidate = folder / "scenes" / Path(path).name
        if candidate.is_dir():
            return candidate
    raise StoreError(f"{path}: its scene is not in a folder 'scenes' beside it; give it with --scene")


def _colours(group: Artefact) -> np.ndarray | None:
    """u1[N,3] of its points; None where nothing in it has a value for each point."""
    if "rgb" in group:
        return group["rgb"][:]
    if "feature" in group and ("valid" in group or "count" in group):
        seen = group["valid"][:] if "valid" in group else group["count"][:] > 0
        colours = np.full((len(seen), 3), 40, np.uint8)  # dark grey: no feature
        colours[seen] = principal_colours(group["feature"][:], np.flatnonzero(seen))
        return colours
    for name in ("superpoint", "label", "prediction"):
        if name in group:
            ids = group[name][:]
            return distinct_colours(ids if ids.ndim == 1 else ids[:, 0])
    return None


def principal_colours(feature: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """u1[n,3] of the `rows` i8[n] (default: all) of `feature` [N,C], or of what gives its rows when asked:
    their first three principal components, each stretched from its 2nd to its 98th percentile; the sign is
    fixed, so equal features give equal pictures."""
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


def distinct_colours(label: np.ndarray) -> np.ndarray:
    """u1[N,3]: a colour for every id in `label` [N], grey for negative ones."""
    ids = label.astype(np.int64)
    table = np.random.default_rng(0).integers(50, 256, (int(ids.max(initial=0)) + 1, 3), np.uint8)
    colours = np.full((len(ids), 3), 40, np.uint8)
    colours[ids >= 0] = table[ids[ids >= 0]]
    return colours


def histograms(arrays: Mapping[str, np.ndarray], size: int) -> np.ndarray:
    """u1[size,size,3]: how the finite values of each of the largest PANELS arrays are spread, counts on a
    logarithmic axis. Raises StoreError where no array has any."""
    finite = {name: values[np.isfinite(values)].astype(np.float32) for name, values in arrays.items()}
    largest = sorted((n for n in finite if finite[n].size), key=lambda n: -finite[n].size)[:PANELS]
    if not largest:
        raise StoreError("no array in it holds a value that could be shown")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
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
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _short(name: str) -> str:
    """Its end, where it is too long for a panel."""
    return name if len(name) <= LONGEST else "..." + name[3 - LONGEST :]


def _sheet(group: Artefact, size: int) -> np.ndarray:
    """The first synthesised images above their masks."""
    images = group["image"][:8]
    rows = [np.concatenate(list(images), 1)]
    if "mask" in group:
        masks = np.repeat(group["mask"][:8][..., None].astype(np.uint8) * 255, 3, -1)
        rows.append(np.concatenate(list(masks), 1))
    sheet = np.concatenate(rows)
    height = max(1, round(size * len(sheet) / sheet.shape[1]))
    return np.asarray(Image.fromarray(sheet).resize((size, height), Image.Resampling.NEAREST))


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _bytes(count: int) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
