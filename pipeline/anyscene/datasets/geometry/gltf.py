"""glTF 2.0 files, .glb and .gltf (Khronos; ISO/IEC 12113): many meshes and clouds, each placed by its nodes.

The format is in metres, +y up, with colours as light. Section numbers are those of its specification.
"""

from __future__ import annotations

import base64
import io
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from PIL import Image

from anyscene.arrays import F8, I8, U1, Array
from anyscene.datasets import rotations
from anyscene.datasets.geometry.colours import GREY
from anyscene.datasets.geometry.geometry import Geometry
from anyscene.datasets.geometry.texture import sampled
from anyscene.datasets.whole_numbers import whole
from anyscene.errors import DataError

UP = np.array([0.0, 1.0, 0.0])  # 3.4
COMPONENTS = {5120: "i1", 5121: "u1", 5122: "i2", 5123: "u2", 5125: "u4", 5126: "f4"}  # 3.6.2.2
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
POINTS, TRIANGLES, STRIP, FAN = 0, 4, 5, 6  # 3.7.2.1: the modes of a primitive; the others are lines
GLB, JSON, BINARY = 0x46546C67, 0x4E4F534A, 0x004E4942  # 4.4
GLOSSY, WEBP = "KHR_materials_pbrSpecularGlossiness", "EXT_texture_webp"
# Extensions that a file may require: they are read, or change neither surface nor colour.
READ = {GLOSSY, WEBP, "KHR_mesh_quantization", "KHR_materials_unlit", "KHR_lights_punctual"}
DEEPEST = 100  # nodes below one another


def read(path: Path) -> Geometry:
    """All meshes and clouds of the scene as one, in the order of its nodes, without vertices that no face
    has.

    The colour of a vertex is the product of what its texture, its material and its own colour are (3.9.2);
    GREY where other parts have colours and this one has none. Raises DataError naming the file, also where it
    needs an extension that is not read here.
    """
    try:
        file = _File.of(path)
        if unread := sorted(set(file.tree.get("extensionsRequired", ())) - READ):
            raise DataError(
                f"{path}: is packed by {', '.join(unread)}, which is not read here; export it uncompressed"
            )
        parts = [
            _placed(_part(file, primitive), transform)
            for mesh, transform in _meshes(file.tree)
            for primitive in mesh["primitives"]
            if primitive.get("mode", TRIANGLES) in (POINTS, TRIANGLES, STRIP, FAN)
        ]
    except (OSError, ValueError, KeyError, IndexError, TypeError, OverflowError, struct.error) as error:
        raise DataError(f"{path}: not a readable glTF file ({error}); export it again") from error
    if not sum(len(part.xyz) for part in parts):
        raise DataError(f"{path}: holds no triangles and no points; export it again")
    start = np.cumsum([0, *(len(part.xyz) for part in parts[:-1])])
    face = np.concatenate([part.face + first for part, first in zip(parts, start, strict=True)])
    rgb = None
    if any(part.rgb is not None for part in parts):
        every = [np.full(part.xyz.shape, GREY, np.uint8) if part.rgb is None else part.rgb for part in parts]
        rgb = np.concatenate(every)
    return Geometry(np.concatenate([part.xyz for part in parts]), face.astype(np.int32), rgb, up=UP)


@dataclass(frozen=True, eq=False)
class _Part:
    """A primitive."""

    xyz: F8  # f8[N, 3]
    face: I8  # i8[F, 3]
    rgb: U1 | None  # u1[N, 3]


@dataclass(frozen=True, eq=False)
class _File:
    """The JSON of a file, and its bytes."""

    path: Path
    tree: dict[str, Any]
    binary: bytes  # the second chunk of a .glb
    kept: dict[str, bytes] = field(default_factory=dict)  # what URIs meant

    @classmethod
    def of(cls, path: Path) -> _File:
        data, binary = path.read_bytes(), b""
        if data[:4] == struct.pack("<I", GLB):
            _, version, size = struct.unpack_from("<III", data)
            if version != 2 or size > len(data):
                raise ValueError(f"glTF of version {version}" if version != 2 else "the file is cut")
            length, kind = struct.unpack_from("<II", data, 12)
            text, after = data[20 : 20 + length], 20 + length
            if kind != JSON:
                raise ValueError("its first part is no JSON")
            if after + 8 <= size:
                length, kind = struct.unpack_from("<II", data, after)
                binary = data[after + 8 : after + 8 + length] if kind == BINARY else b""
            data = text
        tree = json.loads(data)
        if not isinstance(tree, dict):
            raise ValueError("no JSON object")
        return cls(path, tree, binary)

    def bytes_of(self, uri: str | None) -> bytes:
        """The bytes that a URI means: inside it, or in a file beside this one; None: the binary chunk."""
        if uri is None:
            return self.binary
        if uri not in self.kept:
            self.kept[uri] = self._read(uri)
        return self.kept[uri]

    def _read(self, uri: str) -> bytes:
        if uri.startswith("data:"):
            return base64.b64decode(uri.partition(",")[2])
        name = Path(unquote(uri))
        if name.is_absolute() or ".." in name.parts:
            raise DataError(f"{self.path}: names {uri}, which is not beside it; export it again")
        if not (self.path.parent / name).is_file():
            raise DataError(f"{self.path.parent / name}: missing, {self.path.name} names it; put it there")
        return (self.path.parent / name).read_bytes()

    def view(self, index: int) -> tuple[bytes, int]:
        """(the bytes of a buffer view, the bytes from one item to the next, 0 where they are packed)."""
        view = self.tree["bufferViews"][index]
        start, size = view.get("byteOffset", 0), view["byteLength"]
        data = self.bytes_of(self.tree["buffers"][view["buffer"]].get("uri"))[start : start + size]
        if len(data) < size:
            raise ValueError("the file is cut")
        return data, view.get("byteStride", 0)

    def values(self, index: int) -> Array:
        """[N, C] of an accessor, floats in 0..1 or -1..1 where it is normalised (3.6.2.2)."""
        accessor = self.tree["accessors"][index]
        if "sparse" in accessor:
            raise ValueError("sparse accessors are not read")
        kind, width = (
            np.dtype(COMPONENTS[accessor["componentType"]]).newbyteorder("<"),
            WIDTHS[accessor["type"]],
        )
        count = accessor["count"]
        if "bufferView" not in accessor:
            return np.zeros((count, width), kind)
        data, stride = self.view(accessor["bufferView"])
        row, start = kind.itemsize * width, accessor.get("byteOffset", 0)
        stride = stride or row
        if count and start + (count - 1) * stride + row > len(data):
            raise ValueError("an accessor is longer than its buffer")
        values: Array = np.ndarray((count, width), kind, data, start, (stride, kind.itemsize)).copy()
        if accessor.get("normalized") and kind.kind in "iu":
            values = np.maximum(values / np.iinfo(kind).max, -1.0)
        return values

    def image(self, texture: int) -> Image.Image:
        """The picture of a texture."""
        said = self.tree["textures"][texture]
        source = said.get("extensions", {}).get(WEBP, said).get("source", said.get("source"))
        image = self.tree["images"][source]
        data = self.bytes_of(image["uri"]) if "uri" in image else self.view(image["bufferView"])[0]
        return Image.open(io.BytesIO(data))


def _meshes(tree: dict[str, Any]) -> Iterator[tuple[dict[str, Any], F8]]:
    """Each mesh of the scene with its transform f8[4, 4] to the world, those of a node before its
    children."""
    nodes, meshes = tree.get("nodes", []), tree.get("meshes", [])
    scenes = tree.get("scenes", [{"nodes": list(range(len(nodes)))}])
    waiting = [(index, np.eye(4), 0) for index in reversed(scenes[tree.get("scene", 0)].get("nodes", []))]
    while waiting:
        index, above, depth = waiting.pop()
        if depth > DEEPEST:
            raise ValueError("nodes that are below themselves")
        node = nodes[index]
        transform = above @ _local(node)
        if "mesh" in node:
            yield meshes[node["mesh"]], transform
        waiting += [(child, transform, depth + 1) for child in reversed(node.get("children", []))]


def _local(node: dict[str, Any]) -> F8:
    """f8[4, 4]: the transform of a node, which is stored by columns, or as translation, rotation and
    scale."""
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    matrix = np.eye(4)
    turn = rotations.of_quaternions(node.get("rotation", [0, 0, 0, 1]))
    matrix[:3, :3] = turn * np.array(node.get("scale", [1, 1, 1]), np.float64)
    matrix[:3, 3] = node.get("translation", [0, 0, 0])
    return matrix


def _placed(part: _Part, transform: F8) -> _Part:
    mirrored = np.linalg.det(transform[:3, :3]) < 0  # it would turn faces inside out (3.7.4)
    face = part.face[:, ::-1] if mirrored else part.face
    return _Part(part.xyz @ transform[:3, :3].T + transform[:3, 3], face, part.rgb)


def _part(file: _File, primitive: dict[str, Any]) -> _Part:
    attributes = primitive["attributes"]
    if "bufferView" not in file.tree["accessors"][attributes["POSITION"]]:  # by 3.6.2.1 they would be 0
        packed = ", ".join(primitive.get("extensions", {})) or "an extension"
        raise DataError(f"{file.path}: is packed by {packed}, which is not read here; export it uncompressed")
    xyz = file.values(attributes["POSITION"]).astype(np.float64)
    if xyz.shape[1] != 3:
        raise ValueError("positions that are not x, y, z")
    rgb, mode = _colours(file, primitive, len(xyz)), primitive.get("mode", TRIANGLES)
    if mode == POINTS:
        return _Part(xyz, np.zeros((0, 3), np.int64), rgb)
    corner = file.values(primitive["indices"])[:, 0] if "indices" in primitive else np.arange(len(xyz))
    face = _triangles(whole(corner, np.int64), mode)
    if face.size and face.max() >= len(xyz):
        raise ValueError("a face names a vertex that is not there")
    used, face = np.unique(face, return_inverse=True)  # primitives often share all vertices of a mesh
    return _Part(xyz[used], face.reshape(-1, 3), None if rgb is None else rgb[used])


def _triangles(corner: I8, mode: int) -> I8:
    """i8[F, 3] of the corners of triangles, of a strip or of a fan of them."""
    if mode == TRIANGLES:
        return corner[: len(corner) // 3 * 3].reshape(-1, 3)
    step = np.arange(max(len(corner) - 2, 0))
    if mode == FAN:
        return np.stack([corner[0 * step], corner[step + 1], corner[step + 2]], 1)
    odd = step % 2
    return np.stack([corner[step], corner[step + 1 + odd], corner[step + 2 - odd]], 1)


def _colours(file: _File, primitive: dict[str, Any], count: int) -> U1 | None:
    attributes = primitive["attributes"]
    said = file.tree["materials"][primitive["material"]] if "material" in primitive else {}
    glossy = said.get("extensions", {}).get(GLOSSY)
    base = said.get("pbrMetallicRoughness", {}) if glossy is None else glossy
    names = ("baseColorTexture", "baseColorFactor") if glossy is None else ("diffuseTexture", "diffuseFactor")
    light, known = np.ones((count, 3)), False
    if (texture := base.get(names[0])) is not None:
        laid = attributes.get(f"TEXCOORD_{texture.get('texCoord', 0)}")
        if laid is not None:
            uv = file.values(laid).astype(np.float64) * [1, -1] + [0, 1]  # from the upper left corner (3.8.3)
            light, known = _light(sampled(file.image(texture["index"]), uv) / 255), True
    factor = np.array(base.get(names[1], [1, 1, 1]), np.float64)[:3]
    if (factor != 1).any():  # 1 says nothing
        light, known = light * factor, True
    if "COLOR_0" in attributes:
        own = file.values(attributes["COLOR_0"])[:, :3]
        # Colours are light (3.9.2), but what writes bytes (trimesh, Open3D) writes those of images.
        as_bytes = file.tree["accessors"][attributes["COLOR_0"]]["componentType"] == 5121
        own = own / 255 if own.dtype == np.uint8 else own.astype(np.float64)
        light, known = light * (_light(own) if as_bytes else own), True
    rgb: U1 = np.rint(255 * _shown(light)).astype(np.uint8)
    return rgb if known else None


def _light(shown: F8) -> F8:
    """Colours of images (sRGB, IEC 61966-2-1) as light, both in 0..1."""
    return np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)


def _shown(light: F8) -> F8:
    """The inverse of `_light`."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
