"""Furnished rooms, drawn at random: what stands where, and the textured, labelled mesh of everything.

Things are placed by the rules by which people furnish: cupboards, beds and sofas have their back to a wall,
chairs stand around tables and at desks, curtains hang at windows and a shower curtain before the bathtub,
small things stand on others. Boxes never overlap, and the way in stays free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from anyscene import datasets
from anyscene.arrays import F8, U1
from anyscene_demo import furniture, generated
from anyscene_demo.furniture import TEXTURE_SIZE, Model
from anyscene_demo.generated import hsv, hue, white, wood
from anyscene_demo.render import NO_LABEL, Light, Mesh

KINDS = ("living room", "kitchen", "bedroom", "bathroom", "office")
CLASSES = datasets.label_set("scannet20").names
GAP = 0.02  # metres between neighbours
FLAT = ("door", "window", "picture", "curtain")  # classes that hang on the wall
ATTEMPTS = 40  # to find a free place
# Where a class has a generated family, the chance that a member of it is drawn rather than a library model.
FAMILY_SHARE = {
    "curtain": 0.85,
    "shower curtain": 0.85,
    "picture": 1.0,
    "counter": 0.8,
    "bathtub": 0.6,
    "toilet": 0.5,
}


@dataclass(frozen=True)
class Placed:
    """An object of a room."""

    model: Model
    instance: int  # its number, from 1 on
    low: F8  # f8[3], the lowest corner of its axis-aligned box, metres
    high: F8  # f8[3], the highest corner

    @property
    def centre(self) -> F8:
        """f8[3]: the middle of its box."""
        middle: F8 = (self.low + self.high) / 2
        return middle


@dataclass(frozen=True)
class Room:
    """A furnished room."""

    kind: str  # one of KINDS
    size: F8  # f8[3], metres; x, y and z begin at 0, z is up
    placed: tuple[Placed, ...]  # all its objects
    mesh: Mesh  # of walls, floor, ceiling and all objects
    light: Light


@lru_cache(maxsize=4)
def library(split: str) -> dict[str, tuple[Model, ...]]:
    """The models of one split in the pack, by class."""
    pool: dict[str, list[Model]] = {}
    for model in furniture.load():
        if model.split == split:
            pool.setdefault(model.class_name, []).append(model)
    return {name: tuple(models) for name, models in pool.items()}


def draw(rng: np.random.Generator, split: str, class_name: str) -> Model:
    """Draw a model of a class, from the library or from its generated family, with a colour of its own."""
    models = library(split).get(class_name, ())
    family = generated.FAMILIES.get(class_name)
    share = 0.0 if family is None else FAMILY_SHARE.get(class_name, 0.4) if models else 1.0
    if rng.random() < share and family is not None:
        return family(rng, split)
    model = _recoloured(rng, split, models[rng.integers(len(models))])
    if class_name in FLAT:  # thick frames are set into the wall
        scale = min(1.0, 0.08 / model.size[1])
        model = model.with_vertex(model.vertex * (1, scale, 1))
    return model


def _recoloured(rng: np.random.Generator, split: str, model: Model) -> Model:
    gain = rng.uniform(0.85, 1.1) * (1 + rng.normal(0, 0.03, 3))
    if rng.random() < 0.4:  # another fabric, another wood
        if model.class_name in ("chair", "sofa", "bed"):
            gain = hue(rng, split, 0, 1, (0.1, 0.5), (0.75, 1.0)) / 255
        elif model.class_name in ("table", "desk", "cabinet", "bookshelf", "door"):
            gain = wood(rng, split) / 255 * 1.25
    return replace(model, colour=(model.colour * gain).clip(6, 255).astype(np.uint8))


def generate(rng: np.random.Generator, split: str, kind: str) -> Room:
    """Draw a furnished room with models of one split ("zoo" or "evaluation")."""
    builder = _Builder(rng, split, kind)
    builder.add_door()
    furnish = getattr(builder, "furnish_" + kind.replace(" ", "_"))
    # Kitchens and bathrooms are built around their fixtures, other rooms around their windows.
    steps = (
        (furnish, builder.add_windows) if kind in ("kitchen", "bathroom") else (builder.add_windows, furnish)
    )
    for step in steps:
        step()
    builder.add_pictures()
    builder.add_clutter()
    return builder.room()


class _Builder:
    def __init__(self, rng: np.random.Generator, split: str, kind: str):
        self.rng, self.split, self.kind = rng, split, kind
        low, high = {
            "living room": (3.8, 5.4),
            "kitchen": (3.0, 4.2),
            "bedroom": (3.2, 4.6),
            "bathroom": (2.4, 3.3),
            "office": (3.2, 5.0),
        }[kind]
        self.size = np.array([rng.uniform(low, high), rng.uniform(low, high), rng.uniform(2.4, 2.8)])
        self.placed: list[Placed] = []
        self.shapes: list[Model] = []  # in world coordinates
        self.keep_free: list[tuple[F8, F8]] = []

    # ------------------------------------------------------------------------------------------- placing

    def free(self, low: F8, high: F8) -> bool:
        """Whether a box lies inside the room and touches nothing."""
        inside = (
            (low[:2] >= -1e-6).all() and (high[:2] <= self.size[:2] + 1e-6).all() and high[2] <= self.size[2]
        )
        boxes = [(p.low, p.high) for p in self.placed] + self.keep_free
        return bool(inside) and not any((low < h).all() and (high > b).all() for b, h in boxes)

    def put(
        self, model: Model, position: Sequence[float] | F8, angle: float, *, ignore: Sequence[Placed] = ()
    ) -> Placed | None:
        """Place a model, turned by `angle` radians, with its origin at `position` [3]; None where it would
        collide. ignore: objects with which it may."""
        cosine, sine = np.cos(angle), np.sin(angle)
        turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
        vertex = model.vertex @ turn.T + np.asarray(position)
        low, high = vertex.min(0).astype(float), vertex.max(0).astype(float)
        kept, self.placed = self.placed, [p for p in self.placed if p not in ignore]
        free, self.placed = self.free(low, high), kept
        if not free:
            return None
        placed = Placed(model, len(self.placed) + 1, low, high)
        self.placed.append(placed)
        self.shapes.append(model.with_vertex(vertex))
        return placed

    def at_wall(
        self, class_name: str, *, wall: int | None = None, gap: float = GAP, model: Model | None = None
    ) -> Placed | None:
        """Place an object with its back to a wall, at a random free place; None where there is none."""
        model = draw(self.rng, self.split, class_name) if model is None else model
        back, half = float(model.vertex[:, 1].max()), model.size[0] / 2
        for _ in range(ATTEMPTS):
            side = int(self.rng.integers(4)) if wall is None else wall
            length = self.size[side % 2]
            if length < 2 * half:
                continue
            along = (
                self.rng.uniform(half, length - half)
                if self.rng.random() < 0.6
                else (half + GAP if self.rng.random() < 0.5 else length - half - GAP)
            )
            position, angle = self.wall_place(side, along, back + gap)
            placed = self.put(model, position, angle)
            if placed is not None:
                return placed
        return None

    def wall_place(self, side: int, along: float, distance: float) -> tuple[F8, float]:
        """The position and angle of an object with its back to wall `side` and its origin `distance` metres
        before it."""
        width, depth, _ = self.size
        places = (
            ((along, depth - distance, 0), 0.0),
            ((width - distance, along, 0), -np.pi / 2),
            ((along, distance, 0), np.pi),
            ((distance, along, 0), np.pi / 2),
        )
        return np.array(places[side][0]), places[side][1]

    def side_of(self, placed: Placed) -> int:
        """The wall to which an object is closest."""
        width, depth, _ = self.size
        return int(np.argmin([depth - placed.high[1], width - placed.high[0], placed.low[1], placed.low[0]]))

    def in_front(
        self, of: Placed, model: Model, distance: float, *, turned: bool, shift: float = 0.0
    ) -> Placed | None:
        """Place a model before an object that stands at a wall; None where it would collide. turned: whether
        it faces the object."""
        side = self.side_of(of)
        inward = np.array([(0, -1), (-1, 0), (0, 1), (1, 0)])[side]
        across = np.array([(1, 0), (0, 1), (1, 0), (0, 1)])[side]
        reach = (of.high - of.low)[:2] @ np.abs(inward) / 2 + model.size[1] / 2 + distance
        centre = of.centre[:2] + inward * reach + across * shift
        angle = self.wall_place(side, 0, 0)[1] + (np.pi if turned else 0) + self.rng.normal(0, 0.06)
        return self.put(model, (*centre, 0), angle)

    def at_centre(self, class_name: str, seats: int) -> Placed | None:
        """Place a table in the free middle of the room, with chairs around it; None where there is no
        place."""
        model = draw(self.rng, self.split, class_name)
        for _ in range(ATTEMPTS):
            spot = self.rng.uniform(0.25, 0.75, 2) * self.size[:2]
            table = self.put(model, (*spot, 0), self.rng.integers(2) * np.pi / 2)
            if table is not None:
                self.seat(table, seats)
                return table
        return None

    def seat(self, table: Placed, seats: int) -> None:
        """Place chairs around a table, on `seats` of its sides."""
        chair = draw(self.rng, self.split, "chair")
        half = (table.high - table.low)[:2] / 2
        for side in self.rng.permutation(4)[:seats]:
            outward = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])[side]
            reach = half @ np.abs(outward) + chair.size[1] / 2 + self.rng.uniform(0.03, 0.15)
            # A chair's front is -y: unturned, it stands on the +y side and looks at the table.
            angle = (0.0, -np.pi / 2, np.pi, np.pi / 2)[side] + self.rng.normal(0, 0.1)
            self.put(chair, (*(table.centre[:2] + outward * reach), 0), angle)

    # ------------------------------------------------------------------------------- what rooms consist of

    def add_door(self) -> None:
        for _ in range(2 if self.rng.random() < 0.3 else 1):
            door = self.at_wall("door", gap=0.0)
            if door is not None:
                inward = np.array([(0, -1, 0), (-1, 0, 0), (0, 1, 0), (1, 0, 0)])[self.side_of(door)]
                way = np.sort([door.centre, door.centre + inward * 0.9], axis=0)
                spread = 0.35 * (1 - np.abs(inward))
                low, high = way[0] - spread, way[1] + spread
                low[2], high[2] = 0, 2
                self.keep_free.append((low, high))

    def add_windows(self) -> None:
        count = 1 if self.kind == "bathroom" else int(self.rng.integers(1, 4))
        dressed = {"bedroom": 0.9, "living room": 0.8, "office": 0.5, "kitchen": 0.4, "bathroom": 0.1}[
            self.kind
        ]
        for _ in range(count):
            window = self.at_wall("window", gap=0.0)
            if window is not None and self.rng.random() < dressed:
                self.dress(window)

    def dress(self, window: Placed) -> None:
        """Hang a curtain before a window, as wide as the window needs."""
        side, curtain = self.side_of(window), draw(self.rng, self.split, "curtain")
        extent = (window.high - window.low)[side % 2] + 0.3
        curtain = curtain.with_vertex(curtain.vertex * (extent / curtain.size[0], 1, 1))
        distance = (window.high - window.low)[1 - side % 2] + 0.02 + curtain.vertex[:, 1].max()
        position, angle = self.wall_place(side, window.centre[side % 2], distance)
        self.put(curtain, position, angle)

    def add_pictures(self) -> None:
        for _ in range(int(self.rng.integers(1, 4))):
            self.at_wall("picture", gap=0.0)

    def add_clutter(self) -> None:
        """Add other furniture: large pieces at walls, small ones on top of something."""
        for _ in range(int(self.rng.integers(2, 6))):
            model = draw(self.rng, self.split, "otherfurniture")
            if model.size.max() < 0.55 and model.vertex[:, 2].min() < 0.05:
                self.on_top(model)
            else:
                self.at_wall("otherfurniture", model=model)

    def on_top(self, model: Model) -> None:
        hosts = [
            p
            for p in self.placed
            if p.model.class_name in ("table", "desk", "counter", "cabinet") and p.high[2] < 1.3
        ]
        if hosts:
            host = hosts[self.rng.integers(len(hosts))]
            room = ((host.high - host.low)[:2] - model.size[:2]).clip(0) / 2
            spot = host.centre[:2] + room * self.rng.uniform(-0.8, 0.8, 2)
            self.put(model, (*spot, host.high[2] + 1e-3), self.rng.uniform(0, 2 * np.pi))

    def desk(self) -> None:
        desk = self.at_wall("desk")
        if desk is not None:
            chair = draw(self.rng, self.split, "chair")
            self.in_front(
                desk, chair, self.rng.uniform(0.02, 0.2), turned=True, shift=self.rng.normal(0, 0.08)
            )

    def several(self, class_name: str, low: int, high: int) -> None:
        for _ in range(int(self.rng.integers(low, high + 1))):
            self.at_wall(class_name)

    def furnish_living_room(self) -> None:
        sofa = self.at_wall("sofa")
        if sofa is not None and self.rng.random() < 0.8:
            self.in_front(sofa, draw(self.rng, self.split, "table"), self.rng.uniform(0.3, 0.5), turned=False)
        if self.rng.random() < 0.5:
            self.at_wall("sofa")
        self.several("bookshelf", 0, 2)
        self.several("cabinet", 0, 1)
        if self.size[:2].prod() > 18:
            self.at_centre("table", int(self.rng.integers(2, 5)))
        self.several("chair", 1, 2)

    def furnish_kitchen(self) -> None:
        wall = int(self.rng.integers(4))
        self.at_wall("counter", wall=wall)
        self.at_wall("refrigerator")
        self.at_wall("sink")
        if self.rng.random() < 0.6:
            self.at_wall("counter")
        self.several("cabinet", 1, 2)
        self.at_centre("table", int(self.rng.integers(2, 5)))

    def furnish_bedroom(self) -> None:
        self.at_wall("bed")
        if self.rng.random() < 0.25:
            self.at_wall("bed")
        self.several("cabinet", 1, 2)
        if self.rng.random() < 0.6:
            self.desk()
        self.several("bookshelf", 0, 1)
        self.several("chair", 0, 1)

    def furnish_bathroom(self) -> None:
        tub = self.at_wall("bathtub")
        if tub is not None:
            sheet = draw(self.rng, self.split, "shower curtain")
            side = self.side_of(tub)
            extent = (tub.high - tub.low)[side % 2] * self.rng.uniform(0.5, 0.8)
            sheet = sheet.with_vertex(sheet.vertex * (extent / sheet.size[0], 1, 1))
            self.in_front(tub, sheet, 0.05, turned=False, shift=self.rng.choice((-1, 1)) * 0.15 * extent)
        self.at_wall("toilet")
        self.at_wall("sink")
        self.several("sink", 0, 1)
        self.several("cabinet", 0, 1)

    def furnish_office(self) -> None:
        for _ in range(int(self.rng.integers(1, 4))):
            self.desk()
        self.several("bookshelf", 1, 2)
        self.several("cabinet", 0, 2)
        if self.rng.random() < 0.5:
            self.at_centre("table", int(self.rng.integers(1, 4)))

    # ---------------------------------------------------------------------------------------- the mesh

    def room(self) -> Room:
        """The room: everything that was placed, with walls, floor and ceiling around it."""
        shell = shell_model(self.rng, self.split, self.size, tiled=self.kind in ("bathroom", "kitchen"))
        light = Light(
            position=self.size * (*self.rng.uniform(0.35, 0.65, 2), 0.93),
            fill=_unit(self.rng.normal(size=3) * (1, 1, 0.3)),
            lamp=self.rng.uniform(0.35, 0.5),
            tint=1 + self.rng.normal(0, 0.03, 3) * (1, 0.3, -1),
        )
        mesh = assemble(
            [(shape, CLASSES.index(shape.class_name), i + 1) for i, shape in enumerate(self.shapes)], shell
        )
        return Room(self.kind, self.size, tuple(self.placed), mesh, light)


def _unit(vector: F8) -> F8:
    unit: F8 = vector / np.linalg.norm(vector)
    return unit


def assemble(objects: Sequence[tuple[Model, int, int]], shell: Mesh) -> Mesh:
    """Join objects and the shell around them to one mesh. objects: (model in world coordinates, class,
    instance)."""
    meshes = [
        Mesh(
            model.vertex,
            model.face,
            model.uv,
            model.texture,
            model.colour,
            np.full(len(model.face), label, np.uint8),
            np.full(len(model.face), instance, np.uint16),
            model.textures,
        )
        for model, label, instance in objects
    ] + [shell]
    vertex = np.cumsum([0] + [len(m.vertex) for m in meshes])
    texture = np.cumsum([0] + [len(m.textures) for m in meshes])
    return Mesh(
        np.concatenate([m.vertex for m in meshes]),
        np.concatenate([m.face + start for m, start in zip(meshes, vertex, strict=False)]).astype(np.int32),
        np.concatenate([m.uv for m in meshes]),
        np.concatenate(
            [np.where(m.texture < 0, -1, m.texture + t) for m, t in zip(meshes, texture, strict=False)]
        ),
        np.concatenate([m.colour for m in meshes]),
        np.concatenate([m.label for m in meshes]),
        np.concatenate([m.instance for m in meshes]),
        np.concatenate([m.textures for m in meshes]),
    )


def shell_model(rng: np.random.Generator, split: str, size: F8, *, tiled: bool) -> Mesh:  # [3]
    """Walls, floor and ceiling of a room. size: f8[3], metres. The ceiling is in no class of the label
    set."""
    width, depth, height = size
    corner = np.array(
        [(x, y, z) for z in (0, height) for x, y in ((0, 0), (width, 0), (width, depth), (0, depth))]
    )
    quads = [(0, 1, 2, 3), (7, 6, 5, 4), (0, 4, 5, 1), (1, 5, 6, 2), (2, 6, 7, 3), (3, 7, 4, 0)]
    face = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))], np.int32)
    flat = corner[face]
    uv = np.concatenate([flat[:4, :, :2], flat[4:8, :, [0, 2]], flat[8:, :, [1, 2]]])
    uv[4:] = np.where(
        (np.ptp(flat[4:, :, 0], axis=1) > 0)[:, None, None], flat[4:][:, :, [0, 2]], flat[4:][:, :, [1, 2]]
    )
    skirting = white(rng)
    wall = wall_texture(rng, split, tiled=tiled and rng.random() < 0.7)
    floor, scale = floor_texture(rng, split, tiled=tiled)
    uv = uv.astype(np.float32)
    uv[:2] /= scale
    colour = np.full((12, 3), 255, np.uint8)
    colour[2:4] = skirting
    label = np.array([CLASSES.index("floor")] * 2 + [NO_LABEL] * 2 + [CLASSES.index("wall")] * 8, np.uint8)
    texture = np.array([0] * 2 + [-1] * 2 + [1] * 8, np.int32)
    return Mesh(
        corner.astype(np.float32),
        face,
        uv,
        texture,
        colour,
        label,
        np.zeros(12, np.uint16),
        np.stack([floor, wall]),
    )


def wall_texture(rng: np.random.Generator, split: str, *, tiled: bool) -> U1:
    """u1[64, 64, 3]: paint, wallpaper or tiles, one metre wide."""
    base = hue(rng, split, 0, 1, (0.0, 0.16), (0.74, 0.95)).astype(float)
    image = np.broadcast_to(base, (TEXTURE_SIZE, TEXTURE_SIZE, 3)) + rng.normal(
        0, 2.0, (TEXTURE_SIZE, TEXTURE_SIZE, 1)
    )
    line = np.arange(TEXTURE_SIZE)
    if tiled:
        joint = line % 16 == 0
        image = np.where((joint[:, None] | joint[None])[..., None], base * 0.82, image)
    elif rng.random() < 0.2:
        image = np.where(((line // 4) % 4 == 0)[None, :, None], image * 0.93, image)
    return image.clip(0, 255).astype(np.uint8)


def floor_texture(rng: np.random.Generator, split: str, *, tiled: bool) -> tuple[U1, float]:
    """(texture u1[64, 64, 3], its width in metres): planks, tiles or carpet."""
    row, column = np.mgrid[:TEXTURE_SIZE, :TEXTURE_SIZE]
    kind = 1 if tiled and rng.random() < 0.8 else int(rng.choice(3, p=(0.6, 0.15, 0.25)))
    if kind == 0:
        base = wood(rng, split).astype(float)
        plank = row // 8
        tone = rng.normal(1, 0.07, 8)[plank] * (1 + 0.03 * np.sin(column * 0.7 + 3 * plank))
        image = base * tone[..., None]
        image[row % 8 == 0] *= 0.75
        return image.clip(0, 255).astype(np.uint8), 1.0
    if kind == 1:
        base = hue(rng, split, 0, 1, (0.0, 0.2), (0.45, 0.9)).astype(float)
        tone = rng.normal(1, 0.03, (2, 2))[row // 32, column // 32]
        image = base * tone[..., None] + rng.normal(0, 3, (TEXTURE_SIZE, TEXTURE_SIZE, 1))
        image[(row % 32 == 0) | (column % 32 == 0)] = base * 0.7
        return image.clip(0, 255).astype(np.uint8), 0.8
    base = hue(rng, split, 0, 1, (0.05, 0.4), (0.3, 0.75)).astype(float)
    image = base + rng.normal(0, 9, (TEXTURE_SIZE, TEXTURE_SIZE, 1))
    return image.clip(0, 255).astype(np.uint8), 0.5


def bare_corner(rng: np.random.Generator, split: str, size: F8) -> tuple[Mesh, Light]:
    """An empty room of `size` f8[3] metres, and the light in it."""
    shell = shell_model(rng, split, size, tiled=rng.random() < 0.25)
    light = Light(
        position=size * (*rng.uniform(0.3, 0.7, 2), 0.93),
        fill=_unit(rng.normal(size=3) * (1, 1, 0.3)),
        lamp=rng.uniform(0.35, 0.5),
        tint=1 + rng.normal(0, 0.03, 3) * (1, 0.3, -1),
    )
    return shell, light


__all__ = [
    "CLASSES",
    "KINDS",
    "Placed",
    "Room",
    "assemble",
    "bare_corner",
    "draw",
    "generate",
    "hsv",
    "shell_model",
]
