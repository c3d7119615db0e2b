"""Look at an artefact: its tree with shapes, ranges and compression, and its features as colours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from rich.text import Text
from rich.tree import Tree

from pipeline import store
from pipeline.artefact import Artefact, Stored
from pipeline.errors import StoreError

SAMPLE = 1 << 22  # values looked at for a range


def tree(path: Path) -> Tree:
    """The group at `path`, or all groups in a folder, as a tree to print."""
    path = Path(path)
    if (path / "zarr.json").is_file():
        return _group(path)
    if (path / "model.safetensors").is_file() or path.suffix == ".safetensors":
        return _weights(path if path.is_file() else path / "model.safetensors")
    groups = [store.scene_path(path, scene) for scene in store.scene_ids(path)]
    if not groups:
        raise StoreError(f"{path}: no artefact here; give a .zarr folder, a folder of them, or a model")
    root = Tree(f"[bold]{path}[/]  {len(groups)} artefacts, {_bytes(sum(map(_size, groups)))}")
    for group in groups:
        try:
            arrays = store.open_scene(group).items()
            names = ", ".join(f"{name}{list(array.shape)}" for name, array in arrays)
            root.add(Text(f"{group.name}  {_bytes(_size(group))}  {names}"))
        except StoreError as error:
            root.add(Text(str(error), "red"))
    return root


def _group(path: Path) -> Tree:
    group = store.open_scene(path)
    root = Tree(f"[bold]{path}[/]  {_bytes(_size(path))}")
    for name, value in group.attrs.items():
        text = f"{len(value)} of them" if isinstance(value, list) else json.dumps(value)
        root.add(f"{name}: {text}", style="dim")
    for name in group:
        try:
            root.add(f"[bold]{name}[/]  {_array(group[name], _size(path / name))}")
        except StoreError as error:
            root.add(Text(str(error), "red"))
    return root


def _weights(path: Path) -> Tree:
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in sorted(file.keys())}
    count = sum(int(np.prod(shape)) for shape in shapes.values())
    root = Tree(f"[bold]{path}[/]  {count:,} parameters")
    for name, shape in shapes.items():
        root.add(f"{name}  \\{shape}")
    return root


def _array(array: Stored, stored: int) -> str:
    """stored: bytes on disk"""
    ratio = f"{array.nbytes / stored:.1f}x" if array.nbytes else "-"
    shape = ", ".join(map(str, array.shape))
    return f"{array.dtype}\\[{shape}]  {_bytes(stored)}  {ratio}  {_range(array)}"


def _range(array: Stored) -> str:
    if array.size == 0:
        return "empty"
    rows = max(1, SAMPLE * array.shape[0] // array.size)
    values = array[:rows].astype(np.float64)
    bad = np.count_nonzero(~np.isfinite(values))
    finite = values[np.isfinite(values)]
    text = f"{finite.min():.4g} .. {finite.max():.4g}" if finite.size else "no finite value"
    return text + (f", {bad} not finite" if bad else "") + (" (first rows)" if rows < array.shape[0] else "")


def picture(path: Path, scene: Path | None = None, size: int = 800) -> np.ndarray:
    """u1[size,size,3]: a scene from above.

    Features are shown by their three principal axes, superpoints and labels by a colour each, a scene in its
    own colours. `scene`: the group of data/scenes with the points, where the artefact has none itself.
    Raises StoreError where there is nothing that belongs to points.
    """
    group = store.open_scene(path)
    if "image" in group:
        return _sheet(group, size)
    points = group if "xyz" in group else store.open_scene(scene or _scene_of(path))
    return render(points["xyz"][:], _colours(path, group), size)


def _scene_of(path: Path) -> Path:
    for folder in Path(path).resolve().parents:
        candidate = folder / "scenes" / Path(path).name
        if candidate.is_dir():
            return candidate
    raise StoreError(f"{path}: its scene is not in a folder 'scenes' beside it; give it with --scene")


def _colours(path: Path, group: Artefact) -> np.ndarray:
    if "rgb" in group:
        return group["rgb"][:]
    if "feature" in group:
        seen = group["valid"][:] if "valid" in group else group["count"][:] > 0
        colours = np.full((len(seen), 3), 40, np.uint8)  # dark grey: no feature
        colours[seen] = principal_colours(group["feature"][:][seen])
        return colours
    for name in ("superpoint", "label", "prediction"):
        if name in group:
            return distinct_colours(group[name][:])
    raise StoreError(f"{path}: holds nothing that can be shown on points")


def principal_colours(feature: np.ndarray) -> np.ndarray:
    """u1[N,3]: the first three principal components of `feature` [N,C], each stretched from its 2nd to its
    98th percentile; the sign is fixed, so equal features give equal pictures."""
    if len(feature) == 0:
        return np.zeros((0, 3), np.uint8)
    sample = feature[:: max(1, len(feature) // 20000)].astype(np.float32)
    mean = sample.mean(0)
    _, axes = np.linalg.eigh((sample - mean).T @ (sample - mean))
    axes = axes[:, ::-1][:, :3]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    component = (feature.astype(np.float32) - mean) @ axes
    low, high = np.percentile(component, [2, 98], axis=0)
    colours = np.zeros((len(feature), 3), np.uint8)
    colours[:, : axes.shape[1]] = np.clip((component - low) / np.maximum(high - low, 1e-9), 0, 1) * 255
    return colours


def distinct_colours(label: np.ndarray) -> np.ndarray:
    """u1[N,3]: a colour for every id in `label` [N], grey for negative ones."""
    ids = label.astype(np.int64)
    table = np.random.default_rng(0).integers(50, 256, (int(ids.max(initial=0)) + 1, 3), np.uint8)
    colours = np.full((len(ids), 3), 40, np.uint8)
    colours[ids >= 0] = table[ids[ids >= 0]]
    return colours


def render(xyz: np.ndarray, rgb: np.ndarray, size: int) -> np.ndarray:
    """u1[size,size,3]: points [N,3] of colours [N,3] seen from above and the front at 45 degrees, near ones
    over far ones, with the upper fifth of the scene (a ceiling, if any) left out."""
    low, high = xyz.min(0), xyz.max(0)
    keep = xyz[:, 2] <= low[2] + 0.8 * (high[2] - low[2])
    xyz, rgb = xyz[keep] - (low + high) / 2, rgb[keep]
    slant = np.sqrt(0.5)
    across, up, near = xyz[:, 0], slant * (xyz[:, 1] + xyz[:, 2]), slant * (xyz[:, 2] - xyz[:, 1])
    scale = 0.95 * size / max(np.ptp(across), np.ptp(up), 1e-6)
    column = np.rint((across - (across.min() + across.max()) / 2) * scale + size / 2).astype(int)
    row = np.rint(size / 2 - (up - (up.min() + up.max()) / 2) * scale).astype(int)
    radius = max(1, round(0.7 * size / np.sqrt(max(len(xyz), 1))))
    image = np.full((size, size, 3), 255, np.uint8)
    order = np.argsort(near, kind="stable")
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            y, x = np.clip(row[order] + dy, 0, size - 1), np.clip(column[order] + dx, 0, size - 1)
            image[y, x] = rgb[order]
    return image


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
