"""Families of furniture, drawn at random, for classes of which the libraries have no models or too few.

Each function draws one member. The two splits have disjoint ranges of colours, sizes or patterns, so that the
evaluation rooms show nothing that was seen in training. Members are placed as in `furniture`: in metres with
z up, on z = 0, with their front towards -y.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from anyscene.arrays import F4, F8, I4, U1, Array, Floats, Integers
from anyscene_demo.furniture import TEXTURE_SIZE, Model

Family = Callable[[np.random.Generator, str], Model]
Point = Sequence[float] | Floats  # [3], metres
Colour = Sequence[float] | Array  # [3], red, green, blue in 0..255


class Parts:
    """Collects coloured boxes and sheets, and makes a Model of them."""

    def __init__(self) -> None:
        self.vertex: list[F4] = []
        self.face: list[I4] = []
        self.uv: list[F4] = []
        self.texture: list[I4] = []
        self.colour: list[U1] = []
        self.images: list[U1] = []
        self.count = 0

    def add(
        self,
        vertex: Floats,  # [V, 3]
        face: Integers | Sequence[tuple[int, ...]],  # [F, 3]
        colour: Colour,
        uv: Floats | None = None,  # [F, 3, 2]
        image: U1 | None = None,  # [S, S, 3]
    ) -> None:
        """Add triangles of one colour, with a texture where `image` is given."""
        row = -1
        if image is not None:
            row = len(self.images)
            self.images.append(image)
        self.vertex.append(np.asarray(vertex, np.float32))
        self.face.append(np.asarray(face, np.int32) + self.count)
        self.uv.append(np.zeros((len(face), 3, 2), np.float32) if uv is None else np.asarray(uv, np.float32))
        self.texture.append(np.full(len(face), row, np.int32))
        self.colour.append(np.tile(np.asarray(colour).clip(0, 255).astype(np.uint8), (len(face), 1)))
        self.count += len(vertex)

    def box(self, low: Point, high: Point, colour: Colour) -> None:
        """Add an axis-aligned box."""
        corner = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
        quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
        face = [t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]
        start, end = np.asarray(low, float), np.asarray(high, float)
        self.add(start + corner * (end - start), face, colour)

    def sheet(self, x: F8, y: F8, low: float, high: float, colour: Colour, image: U1 | None = None) -> None:
        """Add a vertical sheet over the curve x [n], y [n] from `low` to `high`, over which the texture is
        stretched once."""
        n = len(x)
        vertex = np.concatenate([np.stack([x, y, np.full(n, z)], 1) for z in (low, high)])
        left, t = np.arange(n - 1), np.linspace(0, 0.999, n)
        face = np.concatenate(
            [np.stack([left, left + 1, left + n + 1], 1), np.stack([left, left + n + 1, left + n], 1)]
        )
        coordinate = np.concatenate([np.stack([t, np.zeros(n)], 1), np.stack([t, np.full(n, 0.999)], 1)])
        self.add(vertex, face, colour, coordinate[face], image)

    def model(self, name: str, class_name: str, split: str) -> Model:
        """The model of all that was added."""
        return Model(
            name=f"generated/{name}",
            class_name=class_name,
            split=split,
            creator="this project",
            licence="Apache-2.0",
            vertex=np.concatenate(self.vertex),
            face=np.concatenate(self.face),
            uv=np.concatenate(self.uv),
            texture=np.concatenate(self.texture),
            colour=np.concatenate(self.colour),
            textures=np.array(self.images, np.uint8).reshape(-1, TEXTURE_SIZE, TEXTURE_SIZE, 3),
        )


def hue(
    rng: np.random.Generator,
    split: str,
    low: float,
    high: float,
    saturation: tuple[float, float] = (0.2, 0.6),
    value: tuple[float, float] = (0.4, 0.9),
) -> U1:
    """u1[3]: a colour. Each tenth of the hues low..high (turns) has a half for each split, so that splits
    have disjoint colours that look equally natural."""
    tenth = (high - low) / 10
    start = low + tenth * rng.integers(10) + (tenth / 2 if split == "evaluation" else 0)
    return hsv(start + rng.uniform(0, tenth / 2), rng.uniform(*saturation), rng.uniform(*value))


def hsv(h: float, s: float, v: float) -> U1:
    """u1[3]: the colour of a hue in turns, a saturation and a value in 0..1."""
    k = (np.array([5, 3, 1]) + h * 6) % 6
    colour: U1 = ((v - v * s * np.clip(np.minimum(k, 4 - k), 0, 1)) * 255).round().astype(np.uint8)
    return colour


def wood(rng: np.random.Generator, split: str) -> U1:
    """u1[3]: a colour of wood."""
    return hue(rng, split, 0.05, 0.11, (0.3, 0.65), (0.35, 0.85))


def white(rng: np.random.Generator) -> U1:
    """u1[3]: an off-white."""
    return hsv(rng.uniform(0.08, 0.16), rng.uniform(0, 0.06), rng.uniform(0.8, 0.95))


def _folds(rng: np.random.Generator, width: float, folds: int, depth: float) -> tuple[F8, F8]:
    x = np.linspace(-width / 2, width / 2, folds * 6 + 1)
    phase = np.linspace(0, folds * 2 * np.pi, len(x)) + 0.4 * rng.standard_normal()
    return x, depth * np.sin(phase) * rng.uniform(0.7, 1.0)


def _stripes(rng: np.random.Generator, one: Colour, two: Colour, count: int, upright: bool) -> U1:
    line = (np.arange(TEXTURE_SIZE) * count // TEXTURE_SIZE) % 2
    image = np.where(line[:, None], one, two).astype(np.uint8)
    image = np.broadcast_to(image[None] if upright else image[:, None], (TEXTURE_SIZE, TEXTURE_SIZE, 3))
    return image.copy()


def curtain(rng: np.random.Generator, split: str) -> Model:
    """One or two folded panels of heavy cloth on a rod."""
    parts, height = Parts(), rng.uniform(1.9, 2.3)
    colour = hue(rng, split, 0, 1, (0.15, 0.75), (0.3, 0.85))
    image = None
    if rng.random() < 0.3:
        image = _stripes(rng, colour, colour * 0.7, 6 if split == "zoo" else 10, upright=True)
        colour = np.array([255, 255, 255])
    depth, folds = (0.035, 7) if split == "zoo" else (0.05, 5)
    width = rng.uniform(1.1, 1.9)
    for side in (-1, 1) if rng.random() < 0.7 else (0,):
        panel = width * (rng.uniform(0.25, 0.42) if side else 0.9)
        x, y = _folds(rng, panel, folds, depth)
        parts.sheet(x + side * (width - panel) / 2, y - 0.06, 0.03, height, colour, image)
    parts.box(
        (-width / 2 - 0.06, -0.075, height), (width / 2 + 0.06, -0.045, height + 0.03), wood(rng, split) * 0.6
    )
    return parts.model("curtain", "curtain", split)


def shower_curtain(rng: np.random.Generator, split: str) -> Model:
    """A light sheet with large dots, stripes or checks on a metal rod, hanging above the floor."""
    parts, height, width = Parts(), rng.uniform(1.85, 2.0), rng.uniform(0.9, 1.5)
    base, mark = white(rng), hue(rng, split, 0.35, 0.95, (0.3, 0.7), (0.55, 0.95))
    row, column = np.mgrid[:TEXTURE_SIZE, :TEXTURE_SIZE]
    kind = rng.integers(3)
    period = 16 if split == "zoo" else 11
    if kind == 0:
        image = _stripes(rng, base, mark, 8 if split == "zoo" else 12, upright=False)
    elif kind == 1:
        dot = (row % period - period / 2) ** 2 + (column % period - period / 2) ** 2 < (period / 3) ** 2
        image = np.where(dot[..., None], mark, base).astype(np.uint8)
    else:
        image = np.where((((row // period) + (column // period)) % 2)[..., None], mark, base).astype(np.uint8)
    x, y = _folds(rng, width, 9, 0.025)
    parts.sheet(x, y - 0.04, 0.12, height, (255, 255, 255), image)
    parts.box((-width / 2 - 0.05, -0.05, height), (width / 2 + 0.05, -0.03, height + 0.02), (190, 190, 195))
    return parts.model("shower_curtain", "shower curtain", split)


def picture(rng: np.random.Generator, split: str) -> Model:
    """A framed painting: landscape, blocks of colour, or a portrait-like blob."""
    parts = Parts()
    width, height, rim = rng.uniform(0.45, 1.1), rng.uniform(0.4, 0.8), rng.uniform(0.03, 0.06)
    row, column = np.mgrid[:TEXTURE_SIZE, :TEXTURE_SIZE] / TEXTURE_SIZE
    kind = rng.integers(2) + (0 if split == "zoo" else 1)
    pick = [hue(rng, split, 0, 1, (0.3, 0.9), (0.3, 0.95)).astype(float) for _ in range(4)]
    if kind == 0:  # blocks
        edge = np.sort(rng.uniform(0.15, 0.85, 2))
        index = (column > edge[0]).astype(int) + 2 * (row > edge[1])
        image = np.array(pick)[index]
    elif kind == 1:  # landscape: sky, hills, ground
        ridge = 0.5 + 0.12 * np.sin(column * rng.uniform(5, 12) + rng.uniform(0, 6))
        sky = np.array([150, 190, 230.0]) * (1 - 0.3 * row[..., None])
        image = np.where((row < ridge)[..., None], sky, pick[0] * (1.1 - 0.5 * row[..., None]))
    else:  # a figure before a dark ground
        figure = ((column - 0.5) / 0.22) ** 2 + ((row - 0.42) / 0.3) ** 2 < 1
        image = np.where(
            figure[..., None], pick[0], np.where((row > 0.7)[..., None], pick[1], pick[2] * 0.35)
        )
    image = (image + rng.normal(0, 8, image.shape)).clip(0, 255).astype(np.uint8)
    frame = wood(rng, split) * rng.uniform(0.4, 1.0) if rng.random() < 0.7 else np.array([25, 25, 28])
    low = rng.uniform(1.25, 1.45)
    parts.box((-width / 2, -0.03, low), (width / 2, 0, low + height), frame)
    x = np.array([-width / 2 + rim, width / 2 - rim])
    parts.sheet(x, np.full(2, -0.034), low + rim, low + height - rim, (255, 255, 255), image)
    return parts.model("picture", "picture", split)


def counter(rng: np.random.Generator, split: str) -> Model:
    """A run of base units under one worktop, in some of which there is a hob."""
    parts = Parts()
    width, depth, height = rng.uniform(1.2, 2.2), rng.uniform(0.58, 0.66), rng.uniform(0.86, 0.94)
    body = white(rng) if rng.random() < 0.5 else wood(rng, split)
    top = hue(rng, split, 0, 1, (0, 0.12), (0.2, 0.55)) if rng.random() < 0.7 else wood(rng, split) * 0.8
    parts.box((-width / 2, -depth / 2 + 0.03, 0.08), (width / 2, depth / 2, height - 0.04), body)
    parts.box((-width / 2, -depth / 2 + 0.08, 0), (width / 2, depth / 2, 0.08), body * 0.3)
    parts.box((-width / 2 - 0.01, -depth / 2, height - 0.04), (width / 2 + 0.01, depth / 2, height), top)
    units = round(width / 0.55)
    step = width / units
    for i in range(units):
        x = -width / 2 + i * step
        parts.box(
            (x + 0.01, -depth / 2 + 0.015, 0.1),
            (x + step - 0.01, -depth / 2 + 0.03, height - 0.06),
            body * 0.94,
        )
        handle = (x + step / 2 - 0.07, -depth / 2, height - 0.16)
        parts.box(handle, np.array(handle) + (0.14, 0.015, 0.015), (120, 120, 125))
    if rng.random() < 0.4:
        parts.box((-0.28, -0.22, height), (0.28, 0.24, height + 0.008), (18, 18, 20))
    return parts.model("counter", "counter", split)


def bookshelf(rng: np.random.Generator, split: str) -> Model:
    """An open case of boards, mostly filled with books of many colours."""
    parts = Parts()
    width, depth, height = rng.uniform(0.7, 1.3), rng.uniform(0.26, 0.34), rng.uniform(1.4, 2.1)
    shelves = int(rng.integers(4, 6)) if split == "zoo" else int(rng.integers(5, 7))
    body, board = (wood(rng, split) if rng.random() < 0.7 else white(rng)), 0.025
    for x in (-width / 2, width / 2 - board):
        parts.box((x, -depth / 2, 0), (x + board, depth / 2, height), body)
    parts.box((-width / 2, depth / 2 - 0.01, 0), (width / 2, depth / 2, height), body * 0.75)
    rise = (height - board) / shelves
    for i in range(shelves + 1):
        parts.box((-width / 2, -depth / 2, i * rise), (width / 2, depth / 2, i * rise + board), body)
    for i in range(shelves):
        x, bottom = -width / 2 + board + 0.01, i * rise + board
        while x < width / 2 - 0.1:
            if rng.random() < 0.08:
                x += rng.uniform(0.05, 0.2)
                continue
            thick = rng.uniform(0.025, 0.06)
            tall = rise * rng.uniform(0.55, 0.85)
            colour = hue(rng, split, 0, 1, (0.2, 0.8), (0.2, 0.85))
            front = -depth / 2 + rng.uniform(0.02, 0.07)
            parts.box((x, front, bottom), (x + thick, depth / 2 - 0.03, bottom + tall), colour)
            x += thick + 0.003
    return parts.model("bookshelf", "bookshelf", split)


def bathtub(rng: np.random.Generator, split: str) -> Model:
    """A rectangular tub, hollow, with an apron of panels and a tap."""
    parts = Parts()
    width, depth, height = rng.uniform(1.5, 1.8), rng.uniform(0.7, 0.85), rng.uniform(0.5, 0.62)
    rim, enamel = rng.uniform(0.05, 0.09), white(rng)
    apron = enamel * 0.95 if split == "zoo" else hue(rng, split, 0.4, 0.65, (0.05, 0.25), (0.65, 0.85))
    x, y = width / 2, depth / 2
    for low, high in (
        ((-x, -y, 0), (x, -y + rim, height)),
        ((-x, y - rim, 0), (x, y, height)),
        ((-x, -y, 0), (-x + rim, y, height)),
        ((x - rim, -y, 0), (x, y, height)),
    ):
        parts.box(low, high, apron)
        parts.box((low[0], low[1], height), (high[0], high[1], height + 0.02), enamel)
    parts.box((-x + rim, -y + rim, 0.08), (x - rim, y - rim, 0.13), enamel)
    slope = rng.uniform(0.12, 0.3)
    for i in range(4):
        parts.box(
            (-x + rim, -y + rim, 0.13),
            (-x + rim + slope * (4 - i) / 4, y - rim, 0.13 + (height - 0.13) * (i + 1) / 5),
            enamel,
        )
    parts.box((x - 0.06, -0.02, height), (x - 0.03, 0.02, height + 0.14), (175, 178, 182))
    parts.box((x - 0.2, -0.015, height + 0.11), (x - 0.03, 0.015, height + 0.14), (175, 178, 182))
    return parts.model("bathtub", "bathtub", split)


def refrigerator(rng: np.random.Generator, split: str) -> Model:
    """A box with a freezer door above or below and upright handles."""
    parts = Parts()
    width, depth, height = rng.uniform(0.58, 0.78), rng.uniform(0.6, 0.7), rng.uniform(1.55, 1.95)
    body = white(rng) if rng.random() < 0.5 else hsv(0.6, 0.03, rng.uniform(0.5, 0.72))
    cut = height * (rng.uniform(0.62, 0.72) if split == "zoo" else rng.uniform(0.32, 0.42))
    parts.box((-width / 2, -depth / 2 + 0.06, 0.04), (width / 2, depth / 2, height), body * 0.9)
    parts.box((-width / 2 + 0.03, -depth / 2 + 0.08, 0), (width / 2 - 0.03, depth / 2, 0.04), (30, 30, 30))
    side = -1 if rng.random() < 0.5 else 1
    for low, high in ((0.05, cut - 0.008), (cut + 0.008, height)):
        parts.box((-width / 2, -depth / 2, low), (width / 2, -depth / 2 + 0.055, high), body)
        x, middle, reach = side * (width / 2 - 0.06), (low + high) / 2, (high - low) * 0.22
        parts.box(
            (x - 0.012, -depth / 2 - 0.045, middle - reach),
            (x + 0.012, -depth / 2 - 0.02, middle + reach),
            (95, 97, 100),
        )
    return parts.model("refrigerator", "refrigerator", split)


def toilet(rng: np.random.Generator, split: str) -> Model:
    """A bowl that widens upwards under an oval seat, and a cistern behind."""
    parts, enamel = Parts(), white(rng)
    sides, bowl, seat = 20, rng.uniform(0.18, 0.21), rng.uniform(0.39, 0.43)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    foot = 0.55 if split == "zoo" else 0.75
    rings = [(0, foot, 0.0), (0.2, foot, 0.0), (seat - 0.05, 0.95, -0.02), (seat, 1.0, -0.03)]
    length = rng.uniform(1.2, 1.35)
    ring = [
        np.stack([bowl * r * np.cos(angle), shift + bowl * length * r * np.sin(angle), np.full(sides, z)], 1)
        for z, r, shift in rings
    ]
    seat_colour = enamel if split == "zoo" or rng.random() < 0.5 else wood(rng, split)
    vertex = np.concatenate(ring)
    i = np.arange(sides)
    j = (i + 1) % sides
    face = np.concatenate(
        [
            np.concatenate([np.stack([i, j, j + sides], 1), np.stack([i, j + sides, i + sides], 1)])
            + k * sides
            for k in range(len(rings) - 1)
        ]
    )
    parts.add(vertex, face, enamel)
    lid = np.concatenate([ring[-1] + (0, 0, 0.03), [[0, -0.03, seat + 0.035]]])
    parts.add(lid, np.stack([i, j, np.full(sides, sides)], 1), seat_colour)
    parts.sheet(
        np.append(ring[-1][:, 0], ring[-1][0, 0]),
        np.append(ring[-1][:, 1], ring[-1][0, 1]),
        seat,
        seat + 0.03,
        seat_colour,
    )
    back, wide, tall = 0.2, rng.uniform(0.34, 0.42), rng.uniform(0.32, 0.4)
    parts.box((-wide / 2, back, seat - 0.05), (wide / 2, back + 0.17, seat + tall), enamel)
    parts.box(
        (-wide / 2 - 0.01, back - 0.01, seat + tall),
        (wide / 2 + 0.01, back + 0.18, seat + tall + 0.03),
        enamel,
    )
    parts.box((-0.1, back - 0.12, 0), (0.1, back + 0.1, seat - 0.03), enamel)
    return parts.model("toilet", "toilet", split)


def door(rng: np.random.Generator, split: str) -> Model:
    """A closed leaf with panels in a frame, and a handle."""
    parts = Parts()
    width, height = rng.uniform(0.78, 0.95), rng.uniform(1.98, 2.1)
    leaf = (
        white(rng)
        if rng.random() < 0.35
        else wood(rng, split)
        if rng.random() < 0.75
        else hue(rng, split, 0, 1, (0.2, 0.6), (0.3, 0.7))
    )
    frame = white(rng) if rng.random() < 0.5 else leaf * 0.8
    for x in (-width / 2 - 0.07, width / 2):
        parts.box((x, -0.05, 0), (x + 0.07, 0, height + 0.07), frame)
    parts.box((-width / 2, -0.05, height), (width / 2, 0, height + 0.07), frame)
    parts.box((-width / 2, -0.03, 0), (width / 2, 0, height), leaf)
    rows, columns = (
        ((3, 1) if rng.random() < 0.5 else (2, 1))
        if split == "zoo"
        else ((3, 2) if rng.random() < 0.5 else (2, 2))
    )
    for i in range(rows):
        for j in range(columns):
            low = np.array([-width / 2 + width * (j + 0.18) / columns, -0.042, height * (i + 0.14) / rows])
            parts.box(low, low + (width * 0.64 / columns, 0.012, height * 0.72 / rows), leaf * 0.86)
    x = width / 2 - 0.1
    parts.box((x - 0.09, -0.09, 1.0), (x + 0.02, -0.065, 1.025), (150, 145, 130))
    parts.box((x - 0.01, -0.09, 0.93), (x + 0.02, -0.03, 1.09), (150, 145, 130))
    return parts.model("door", "door", split)


def window(rng: np.random.Generator, split: str) -> Model:
    """A glazed frame with bars, through which one sees sky over darker ground."""
    parts = Parts()
    width, height, low = rng.uniform(0.8, 1.7), rng.uniform(0.9, 1.3), rng.uniform(0.8, 1.0)
    frame = white(rng) if rng.random() < 0.7 else wood(rng, split)
    row = np.linspace(0, 1, TEXTURE_SIZE)[:, None, None]
    sky = hue(rng, split, 0.52, 0.62, (0.05, 0.3), (0.88, 1.0)).astype(float)
    ground = hue(rng, split, 0.2, 0.4, (0.1, 0.4), (0.5, 0.75)).astype(float)
    horizon = rng.uniform(0.55, 0.8)
    image = np.where(row < horizon, sky * (1.02 - 0.1 * row), ground) + rng.normal(
        0, 3, (TEXTURE_SIZE, TEXTURE_SIZE, 3)
    )
    x = np.array([-width / 2, width / 2])
    parts.sheet(
        x, np.full(2, -0.012), low, low + height, (255, 255, 255), image.clip(0, 255).astype(np.uint8)
    )
    upright = (1 if rng.random() < 0.6 else 2) if split == "zoo" else (1 if rng.random() < 0.4 else 3)
    across = 1 if rng.random() < (0.3 if split == "zoo" else 0.7) else 0
    bar = 0.05
    for t in np.linspace(0, 1, upright + 2):
        middle = -width / 2 + t * width
        parts.box(
            (middle - bar / 2, -0.05, low - bar / 2), (middle + bar / 2, 0, low + height + bar / 2), frame
        )
    for t in np.linspace(0, 1, across + 2):
        parts.box(
            (-width / 2, -0.05, low + t * height - bar / 2), (width / 2, 0, low + t * height + bar / 2), frame
        )
    parts.box((-width / 2 - 0.06, -0.14, low - 0.06), (width / 2 + 0.06, 0, low - 0.025), frame * 0.95)
    return parts.model("window", "window", split)


FAMILIES: dict[str, Family] = {
    "curtain": curtain,
    "shower curtain": shower_curtain,
    "picture": picture,
    "counter": counter,
    "bookshelf": bookshelf,
    "bathtub": bathtub,
    "refrigerator": refrigerator,
    "toilet": toilet,
    "door": door,
    "window": window,
}
