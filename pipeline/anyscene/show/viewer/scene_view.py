"""A scene that is looked at: its layers as colours, the heat of a text, what is known of a point."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anyscene import datasets
from anyscene.errors import StoreError
from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.scene import Frame
from anyscene.show import palette
from anyscene.show.inspection import principal_colours
from anyscene.show.viewer.features import Features, predicted, stored
from anyscene.show.viewer.index import Index
from anyscene.show.viewer.thinning import spacing, spread
from anyscene.tasks.query import groups, similarity
from anyscene.text import TextEncoder, embeddings
from anyscene.text.glosses import Vocabulary
from anyscene.visibility import visible_pixels

BEST, VIEWS, TOP = 5, 3, 5  # labels and views of a point, groups of a text
DRAWN = 100_000  # points at once: what a browser without a GPU still draws several times a second
TITLES = {
    "ensembling": "ensembled",
    "distillation/superpoint": "distilled",
    "distillation/pixel": "distilled by pixels",
}


@dataclass(frozen=True, eq=False)
class Heat:
    """Of the drawn points: score f4[M], NaN without a feature or where another text is meant; relative f4[M]
    in 0..1. Of all: matches, the best groups; shows: the class of the vocabulary that each shows."""

    score: np.ndarray
    relative: np.ndarray
    matches: tuple[groups.Match, ...]
    shows: tuple[str, ...]


@dataclass(frozen=True)
class Sighting:
    """A frame that sees a point at pixel (row, column) of `size` (width, height), from `distance` metres."""

    frame: Frame
    row: int
    column: int
    size: tuple[int, int]
    distance: float


@dataclass(frozen=True)
class Point:
    """scores: (label, cosine), best first; said: (layer, label) of every step; truth: None where there is no
    annotation; weight: (2D model, its share in fusion); views: the closest frames."""

    index: int
    xyz: tuple[float, float, float]
    superpoint: int
    superpoint_points: int
    scores: tuple[tuple[str, float], ...]
    said: tuple[tuple[str, str], ...]
    truth: str | None
    weight: tuple[tuple[str, float], ...]
    views: tuple[Sighting, ...]


class SceneView:
    """One scene with all that the pipeline has made of it so far.

    xyz f4[N, 3]; superpoint i4[N]; source: whose features texts are compared with, None where there are
    none; drawn i8[M]: the points that are drawn, in rising order, evenly chosen, `spacing` metres apart;
    layers: the names of their colours, computed when asked for and kept. A text's groups are of all points.
    """

    def __init__(
        self,
        artefacts: Artefacts,
        scene: str,
        settings: Params,
        encoder: TextEncoder,
        source: str | None = None,
        most: int = DRAWN,
    ) -> None:
        """most: points at once, 0 = all. Raises StoreError naming the known scenes where it is none of
        them."""
        self._artefacts, self.scene, self._settings, self._encoder = artefacts, scene, settings, encoder
        self._lock = threading.RLock()  # what is computed once is not to be computed twice at a time
        group = store.open_imported(artefacts.data("scenes"), scene)
        self.xyz, self._face, self._frames = group["xyz"][:], group["face"], group.attrs["frames"]
        self.drawn = spread(self.xyz, most)
        self.rgb = group["rgb"][:][self.drawn]
        self.spacing = spacing(self.xyz[self.drawn])
        self.superpoint = self._array("superpoints", "superpoint")
        self.truth = self._array("labels", "label")
        self.label_set = datasets.label_set(settings.dataset.label_set)
        self._features = self._steps()
        names = [name for name in (*similarity.NETWORKS, "fusion") if name in self._features]
        if source is not None and source not in self._features:
            raise StoreError(f"{scene}: no features of {source}; there are {', '.join(names) or 'none'}")
        self.source = source or next(iter(names), None)
        self._lightness = np.rint(self.rgb @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)
        self._found: dict[str, Callable[[], np.ndarray]] = self._layers()
        self._painted: dict[str, np.ndarray] = {}

    @property
    def layers(self) -> tuple[str, ...]:
        """Names, in the order of the pipeline."""
        return tuple(self._found)

    @property
    def label_layers(self) -> tuple[str, ...]:
        """Those that show a class at each point."""
        truth = () if self.truth is None else ("labels",)
        return (*truth, *(self._title(name) for name in self._features))

    def prepare(self) -> None:
        """Read and compute what every text needs, so that none waits for it. Raises what `find` raises."""
        if self.source is not None:
            with self._lock:
                _ = self._prompts, self._index, self._objects, self._area

    def colours(self, layer: str) -> np.ndarray:
        """u1[M, 3] of a layer. Raises StoreError for a damaged artefact."""
        if layer not in self._painted:
            with self._lock:
                self._painted[layer] = self._found[layer]()
        return self._painted[layer]

    def only(self, layer: str, name: str) -> np.ndarray:
        """u1[M, 3] of a layer of labels, all but the class `name` in dark grey: colours that look alike to
        one's eyes are told apart one at a time. Other layers stay as they are."""
        colours = self.colours(layer)
        if layer not in self.label_layers or name not in self.label_set.names:
            return colours
        chosen = (colours == self.label_set.colours[self.label_set.names.index(name)]).all(1)
        return np.where(chosen[:, None], colours, self._lightness[:, None] // 2)

    def find(self, text: str, negative: Sequence[str] = ()) -> Heat:
        """Where `text` is meant and none of the `negative` ones. Raises StoreError without features."""
        if self.source is None:
            raise StoreError(f"{self.scene}: neither fused features nor a trained network; run `dvc repro`")
        texts = self._encoder.encode([text, *negative])
        with self._lock:
            index, group = self._index, self._objects
        positive, *others = np.ascontiguousarray(index.points(texts).T)
        left_out = similarity.closer_to(others, positive)
        matches: list[groups.Match] = []
        if self.superpoint is not None:
            _, _, out = groups.by_superpoint(positive, left_out, self.superpoint[self.drawn], len(group))
            score = index.superpoints(texts[:1])[:, 0]
            matches = groups.ranked(
                score, index.count, out, similarity.deviation(positive), self.superpoint, group, self._area,
                self.xyz, TOP,
            )  # fmt: skip
        shows = tuple(self._settings.vocabulary[index.shows[match.superpoints[0]]] for match in matches)
        score = np.where(left_out, np.nan, positive)
        return Heat(score, similarity.relative(score), tuple(matches), shows)

    def heat_colours(self, heat: Heat, threshold: float) -> np.ndarray:
        """u1[M, 3]: grey, and the colours of heat from `threshold` (0..1) on."""
        level = np.where(heat.relative >= threshold, np.rint(heat.relative * 255), 0).astype(np.uint8)
        return _heat_table()[self._lightness, level]

    def below(self, height: float) -> np.ndarray:
        """i8: which of the drawn points are not above `height` metres."""
        return np.flatnonzero(self.xyz[self.drawn, 2] <= height)

    def open_height(self) -> float:
        """Metres under which one looks into the room from above."""
        low, high = np.percentile(self.xyz[:, 2], [0.5, 99.5]) if len(self.xyz) else (0.0, 1.0)
        return float(low + 0.8 * (high - low))

    def describe(self, point: int) -> Point:
        """All that is known of a point."""
        with self._lock:
            return self._described(point)

    def _described(self, point: int) -> Point:
        scores, said = [], []
        own = None if self.source is None else self._features[self.source]().of_point(point)
        if own is not None:
            cosine = self._prompts @ own / max(float(np.linalg.norm(own)), 1e-12)
            best: dict[str, float] = {}  # a class has the score of its best prompt
            for prompt in np.argsort(-cosine):
                best.setdefault(
                    self.label_set.names[self.label_set.of_prompts(prompt)], float(cosine[prompt])
                )
            scores = list(best.items())[:BEST]
        for name, open_features in self._features.items():
            if (feature := open_features().of_point(point)) is not None:
                label = self.label_set.of_prompts((self._prompts @ feature).argmax())
                said.append((self._title(name), self.label_set.names[label]))
        truth = None
        if self.truth is not None:
            truth = self.label_set.names[self.truth[point]] if self.truth[point] >= 0 else "not annotated"
        superpoint = -1 if self.superpoint is None else int(self.superpoint[point])
        return Point(
            point,
            tuple(self.xyz[point].tolist()),
            superpoint,
            0 if self.superpoint is None else int((self.superpoint == superpoint).sum()),
            tuple(scores),
            tuple(said),
            truth,
            self._weights(point),
            tuple(self.views(point)),
        )

    def views(self, point: int) -> list[Sighting]:
        """The VIEWS closest frames that see the point, by the rule of the stage projection; fewer where their
        images are gone. Only depth images that may show it are read, closest first."""
        section, root = self._settings.projection, Path(self._settings.dataset.root)
        size, place = (section.width, section.height), self.xyz[point : point + 1]
        frames = [Frame.from_attributes(record, root) for record in self._frames]
        distance = [float(np.linalg.norm(frame.camera.pose[:3, 3] - place[0])) for frame in frames]
        found: list[Sighting] = []
        for index in np.argsort(distance):
            frame, camera = frames[index], frames[index].camera.resized(*size)
            sees = functools.partial(
                visible_pixels, place, camera, tolerance=section.tolerance, border=section.border
            )
            if len(sees()[0]) == 0 or not _there(frame):
                continue
            _, row, column = sees(frame.read_depth(size))
            if len(row):
                found.append(Sighting(frame, int(row[0]), int(column[0]), size, distance[index]))
            if len(found) == VIEWS:
                break
        return found

    def _array(self, stage: str, name: str) -> np.ndarray | None:
        path = store.scene_path(self._artefacts.data(stage), self.scene)
        return store.open_scene(path)[name][:] if path.is_dir() else None

    def _steps(self) -> dict[str, Callable[[], Features]]:
        """What gives features, in the order of the pipeline."""
        found: dict[str, Callable[[], Features]] = {}
        for stage in (*(f"projection/{name}" for name in self._settings.segmenters.names), "fusion"):
            path = store.scene_path(self._artefacts.data(stage), self.scene)
            if path.is_dir() and "feature" in store.open_scene(path):
                found[stage] = functools.partial(stored, self._artefacts, self.scene, stage)
        for name in reversed(similarity.NETWORKS):
            if self.superpoint is not None and (self._artefacts.model(name) / "network.json").is_file():
                network = functools.partial(predicted, self._artefacts, self.scene, name)
                found[name] = functools.lru_cache(1)(network)
        return found

    def _layers(self) -> dict[str, Callable[[], np.ndarray]]:
        found: dict[str, Callable[[], np.ndarray]] = {"colour": lambda: self.rgb}
        if self.truth is not None:
            found["labels"] = lambda: palette.label_colours(self.truth[self.drawn], self.label_set.colours)
        for name in self._features:
            found[self._title(name)] = functools.partial(self._labels, name)
        if self.source is not None:
            found["PCA of features"] = self._principal
        if self.superpoint is not None:
            found["superpoints"] = lambda: palette.superpoint_colours(self.superpoint)[self.drawn]
        if "fusion" in self._features:
            for index, model in enumerate(self._settings.segmenters.names):
                found[f"weight of {model}"] = functools.partial(self._weight, index)
        return found

    def _title(self, name: str) -> str:
        stage, _, model = name.partition("/")
        return f"2D model {model}" if stage == "projection" else TITLES.get(name, "fused")

    def _labels(self, name: str) -> np.ndarray:
        label = self.label_set.of_prompts(self._features[name]().labels(self._prompts, self.drawn))
        return palette.label_colours(label, self.label_set.colours)

    def _principal(self) -> np.ndarray:
        colours = np.full((len(self.drawn), 3), palette.NEUTRAL, np.uint8)
        seen = np.flatnonzero(self._index.valid)
        colours[seen] = principal_colours(self._index.drawn, seen)
        return colours

    def _weight(self, model: int) -> np.ndarray:
        group = store.open_scene(store.scene_path(self._artefacts.data("fusion"), self.scene))
        colours = palette.heat(group["weight"][:][self.drawn, model])
        colours[~group["valid"][:][self.drawn]] = palette.NEUTRAL
        return colours

    def _weights(self, point: int) -> tuple[tuple[str, float], ...]:
        if "fusion" not in self._features:
            return ()
        group = store.open_scene(store.scene_path(self._artefacts.data("fusion"), self.scene))
        weight = group["weight"][point : point + 1][0].tolist()
        return tuple(zip(self._settings.segmenters.names, weight, strict=True))

    @functools.cached_property
    def _prompts(self) -> np.ndarray:
        return embeddings(self._encoder, self.label_set.prompts, self._settings.text.template)

    @functools.cached_property
    def _classes(self) -> Vocabulary:
        return Vocabulary.of(self._encoder, self._settings.vocabulary, self._settings.text.template)

    @functools.cached_property
    def _index(self) -> Index:
        superpoint = np.empty(0, np.int32) if self.superpoint is None else self.superpoint
        return Index.of(self._features[self.source](), self.drawn, superpoint, self._classes)

    @functools.cached_property
    def _objects(self) -> np.ndarray:
        """i4[L]: the group of each superpoint."""
        if self.superpoint is None:
            return np.empty(0, np.int32)
        return groups.objects(self._index.shows, groups.touching(self.superpoint, self.xyz, self._face[:]))

    @functools.cached_property
    def _area(self) -> np.ndarray:
        """f8[L], square metres."""
        if self.superpoint is None:
            return np.empty(0)
        return groups.areas(self.superpoint, self.xyz, self._face[:])


def _there(frame: Frame) -> bool:
    """Whether the frame's files still are."""
    sources = [source for source in (frame.color, frame.depth) if source is not None]
    return all((source if isinstance(source, Path) else source.path).is_file() for source in sources)


@functools.cache
def _heat_table() -> np.ndarray:
    """u1[256, 256, 3]: colours of `images.heat_over` by lightness and heat, a hundred times faster."""
    lightness, heat = np.mgrid[:256, :256]
    grey = np.repeat(lightness.reshape(-1, 1), 3, 1)
    return palette.heat_over(grey, heat.ravel() / np.float32(255)).reshape(256, 256, 3)
