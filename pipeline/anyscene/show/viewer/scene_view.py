"""A scene that is looked at: its layers as colours, the heat of a text, what is known of a point."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from anyscene.errors import StoreError
from anyscene.lifting.projection import visible_pixels
from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.scene import Frame
from anyscene.show import palette
from anyscene.show.inspection import principal_colours
from anyscene.show.viewer import DRAWN
from anyscene.tasks import sources
from anyscene.tasks.drawing import drawn_tasks
from anyscene.tasks.features import Features, predicted, stored
from anyscene.tasks.layer import NEUTRAL, Classes, Layer, Scale, distinct_colours, label_layer
from anyscene.tasks.query.session import Answer, Session
from anyscene.tasks.query.thinning import spacing, spread
from anyscene.tasks.segmentation.task import labelled
from anyscene.tasks.surface import Surface
from anyscene.tasks.task import Task, Texts
from anyscene.text import TextEncoder

BEST, VIEWS = 5, 3  # labels and views of a point


@dataclass(frozen=True)
class Sighting:
    """A frame that sees a point."""

    frame: Frame
    row: int  # of the pixel that shows it
    column: int
    size: tuple[int, int]  # width and height of the image, pixels
    distance: float  # metres


@dataclass(frozen=True)
class Point:
    """All that is known of a point."""

    index: int
    xyz: tuple[float, float, float]  # metres
    superpoint: int  # -1 = none
    superpoint_points: int  # how many its superpoint has
    scores: tuple[tuple[str, float], ...]  # label and cosine, best first
    said: tuple[tuple[str, str], ...]  # layer and label of every step
    truth: str | None  # None where the scene is not annotated
    weight: tuple[tuple[str, float], ...]  # 2D model and its share in fusion
    views: tuple[Sighting, ...]  # the closest frames


class SceneView:
    """One scene with all that the pipeline has made of it so far. A text's groups are of all points.

    scene: id; xyz: f4[N, 3], metres; superpoint: i4[N], or None where there are none yet; truth: i2[N], or
    None; source: whose features texts are compared with, None where there are none; drawn: i8[M], the points
    that are drawn, in rising order, evenly chosen, `spacing` metres apart; rgb: u1[M, 3], of these.
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
        """source: fusion, a network's name or the path of its folder; None: the most refined that there is.
        most: points at once, 0 = all. Raises StoreError naming the known scenes where it is none of
        them, and the sources that there are where `source` is none."""
        self._artefacts, self.scene, self._settings, self._encoder = artefacts, scene, settings, encoder
        self._lock = threading.RLock()  # what is computed once is not to be computed twice at a time
        self._group = store.open_imported(artefacts.data("scenes"), scene)
        self.xyz = self._group["xyz"][:]
        self.drawn, self._most = spread(self.xyz, most), most
        self.rgb = self._group["rgb"][:][self.drawn]
        self.spacing = spacing(self.xyz[self.drawn])
        self.superpoint = self._array("superpoints", "superpoint")
        self.truth = self._array("labels", "label")
        self.texts = Texts.of(settings, encoder)
        self._features = self._steps(source)
        names = [name for name in self._features if not name.startswith("projection/")]
        if source is not None and source not in self._features:
            raise StoreError(f"{scene}: no features of {source}; there are {', '.join(names) or 'none'}")
        self.source = source or next(reversed(names), None)
        self._lightness = np.rint(self.rgb @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)
        self._open: dict[str, Callable[[], Layer]] = self._layers()
        self._opened: dict[str, Layer] = {}
        self._painted: dict[str, np.ndarray] = {}

    @property
    def layers(self) -> tuple[str, ...]:
        """Titles, in the order of the pipeline; a task's further layers join them when its first is asked
        for."""
        return tuple(self._open)

    def prepare(self) -> None:
        """Read and compute what every text needs, so that none waits for it. Raises what `ask` raises."""
        if self.source is not None:
            with self._lock:
                _ = self.texts.prompts, self._session

    def layer(self, title: str) -> Layer:
        """One of the layers, over the M drawn points; computed when it is first asked for, and kept. Raises
        StoreError for a damaged artefact."""
        if title not in self._opened:
            with self._lock:
                self._opened[title] = self._open[title]()
        return self._opened[title]

    def colours(self, title: str) -> np.ndarray:
        """u1[M, 3] of a layer. Raises StoreError for a damaged artefact."""
        if title not in self._painted:
            self._painted[title] = palette.layer_colours(self.layer(title))
        return self._painted[title]

    def only(self, title: str, name: str) -> np.ndarray:
        """u1[M, 3] of a layer of classes, all but the class `name` in dark grey: colours that look alike to
        one's eyes are told apart one at a time. Other layers stay as they are."""
        colours, legend = self.colours(title), self.layer(title).legend
        if not isinstance(legend, Classes) or name not in self.texts.label_set.names:
            return colours
        colour = legend.colour(name)
        chosen = np.zeros(len(colours), bool) if colour is None else (colours == colour).all(1)
        return np.where(chosen[:, None], colours, self._lightness[:, None] // 2)

    def ask(self, text: str, negative: Sequence[str] = ()) -> Answer:
        """Where `text` is meant and none of the `negative` ones. Raises StoreError without features."""
        if self.source is None:
            raise StoreError(f"{self.scene}: neither fused features nor a trained network; run `dvc repro`")
        with self._lock:
            session = self._session
        return session.ask(self._encoder, text, negative)

    def heat_colours(self, answer: Answer, threshold: float) -> np.ndarray:
        """u1[M, 3]: grey, and the colours of heat from `threshold` (0..1) on."""
        level = np.where(answer.heat >= threshold, np.rint(answer.heat * 255), 0).astype(np.uint8)
        return _heat_table()[self._lightness, level]

    def below(self, height: float) -> np.ndarray:
        """i8: which of the drawn points are not above `height` metres."""
        return np.flatnonzero(self.xyz[self.drawn, 2] <= height)

    def open_height(self) -> float:
        """Metres under which one looks into the scene from above."""
        low, high = np.percentile(self.xyz[:, 2], [0.5, 99.5]) if len(self.xyz) else (0.0, 1.0)
        return float(low + 0.8 * (high - low))

    def describe(self, point: int) -> Point:
        """All that is known of a point."""
        with self._lock:
            return self._described(point)

    def _described(self, point: int) -> Point:
        label_set, prompts = self.texts.label_set, self.texts.prompts
        scores, said = [], []
        own = None if self.source is None else self._features[self.source]().of_point(point)
        if own is not None:
            cosine = prompts @ own / max(float(np.linalg.norm(own)), 1e-12)
            best: dict[str, float] = {}  # a class has the score of its best prompt
            for prompt in np.argsort(-cosine):
                best.setdefault(label_set.names[label_set.of_prompts(prompt)], float(cosine[prompt]))
            scores = list(best.items())[:BEST]
        for open_features in self._features.values():
            features = open_features()
            if (feature := features.of_point(point)) is not None:
                label = label_set.of_prompts((prompts @ feature).argmax())
                said.append((features.title, label_set.names[label]))
        truth = None
        if self.truth is not None:
            truth = label_set.names[self.truth[point]] if self.truth[point] >= 0 else "not annotated"
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
        frames = [Frame.from_attributes(record, root) for record in self._group.attrs["frames"]]
        distance = [float(np.linalg.norm(frame.camera.pose[:3, 3] - place[0])) for frame in frames]
        found: list[Sighting] = []
        for index in np.argsort(distance):
            frame, camera = frames[index], frames[index].camera.resized(*size)
            sees = functools.partial(
                visible_pixels, place, camera, tolerance=section.tolerance, border=section.border
            )
            if len(sees()[0]) == 0 or not _has_files(frame):
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

    def _surface(self) -> Surface:
        """Not kept: mesh and normals are needed once."""
        superpoint = np.empty(0, np.int32) if self.superpoint is None else self.superpoint
        rest = (self._group[name][:] for name in ("rgb", "normal", "face"))
        return Surface(self.scene, self.xyz, *rest, superpoint)

    def _steps(self, source: str | None) -> dict[str, Callable[[], Features]]:
        """What gives features, in the order of the pipeline; a network by its path is the last."""
        models = {f"projection/{model}": f"2D model {model}" for model in self._settings.segmenters.names}
        self._titles = models | sources.titles(self._artefacts)
        found: dict[str, Callable[[], Features]] = {}
        for stage in (*models, sources.FUSION):
            if store.scene_path(self._artefacts.data(stage), self.scene).is_dir():
                title = self._titles[stage]
                found[stage] = functools.partial(stored, self._artefacts, self.scene, stage, title)
        networks = [name for name in self._titles if name != sources.FUSION and name not in models]
        if source is not None and source not in self._titles and sources.is_network(source):
            networks.append(source)
            self._titles[source] = Path(source).name
        for name in networks if self.superpoint is not None else ():
            found[name] = functools.lru_cache(1)(functools.partial(self._predicted, name))
        return found

    def _predicted(self, name: str) -> Features:
        return predicted(sources.network(self._artefacts, name), self._surface().cloud)

    def _layers(self) -> dict[str, Callable[[], Layer]]:
        label_set = self.texts.label_set
        found: dict[str, Callable[[], Layer]] = {"colour": lambda: Layer("colour", "colour", self.rgb)}
        if self.truth is not None:
            found["labels"] = lambda: label_layer("labels", "labels", self.truth[self.drawn], label_set)
        for name in self._features:
            title = self._titles[name]
            found[f"{title} ({name})" if title in found else title] = functools.partial(self._labels, name)
        if self.source is not None:
            found["PCA of features"] = self._principal
        if self.superpoint is not None:
            found["superpoints"] = self._superpoints
        if sources.FUSION in self._features:
            for index, model in enumerate(self._settings.segmenters.names):
                found[f"weight of {model}"] = functools.partial(self._weight, index)
        if self.source is not None and self.superpoint is not None:
            for asked in drawn_tasks():
                found[asked.title] = functools.partial(self._answered, asked)
        return found

    def _labels(self, name: str) -> Layer:
        return labelled(self._features[name](), self.texts, self.drawn).layer

    def _superpoints(self) -> Layer:
        return Layer("superpoints", "superpoints", distinct_colours(self.superpoint)[self.drawn])

    def _principal(self) -> Layer:
        colours = np.full((len(self.drawn), 3), NEUTRAL, np.uint8)
        drawn = self._session.index.drawn
        seen = np.flatnonzero(drawn.valid)
        colours[seen] = principal_colours(drawn.feature, seen)
        return Layer("features", "PCA of features", colours)

    def _weight(self, model: int) -> Layer:
        group = store.open_scene(store.scene_path(self._artefacts.data(sources.FUSION), self.scene))
        weight = group["weight"][:][self.drawn, model].astype(np.float32)
        weight[~group["valid"][:][self.drawn]] = np.nan
        name = self._settings.segmenters.names[model]
        return Layer(f"weight/{name}", f"weight of {name}", values=weight, legend=Scale("0", "1"))

    def _answered(self, asked: Task) -> Layer:
        """The first layer of a task's answer; the others are among the layers from then on."""
        answer = asked.answer(self._surface(), self._features[self.source](), self.texts)
        first, *others = (self._of_drawn(layer) for layer in asked.layers(answer))
        for layer in others:
            self._open.setdefault(f"{asked.title}: {layer.title}", functools.partial(lambda it: it, layer))
        return first

    def _of_drawn(self, layer: Layer) -> Layer:
        parts = {
            name: None if values is None else values[self.drawn]
            for name, values in (("colours", layer.colours), ("values", layer.values))
        }
        return replace(layer, **parts)

    def _weights(self, point: int) -> tuple[tuple[str, float], ...]:
        if sources.FUSION not in self._features:
            return ()
        group = store.open_scene(store.scene_path(self._artefacts.data(sources.FUSION), self.scene))
        weight = group["weight"][point : point + 1][0].tolist()
        return tuple(zip(self._settings.segmenters.names, weight, strict=True))

    @functools.cached_property
    def _session(self) -> Session:
        features, sample = self._features[self.source](), self.drawn if self._most == DRAWN else None
        return Session.of(self._surface(), features, self.texts.classes, drawn=self.drawn, sample=sample)


def _has_files(frame: Frame) -> bool:
    """Whether the frame's images are still there."""
    images = [source for source in (frame.color, frame.depth) if source is not None]
    return all((image if isinstance(image, Path) else image.path).is_file() for image in images)


@functools.cache
def _heat_table() -> np.ndarray:
    """u1[256, 256, 3]: colours of `palette.heat_over` by lightness and heat, a hundred times faster."""
    lightness, heat = np.mgrid[:256, :256]
    grey = np.repeat(lightness.reshape(-1, 1), 3, 1)
    return palette.heat_over(grey, heat.ravel() / np.float32(255)).reshape(256, 256, 3)
