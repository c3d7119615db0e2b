"""The demo's furniture: Sweet Home 3D libraries -> one compact pack, and the reader of the pack.

Models are in metres with z up. They stand on z = 0 (or hang at the elevation that the catalogue gives), are
centred on the z axis, and have their front towards -y. The converter needs the `.sh3f` libraries of Debian's
`sweethome3d-furniture`; everything else needs only the committed pack.
"""

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import fast_simplification
import numpy as np
from PIL import Image
from scipy.spatial import cKDTree

from anyscene.arrays import F4, F8, I4, I8, U1, Array, Floats
from anyscene.errors import PipelineError
from anyscene.project import layout

TEXTURE_SIZE = 64
PALETTE_SIZE = 64
PACK = layout.DEMO / "furniture.npz"  # in the project of the current folder
SELECTION = PACK.with_name("selection.csv")

LICENCES = {
    "BlendSwap-CC-0": "CC0-1.0",
    "BlendSwap-CC-BY": "CC-BY-3.0",
    "KatorLegaz": "CC-BY-3.0-US",
    "Reallusion": "CC-BY-3.0-US",
    "Scopia": "CC-BY-3.0",
}
# Files of these libraries name their authors once for the whole library.
LIBRARY_CREATORS = {
    "KatorLegaz": "Andrew Kator & Jennifer Legaz",
    "Reallusion": "Reallusion",
    "Scopia": "Emmanuel Puybaret / eTeks and Scopia Visual Interfaces Systems, s.l.",
}


class FurnitureError(PipelineError):
    """A furniture library, selection or pack that cannot be used."""


@dataclass(frozen=True)
class Model:
    """A textured mesh."""

    name: str
    class_name: str
    split: str  # "zoo" or "evaluation"
    creator: str
    licence: str
    vertex: F4  # f4[V, 3], metres
    face: I4  # i4[F, 3]
    uv: F4  # f4[F, 3, 2], texture coordinates of each corner; textures repeat outside 0..1
    texture: I4  # i4[F], rows of `textures`, -1 = none
    colour: U1  # u1[F, 3], by which the texture is multiplied; the colour of the face where there is none
    textures: U1  # u1[T, 64, 64, 3], the first row on top

    @property
    def size(self) -> F4:
        """f4[3]: width, depth and height of the axis-aligned box, metres."""
        size: F4 = self.vertex.max(0) - self.vertex.min(0)
        return size

    def with_vertex(self, vertex: Floats) -> "Model":  # [V, 3]
        """The same model with other positions of its vertices."""
        return replace(self, vertex=np.asarray(vertex, np.float32))


# ---------------------------------------------------------------------------------------------- reading .sh3f


@dataclass
class Material:
    """A material of a Wavefront file."""

    colour: tuple[float, ...] = (0.8, 0.8, 0.8)  # red, green, blue in 0..1
    texture: str | None = None  # the file of its image
    opacity: float = 1.0  # 0..1


def catalogue(library: zipfile.ZipFile) -> dict[str, dict[str, str]]:
    """The entries of a library's catalogue, by the path of their model without its suffix, such as
    "scopia/bath/bath"."""
    text = library.read("PluginFurnitureCatalog.properties").decode("latin-1")
    entries: dict[str, dict[str, str]] = {}
    for key, number, value in re.findall(r"^(\w+)#(\d+)\s*=[ \t]*(.*)$", text, re.MULTILINE):
        entries.setdefault(number, {})[key] = value.strip()
    return {str(PurePosixPath(e["model"].lstrip("/")).with_suffix("")): e for e in entries.values()}


def _materials(text: str) -> dict[str, Material]:
    materials: dict[str, Material] = {}
    current = Material()
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        if word == "newmtl":
            current = materials.setdefault(rest, Material())
        elif word == "Kd":
            current.colour = tuple(float(value) for value in rest.split()[:3])
        elif word == "d":
            current.opacity = float(rest.split()[-1])
        elif word == "map_Kd":
            current.texture = rest
    return materials


def _wavefront(text: str) -> tuple[F8, F8, I8, I8, I8, list[str]]:
    """Read a Wavefront file: vertex f8[V, 3], uv f8[U, 2], face i8[F, 3], face_uv i8[F, 3] (-1 = none),
    material i8[F], and the names of materials. Polygons become fans of triangles."""
    vertices, coordinates, faces, face_uvs, materials = [], [], [], [], []
    names: list[str] = []
    material = -1
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "v":
            vertices.append(rest.split()[:3])
        elif word == "vt":
            coordinates.append(rest.split()[:2])
        elif word == "usemtl":
            name = rest.strip()
            if name not in names:
                names.append(name)
            material = names.index(name)
        elif word == "f":
            corners = [(corner.split("/") + [""])[:2] for corner in rest.split()]
            v = [int(a) - 1 if int(a) > 0 else len(vertices) + int(a) for a, _ in corners]
            t = [-1 if not b else int(b) - 1 if int(b) > 0 else len(coordinates) + int(b) for _, b in corners]
            for i in range(1, len(v) - 1):
                faces.append((v[0], v[i], v[i + 1]))
                face_uvs.append((t[0], t[i], t[i + 1]))
                materials.append(material)
    return (
        np.array(vertices, np.float64).reshape(-1, 3),
        np.array(coordinates, np.float64).reshape(-1, 2),
        np.array(faces, np.int64).reshape(-1, 3),
        np.array(face_uvs, np.int64).reshape(-1, 3),
        np.array(materials, np.int64),
        names,
    )


def _place(vertex: F8, entry: dict[str, str]) -> F8:  # [V, 3]
    """Give a model the rotation, size and elevation of its catalogue entry, in metres, with z up and its
    front towards -y, centred."""
    if "modelRotation" in entry:
        rotation = np.array(entry["modelRotation"].split(), float).reshape(3, 3)
        vertex = vertex @ rotation.T
    low, high = vertex.min(0), vertex.max(0)
    size = np.array([entry["width"], entry["height"], entry["depth"]], float) / 100
    unit = (vertex - (low + high) / 2) / np.maximum(high - low, 1e-9) * size
    elevation = float(entry.get("elevation", 0)) / 100
    return np.stack([unit[:, 0], -unit[:, 2], unit[:, 1] + size[1] / 2 + elevation], 1)


def _read_texture(data: bytes) -> U1:
    """u1[64, 64, 3]: a texture of at most 64 colours. Transparent pixels take the mean colour of the opaque
    ones."""
    image = Image.open(io.BytesIO(data)).convert("RGBA")
    pixels = np.asarray(image, np.float64)
    opaque = pixels[..., 3] > 127
    if opaque.any() and not opaque.all():
        pixels = np.where(opaque[..., None], pixels, pixels[opaque].mean(0))
        image = Image.fromarray(pixels.round().astype(np.uint8), "RGBA")
    small = image.convert("RGB").resize((TEXTURE_SIZE, TEXTURE_SIZE), Image.Resampling.BOX)
    return np.asarray(small.quantize(PALETTE_SIZE, dither=Image.Dither.NONE).convert("RGB"))


def _simplify(vertex: F8, face: I8, target: int) -> tuple[F8, I8]:
    used, local = np.unique(face, return_inverse=True)
    vertex, face = vertex[used], local.reshape(-1, 3)
    merged, inverse = np.unique(vertex.round(5), axis=0, return_inverse=True)
    vertex, face = merged, inverse.reshape(-1)[face]
    face = face[(face[:, 0] != face[:, 1]) & (face[:, 1] != face[:, 2]) & (face[:, 0] != face[:, 2])]
    if len(face) <= target:
        return vertex, face
    points, triangles = fast_simplification.simplify(
        vertex.astype(np.float32), face.astype(np.int32), target_count=target, agg=5
    )
    return points.astype(np.float64), triangles.astype(np.int64)


def _transfer_uv(vertex: F8, face: I8, uv: F8, new_vertex: F8, new_face: I8) -> F8:
    """f8[n, 3, 2]: texture coordinates of the new faces, by the affine map of the old triangle that is
    nearest to the centroid of each."""
    corner = vertex[face]
    weights = np.array([[1, 1, 1], [4, 1, 1], [1, 4, 1], [1, 1, 4], [5, 5, 1], [5, 1, 5], [1, 5, 5]], float)
    weights /= weights.sum(1, keepdims=True)
    samples = np.einsum("sc,fcx->fsx", weights, corner).reshape(-1, 3)
    nearest = cKDTree(samples).query(vertex_mean(new_vertex, new_face))[1] // len(weights)
    origin = corner[nearest, 0]
    edge1, edge2 = corner[nearest, 1] - origin, corner[nearest, 2] - origin
    gram = np.stack(
        [(edge1 * edge1).sum(1), (edge1 * edge2).sum(1), (edge1 * edge2).sum(1), (edge2 * edge2).sum(1)], 1
    ).reshape(-1, 2, 2)
    gram += np.eye(2) * (1e-9 + 1e-6 * gram.trace(axis1=1, axis2=2)[:, None, None])
    offset = new_vertex[new_face] - origin[:, None]
    right = np.stack([(offset * edge1[:, None]).sum(2), (offset * edge2[:, None]).sum(2)], 2)  # [n, 3, 2]
    local: F8 = np.clip(np.linalg.solve(gram[:, None], right[..., None])[..., 0], -3, 4)
    base = uv[nearest]
    transferred: F8 = (
        base[:, :1]
        + local[..., :1] * (base[:, 1:2] - base[:, :1])
        + local[..., 1:] * (base[:, 2:] - base[:, :1])
    )
    return transferred


def vertex_mean(vertex: F8, face: I8) -> F8:
    """f8[F, 3]: the centroids of faces."""
    centroid: F8 = vertex[face].mean(1)
    return centroid


def read_model(library: zipfile.ZipFile, path: str, entry: dict[str, str], target: int = 2000) -> Model:
    """Read one model of a library, place it, and decimate it to about `target` triangles. Raises
    FurnitureError where it has no visible face."""
    folder = PurePosixPath(path).parent
    text = library.read(f"{path}.obj").decode("latin-1")
    vertex, coordinates, face, face_uv, material, names = _wavefront(text)
    materials: dict[str, Material] = {}
    for line in re.findall(r"^mtllib\s+(.+?)\s*$", text, re.MULTILINE):
        # One library renames a file without telling the model.
        file = str(folder / line) if str(folder / line) in library.namelist() else f"{path}.mtl"
        materials |= _materials(library.read(file).decode("latin-1"))
    vertex = _place(vertex, entry)

    parts = []
    textures: list[U1] = []
    members = set(library.namelist())
    for index in np.unique(material):
        chosen = material == index
        about = materials.get(names[index] if index >= 0 else "", Material())
        if about.opacity < 0.05:
            continue
        budget = max(16, round(chosen.sum() * min(1, target / len(face))))
        new_vertex, new_face = _simplify(vertex, face[chosen], budget)
        if not len(new_face):
            continue
        uv = np.zeros((len(new_face), 3, 2))
        row = -1
        image = str(folder / about.texture) if about.texture else ""
        if image in members and (face_uv[chosen] >= 0).all():
            uv = _transfer_uv(vertex, face[chosen], coordinates[face_uv[chosen]], new_vertex, new_face)
            row = len(textures)
            textures.append(_read_texture(library.read(image)))
        colour = np.array((1, 1, 1) if row >= 0 else about.colour).clip(0.03, 1)
        parts.append((new_vertex, new_face, uv, row, (colour * 255).round().astype(np.uint8)))
    if not parts:
        raise FurnitureError(f"model {path}: no visible faces; leave it out of the selection")
    offsets = np.cumsum([0] + [len(part[0]) for part in parts])
    uv = np.concatenate([part[2] for part in parts])
    return Model(
        name=path,
        class_name="",
        split="",
        creator=entry.get("creator", ""),
        licence="",
        vertex=np.concatenate([part[0] for part in parts]).astype(np.float32),
        face=np.concatenate([part[1] + offset for part, offset in zip(parts, offsets, strict=False)]).astype(
            np.int32
        ),
        uv=(uv - np.floor(uv.min(1, keepdims=True))).astype(np.float32),
        texture=np.concatenate([np.full(len(part[1]), part[3]) for part in parts]).astype(np.int32),
        colour=np.concatenate([np.tile(part[4], (len(part[1]), 1)) for part in parts]),
        textures=np.array(textures, np.uint8).reshape(-1, TEXTURE_SIZE, TEXTURE_SIZE, 3),
    )


# ------------------------------------------------------------------------------------------------- the pack


def convert(source: Path, selection: Path = SELECTION, pack: Path = PACK, target: int = 1500) -> list[Model]:
    """Write the pack and its ATTRIBUTION.md from the `.sh3f` files in `source`, and return the models. The
    same input gives the same bytes.

    Raises FurnitureError naming the library or model that is missing.
    """
    with selection.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    models = []
    for library_name in LICENCES:
        wanted = {row["model"]: row for row in rows if row["library"] == library_name}
        if not wanted:
            continue
        path = Path(source) / f"{library_name}.sh3f"
        if not path.is_file():
            raise FurnitureError(
                f"{path}: no such library; unpack Debian's sweethome3d-furniture and name its folder"
            )
        with zipfile.ZipFile(path) as library:
            entries = catalogue(library)
            for name, row in sorted(wanted.items()):
                if name not in entries:
                    raise FurnitureError(f"{path}: the selection's model {name} is not in the catalogue")
                creator = LIBRARY_CREATORS.get(library_name) or entries[name].get("creator") or "Blend Swap"
                models.append(
                    replace(
                        read_model(library, name, entries[name], target),
                        class_name=row["class"],
                        split=row["split"],
                        creator=creator,
                        licence=LICENCES[library_name],
                    )
                )
    write_pack(models, pack)
    pack.with_name("ATTRIBUTION.md").write_text(attribution(models), encoding="utf-8")
    return models


def write_pack(models: list[Model], path: Path) -> None:
    """Write the models into one .npz: catalogue.json, and arrays that are concatenated and quantised.
    Vertices have 16 bits within the box of their model."""
    arrays: dict[str, list[Array]] = {
        key: [] for key in ("vertex", "face", "uv", "texture", "colour", "image", "palette")
    }
    entries = []
    for model in models:
        low, size = model.vertex.min(0).astype(np.float64), np.maximum(model.size.astype(np.float64), 1e-6)
        palette_rows, face_row = np.unique(
            np.concatenate([model.texture[:, None], model.colour], 1), axis=0, return_inverse=True
        )
        arrays["vertex"].append(((model.vertex - low) / size * 65535).round().astype(np.uint16))
        arrays["face"].append(model.face.astype(np.uint16))
        arrays["uv"].append(model.uv[model.texture >= 0].clip(0, 1000).astype(np.float16))
        arrays["texture"].append(face_row.reshape(-1).astype(np.uint8))
        for image in model.textures:
            colours, index = np.unique(image.reshape(-1, 3), axis=0, return_inverse=True)
            arrays["image"].append(index.reshape(1, TEXTURE_SIZE, TEXTURE_SIZE).astype(np.uint8))
            arrays["palette"].append(np.pad(colours, ((0, PALETTE_SIZE - len(colours)), (0, 0)))[None])
        entries.append(
            {
                "name": model.name,
                "class": model.class_name,
                "split": model.split,
                "creator": model.creator,
                "licence": model.licence,
                "low": low.round(6).tolist(),
                "size": size.round(6).tolist(),
                "materials": palette_rows.tolist(),
                "counts": [
                    len(model.vertex),
                    len(model.face),
                    int((model.texture >= 0).sum()),
                    len(model.textures),
                ],
            }
        )
    del arrays["colour"]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, parts in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, np.ascontiguousarray(np.concatenate(parts)))
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue(), zipfile.ZIP_LZMA)
        text = json.dumps(entries, indent=0)
        archive.writestr(zipfile.ZipInfo("catalogue.json"), text, zipfile.ZIP_LZMA)


@lru_cache(maxsize=2)
def load(path: Path = PACK) -> tuple[Model, ...]:
    """All models of the pack, in the order of its catalogue. Raises FurnitureError where the pack is
    missing."""
    if not Path(path).is_file():
        raise FurnitureError(
            f"{path}: furniture pack missing; run in the project's folder, restore it from the "
            "repository, or make it anew by python -m anyscene_demo.commands.furniture"
        )
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in ("vertex", "face", "uv", "texture", "image", "palette")}
        entries = json.loads(archive["catalogue.json"])
    return tuple(_unpack(arrays, entries))


def _unpack(arrays: dict[str, Array], entries: list[dict[str, Any]]) -> Iterator[Model]:
    v = f = t = i = 0
    for entry in entries:
        vertices, faces, textured, images = entry["counts"]
        rows = np.array(entry["materials"])[
            arrays["texture"][f : f + faces]
        ]  # i8[F, 4]: texture, red, green, blue
        uv = np.zeros((faces, 3, 2), np.float32)
        uv[rows[:, 0] >= 0] = arrays["uv"][t : t + textured]
        vertex = arrays["vertex"][v : v + vertices].astype(np.float64) / 65535 * entry["size"] + entry["low"]
        palette = arrays["palette"][i : i + images]
        yield Model(
            name=entry["name"],
            class_name=entry["class"],
            split=entry["split"],
            creator=entry["creator"],
            licence=entry["licence"],
            vertex=vertex.astype(np.float32),
            face=arrays["face"][f : f + faces].astype(np.int32),
            uv=uv,
            texture=rows[:, 0].astype(np.int32),
            colour=rows[:, 1:].astype(np.uint8),
            textures=np.take_along_axis(
                palette[:, :, None],
                arrays["image"][i : i + images].reshape(images, TEXTURE_SIZE**2, 1, 1).astype(np.int64),
                1,
            ).reshape(images, TEXTURE_SIZE, TEXTURE_SIZE, 3),
        )
        v, f, t, i = v + vertices, f + faces, t + textured, i + images


def attribution(models: list[Model]) -> str:
    """The content of ATTRIBUTION.md: who made what, under which licence, and what was changed."""
    lines = [
        "# Attribution of the demo's furniture",
        "",
        "`furniture.npz` holds 3D models taken from the furniture libraries of Sweet Home 3D (Debian package",
        "`sweethome3d-furniture`, collected and converted to OBJ by Emmanuel Puybaret / eTeks). "
        "Changes made here: placed in",
        "metres, decimated, textures reduced to 64x64 pixels of 64 colours. "
        "The models keep their own licences:",
        "[CC0-1.0](https://creativecommons.org/publicdomain/zero/1.0/), "
        "[CC-BY-3.0](https://creativecommons.org/licenses/by/3.0/),",
        "[CC-BY-3.0-US](https://creativecommons.org/licenses/by/3.0/us/).",
        "",
        "| model | class | split | creator | licence |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {m.name} | {m.class_name} | {m.split} | {m.creator} | {m.licence} |" for m in models]
    return "\n".join(lines) + "\n"
