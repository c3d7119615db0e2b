"""Artefacts: one zarr v3 group for each scene, one sharded file for each array. The same input gives the same
bytes."""

from __future__ import annotations

import difflib
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, TransposeCodec

from anyscene import __version__
from anyscene.arrays import B1, F2, F4, F8, Array
from anyscene.errors import FailedBefore, StoreError
from anyscene.project import outputs
from anyscene.project.artefact import (
    AXES,
    CAPTION,
    DISTINCT,
    EMBEDDING,
    FEATURE_BITS,
    FORMED,
    PLACE,
    TIMES,
    Artefact,
    rounded,
)
from anyscene.project.caption_counts import CaptionCounts
from anyscene.project.digests import Digests
from anyscene.project.principal_axes import Moments, PrincipalAxes
from anyscene.scene import Frame, LeftOut, Scene

FORMAT = 2  # schema version; artefacts of an older one are computed again
SOFTWARE = f"anyscene {__version__}"
SUFFIX = ".zarr"
FAILED = "failed.json"  # in the folder of a stage: the scenes that it left out, and why
FUSED = "fusion"  # an attribute of fused features: by which rule, from which 2D models
Keys = dict[str, str | FailedBefore]
ROOT = "zarr.json"  # the file of an artefact that holds its attributes
# attributes that are noted of an artefact once its values are there: what made it, and digests
NOTED = ("given", "made_by", "content", "adopted", "digest")
NAMES = ("key", "software")  # attributes that name values, and do not hold any
LISTED = 5  # ids of scenes in the message about one that is not there
CHUNK_BYTES = 1 << 20
SHARD_BYTES = 1 << 28  # a shard is put together in memory, so a larger array is stored in several files


@dataclass(frozen=True)
class Made:
    """How an artefact was made, as its attributes say."""

    key: str  # the name of its values for the stages that read them
    given: str  # digest of its inputs, its parameters and the files that these name
    by: str  # digest of code and packages
    content: str  # digest of the files of its arrays


def create(path: Path, key: str) -> zarr.Group:
    """Create an empty group at `path`. Its attributes hold `key`, the schema version and the software."""
    return zarr.create_group(
        path, zarr_format=3, overwrite=False, attributes={"format": FORMAT, "key": key, "software": SOFTWARE}
    )


def content(path: Path, digests: Digests, ours: bool = False) -> str:
    """Digest of the files of the artefact's arrays. Raises OSError where one cannot be read."""
    return digests(path, lambda file: file != Path(ROOT), ours)


def note(path: Path, **attributes: Any) -> None:
    """Add to the attributes of the artefact at `path`, and their digest; the file is replaced as a whole."""
    root = json.loads((path / ROOT).read_text(encoding="utf-8"))
    root["attributes"] |= attributes
    root["attributes"]["digest"] = _digest(root["attributes"])
    outputs.write(path / ROOT, json.dumps(root, indent=2))


def told(path: Path) -> dict[str, Any]:
    """The attributes of the artefact at `path` that are values of its scene: neither noted of it nor names.
    Raises StoreError where there is no artefact."""
    return {name: said for name, said in _attributes(path).items() if name not in (*NOTED, *NAMES)}


def _digest(attributes: Mapping[str, Any]) -> str:
    """16 digits of all attributes but those that are noted afterwards."""
    written = {name: said for name, said in attributes.items() if name not in NOTED}
    return hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()[:16]


def made(path: Path) -> Made:
    """How the artefact at `path` was made. Raises StoreError where there is no artefact, or it does not
    say."""
    attributes = dict(_attributes(Path(path)))
    try:
        return Made(attributes["key"], attributes["given"], attributes["made_by"], attributes["content"])
    except KeyError as error:
        raise StoreError(f"{path}: does not say how it was made ({error}); run its stage again") from error


def write(
    group: zarr.Group,
    name: str,
    array: Array,
    *,
    chunks: tuple[int, ...] | None = None,
    keep_bits: int | None = None,
) -> None:
    """Write `array` to `group` as `name`. Rows go into chunks of about 1 MiB, and chunks into shards of at
    most 256 MiB, each of which is one file.

    chunks: the shape of a chunk, for an array that is not read by rows. keep_bits: the bits of the mantissa
    that f2 values are rounded to, FEATURE_BITS for features; None: they are not rounded.
    """
    if keep_bits is not None:
        array = rounded(array, keep_bits)
    array = np.ascontiguousarray(array)
    stored, rows = _allocate(group, name, array.shape, array.dtype, chunks)
    if array.ndim == 0:
        stored[...] = array
    elif array.size:
        for start in range(0, len(array), rows):
            stored[start : start + rows] = array[start : start + rows]


def write_counts(group: zarr.Group, counts: CaptionCounts) -> None:
    """Write what a mask model says of the points of a scene, and the captions as the attribute `captions`.
    `open_scene` forms the array `feature` of it."""
    said = counts.counts
    times, most = said.data.astype(np.uint32), max(1, len(counts.embedding)) - 1
    write(group, "count", counts.sightings)
    write(group, DISTINCT, np.diff(said.indptr).astype(np.uint16))
    write(group, CAPTION, said.indices.astype(np.min_scalar_type(max(most, 256))))
    write(group, TIMES, times.astype(np.min_scalar_type(int(times.max(initial=0)))))
    write(group, EMBEDDING, np.asarray(counts.embedding, np.float32))
    group.attrs.update({"captions": list(counts.text)})


class Appending:
    """An array that is written block by block, to the same bytes as by `write`. One shard is kept in memory.

        with Appending(group, "feature", (N, C), np.float16) as rows:
            rows.add(block)

    Raises StoreError where the rows that were added are not N.
    """

    def __init__(
        self,
        group: zarr.Group,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any] | type,
        *,
        keep_bits: int | None = None,
        by_column: bool = False,
    ) -> None:
        self._stored, rows = _allocate(group, name, shape, np.dtype(dtype), None, by_column)
        self._keep_bits = keep_bits
        self._shard = np.empty((min(rows, shape[0]), *shape[1:]), dtype)
        self._flushed, self._held = 0, 0  # rows

    def add(self, block: Array) -> None:
        """Append the rows `block`, cast to the dtype of the array."""
        while len(block):
            if self._flushed + self._held == self._stored.shape[0]:
                raise StoreError(f"{self._stored.name}: more rows than its length of {self._stored.shape[0]}")
            rows = min(len(block), len(self._shard) - self._held)
            self._shard[self._held : self._held + rows] = block[:rows]
            self._held += rows
            block = block[rows:]
            if self._held == len(self._shard) or self._flushed + self._held == self._stored.shape[0]:
                self._flush()

    def _flush(self) -> None:
        shard = self._shard[: self._held]
        if self._keep_bits is not None:
            shard = rounded(shard, self._keep_bits)
        self._stored[self._flushed : self._flushed + self._held] = shard
        self._flushed, self._held = self._flushed + self._held, 0

    def __enter__(self) -> Appending:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None and self._flushed != self._stored.shape[0]:
            rows, length = self._flushed + self._held, self._stored.shape[0]
            raise StoreError(f"{self._stored.name}: {rows} rows for a length of {length}")


class ByAxes:
    """Features that are written block by block, as by `Appending`, as places along their principal axes. They
    wait in a file without a name until all are known."""

    def __init__(self, group: zarr.Group, name: str, shape: tuple[int, int], spool: Path) -> None:
        """spool: the folder of that file, which takes two bytes a value."""
        self._group, self._name, self._shape = group, name, shape
        self._moments, self._held = Moments(shape[1]), 0
        self._file = tempfile.TemporaryFile(dir=spool)

    def add(self, block: F4) -> None:
        """Append features [n, C]. A row of zeros says that there is none."""
        for start in range(0, len(block), FORMED):
            rows = block[start : start + FORMED].astype(np.float16)
            self._moments.add(rows.astype(np.float32))
            self._file.write(rows.tobytes())
            self._held += len(rows)

    def __enter__(self) -> ByAxes:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        with self._file:
            if kind is not None:
                return
            if self._held != self._shape[0]:
                raise StoreError(f"{self._name}: {self._held} rows for a length of {self._shape[0]}")
            self._write(PrincipalAxes.of(self._moments))

    def _write(self, axes: PrincipalAxes) -> None:
        most = np.ones(len(axes.rows), np.int64)  # the largest place along each, at least of the mean
        most[1:] = 0
        for feature in self._blocks():
            most = np.maximum(most, np.abs(axes.places(feature)).max(0, initial=0))
        used = np.flatnonzero(most)
        kind: type = np.int8 if most.max() <= np.iinfo(np.int8).max else np.int16
        shape = self._shape[0], len(used)
        with Appending(self._group, f"{self._name}{PLACE}", shape, kind, by_column=True) as rows:
            for feature in self._blocks():
                rows.add(axes.places(feature)[:, used])
        write(self._group, f"{self._name}{AXES}", axes.rows[used])

    def _blocks(self) -> Iterator[F4]:
        self._file.seek(0)
        for start in range(0, self._shape[0], FORMED):
            rows = min(FORMED, self._shape[0] - start)
            read = self._file.read(2 * rows * self._shape[1])
            yield np.frombuffer(read, np.float16).reshape(rows, -1).astype(np.float32)


def features(
    group: zarr.Group, name: str, shape: tuple[int, int], by_axes: bool, spool: Path
) -> Appending | ByAxes:
    """What writes the features `name` of points block by block, for Artefact to read: in half precision, or
    `by_axes`. spool: a folder for what waits meanwhile."""
    if by_axes:
        return ByAxes(group, name, shape, spool)
    return Appending(group, name, shape, np.float16, keep_bits=FEATURE_BITS)


def _allocate(
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    chunks: tuple[int, ...] | None,
    by_column: bool = False,
) -> tuple[zarr.Array[Any], int]:
    """Create the array `name`; returns it and the number of rows in one of its files. by_column: the values
    of a column lie side by side in a chunk."""
    if chunks is None:
        row_bytes = max(1, dtype.itemsize * int(np.prod(shape[1:])))
        rows = min(max(1, CHUNK_BYTES // row_bytes), max(1, shape[0] if shape else 1))
        chunks = (rows, *(max(1, size) for size in shape[1:])) if shape else ()
    shards = [max(1, -(-size // chunk)) * chunk for size, chunk in zip(shape, chunks, strict=True)]
    if shards:
        bytes_per_chunk_row = dtype.itemsize * chunks[0] * int(np.prod(shards[1:]))
        shards[0] = min(shards[0], max(1, SHARD_BYTES // bytes_per_chunk_row) * chunks[0])
    stored = group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        shards=tuple(shards) or None,
        compressors=[_codec(dtype), Crc32cCodec()],
        filters=[TransposeCodec(order=(1, 0))] if by_column else None,
        chunk_key_encoding={"name": "default", "separator": "."},  # DVC looks at every folder, which is slow
        config={"write_empty_chunks": True},  # so that a file that is missing is known to be lost
    )
    return stored, shards[0] if shards else 1


def _codec(dtype: np.dtype[Any]) -> BloscCodec:
    return BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle", typesize=dtype.itemsize)


def open_scene(path: Path) -> Artefact:
    """Open an artefact for reading: its arrays by name, read by slices, and its attributes.

    Raises StoreError where it is missing, is not one of this project, or has another format.

    >>> fused = anyscene.open_scene("data/fusion/val_000.zarr")
    >>> feature, valid = fused["feature"], fused["valid"][:]
    >>> len(feature.shape), feature[:100].dtype.name, valid.dtype.name
    (2, 'float16', 'bool')
    """
    return Artefact(Path(path), _attributes(Path(path)))


def open_imported(folder: Path, scene: str) -> Artefact:
    """Open the scene of data/scenes that a user names. Raises StoreError where it is not among them. The
    message lists the scenes, and of many those whose ids are nearest to `scene`."""
    path = scene_path(folder, scene)
    if not path.is_dir():
        known = scene_ids(folder)
        if len(known) <= LISTED:
            raise StoreError(f"{scene}: no such scene; imported are {', '.join(known) or 'none'}")
        nearest = difflib.get_close_matches(scene, known, LISTED, 0.0)
        raise StoreError(
            f"{scene}: no such scene; of {len(known):,} imported the nearest are {', '.join(nearest)}"
        )
    return open_scene(path)


def key(path: Path) -> str:
    """The content key of the artefact at `path`."""
    return str(_attributes(Path(path))["key"])


def keys(folder: Path) -> Keys:
    """The content key of every artefact in `folder`, by scene id, and FailedBefore for every scene that its
    stage left out."""
    return {scene: key(scene_path(folder, scene)) for scene in scene_ids(folder)} | _failed_before(folder)


def geometry_keys(folder: Path) -> Keys:
    """A hash of the points, normals and faces of every scene in data/scenes, by scene id, and FailedBefore
    for every scene that was left out. What depends on these alone is not made again when poses or splits
    change."""
    found = {scene: _attributes(scene_path(folder, scene))["geometry"] for scene in scene_ids(folder)}
    return found | _failed_before(folder)


def failed(folder: Path) -> dict[str, str]:
    """The scenes that the stage of `folder` left out because they, or the scene in a stage before, failed;
    with the causes. Raises StoreError where the list is damaged."""
    try:
        found = json.loads((Path(folder) / FAILED).read_text(encoding="utf-8"))
        return {str(scene): str(cause) for scene, cause in found.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError) as error:
        raise StoreError(f"{Path(folder) / FAILED}: damaged ({error}); run its stage again") from error


def note_failed(folder: Path, failures: Mapping[str, str]) -> None:
    """Write what `failed` reads. Without failures there is no such file."""
    if failures:
        outputs.write(Path(folder) / FAILED, json.dumps(dict(sorted(failures.items())), indent=2) + "\n")
    else:
        (Path(folder) / FAILED).unlink(missing_ok=True)


def _failed_before(folder: Path) -> dict[str, FailedBefore]:
    return {scene: FailedBefore(cause) for scene, cause in failed(folder).items()}


def scene_path(folder: Path, scene: str) -> Path:
    return Path(folder) / f"{scene}{SUFFIX}"


def scene_ids(folder: Path) -> list[str]:
    """The scene ids of the artefacts in `folder`, sorted. Raises StoreError where the folder is missing."""
    folder = Path(folder)
    if not folder.is_dir():
        raise StoreError(f"{folder}: no such folder; run the stage that writes it (`dvc repro`)")
    return sorted(
        path.name.removesuffix(SUFFIX)
        for path in folder.iterdir()
        if path.name.endswith(SUFFIX) and not path.name.startswith(".")
    )


def splits(folder: Path) -> dict[str, str]:
    """The split of each scene in data/scenes, by its id."""
    return {scene: _attributes(scene_path(folder, scene))["split"] for scene in scene_ids(folder)}


def split_ids(folder: Path, split: str) -> list[str]:
    """The ids of the scenes of `split` in data/scenes. Where a data set has no training split, all scenes are
    used for training: nothing is learnt from annotation, so nothing has to be held out."""
    of_scenes = splits(folder)
    chosen = [scene for scene, name in of_scenes.items() if name == split]
    return list(of_scenes) if split == "train" and not chosen else chosen


def write_scene(group: zarr.Group, scene: Scene, root: Path) -> None:
    """Fill `group` of data/scenes with the cloud as arrays and everything else as attributes. Paths of frames
    are stored relative to `root`, the folder of the raw scans."""
    geometry = {
        "xyz": np.ascontiguousarray(scene.xyz, np.float32),
        "normal": np.ascontiguousarray(scene.normal, np.float32),
        "face": np.ascontiguousarray(scene.face, np.int32).reshape(-1, 3),
    }
    digest = hashlib.sha256()
    for name, array in geometry.items():
        write(group, name, array)
        digest.update(f"{name} {array.shape}".encode() + array.tobytes())
    write(group, "rgb", scene.rgb.astype(np.uint8, copy=False))
    group.attrs.update(
        {
            "geometry": digest.hexdigest(),
            "dataset": scene.dataset,
            "split": scene.split,
            "units": "m",
            "up": "z",
            "world": scene.world.tolist(),
            "frames": [frame.to_attributes(root) for frame in scene.frames],
            **({"lost_frames": {frame.id: frame.why for frame in scene.lost}} if scene.lost else {}),
            **({"remarks": list(scene.remarks)} if scene.remarks else {}),
        }
    )


def read_scene(path: Path, root: Path) -> Scene:
    """The scene that is stored at `path`; `root` is the folder in which the raw scans lie now."""
    group = open_scene(path)
    frames = tuple(read_frames(group, Path(root)))
    return Scene(
        Path(path).name.removesuffix(SUFFIX),
        group["xyz"][:],
        group["rgb"][:],
        group["normal"][:],
        group["face"][:],
        frames,
        group.attrs["split"],
        group.attrs["dataset"],
        lost_frames(path),
        world(group),
        tuple(group.attrs.get("remarks", ())),
    )


def read_frames(group: Artefact, root: Path) -> list[Frame]:
    """The frames of a scene of data/scenes; `root` is the folder in which the raw scans lie now. Raises
    StoreError where what is said of one is damaged."""
    try:
        return [Frame.from_attributes(record, root) for record in group.attrs["frames"]]
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(group.path, f"a frame lacks or has something else ({error!r})") from error


def world(group: Artefact) -> F8:
    """f8[4,4]: from a scene of data/scenes to the world of the user's own files."""
    return np.array(group.attrs.get("world", np.eye(4)), np.float64)  # scenes of before have none


def remarks(path: Path) -> tuple[str, ...]:
    """What the reader of the scene at `path` did that a user should know."""
    return tuple(_attributes(path).get("remarks", ()))


def lost_frames(path: Path) -> tuple[LeftOut, ...]:
    """The frames that were left out of the scene at `path`."""
    return tuple(LeftOut(id, why) for id, why in _attributes(Path(path)).get("lost_frames", {}).items())


def agreement(path: Path) -> Mapping[str, Any]:
    """How far the scene at `path` agrees with itself, as `datasets.contradictions.Findings.record` says it;
    empty where it has no depth."""
    found: Mapping[str, Any] = _attributes(path).get("agreement", {})
    return found


def fused_points(path: Path) -> tuple[F2, B1]:
    """(feature f2[N,C], valid b1[N]) of the artefact of data/fusion at `path`. Raises StoreError where the
    features of points were not kept."""
    group = open_scene(path)
    if "feature" in group:
        return group["feature"][:], group["valid"][:]
    if (
        group["superpoint_feature"].shape[0] == group["valid"].shape[0]
    ):  # each point is a superpoint of its own
        return group["superpoint_feature"][:], group["valid"][:]
    raise StoreError(
        f"{path}: holds only features of superpoints; set fusion.point_features to true and run fusion again"
    )


class _Attributes(dict[str, Any]):
    """The attributes of an artefact. One that is asked for and is gone is a damage of the artefact."""

    path: Path

    def __missing__(self, name: str) -> Any:
        raise _damaged(self.path, f"{name!r} is gone from its attributes")


def _damaged(path: Path, what: str) -> StoreError:
    return StoreError(f"{path}: damaged, {what}; remove {path} and run its stage again (`dvc repro`)")


def _attributes(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads((path / ROOT).read_text(encoding="utf-8"))["attributes"]
        attributes = _Attributes(found)
    except FileNotFoundError as error:
        raise StoreError(f"{path}: no artefact here; run the stage that writes it (`dvc repro`)") from error
    except (NotADirectoryError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path}: not an artefact of this project; delete it and run its stage again"
        ) from error
    attributes.path = path
    if "key" not in attributes or "format" not in attributes:
        raise StoreError(f"{path}: not an artefact of this project; delete it and run its stage again")
    if attributes["format"] != FORMAT:
        raise StoreError(
            f"{path}: written in format {attributes['format']}, this version reads {FORMAT}; "
            "run its stage again"
        )
    if attributes.get("digest", wanted := _digest(attributes)) != wanted:  # those of before have none
        raise _damaged(path, "its attributes were altered")
    return attributes
