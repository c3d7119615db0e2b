"""A scene in the viewer: its layers as colours, the heat of a text, what is known of a point."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from anyscene.arrays import F4, I2, I4, I8, U1, Array
from anyscene.errors import StoreError
from anyscene.lifting.projection import visible_pixels
from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.resizing import Resize
from anyscene.scene import Frame
from anyscene.show import palette
from anyscene.show.framing import in_frame
from anyscene.show.inspection import principal_colours
from anyscene.show.viewer import DRAWN
from anyscene.tasks import sources
from anyscene.tasks.drawing import drawn_tasks
from anyscene.tasks.features import Features, predicted, stored
from anyscene.tasks.layer import NEUTRAL, Classes, Layer, Scale, distinct_colours, label_layer
from anyscene.tasks.query.session import Answer, Session
from anyscene.tasks.segmentation.task import labelled
from anyscene.tasks.surface import Surface, spacing, spread
from anyscene.tasks.task import Task, Texts
from anyscene.text import TextEncoder

BEST, VIEWS = 5, 3  # labels and views of a point


@dataclass(frozen=True)
class Sighting:
    """A frame that sees a point."""

    frame: Frame
    row: int  # of the pixel that shows it
    column: int
    size: tuple[int, int]  # width and height of the image in pixels
    distance: float  # from the camera to the point, metres
    resize: Resize  # how the image gets that size, as 2D models saw it


@dataclass(frozen=True)
class PickedPoint:
    """All that is known of a point."""

    index: int  # among the points of the scene
    xyz: tuple[float, float, float]  # metres
    superpoint: int  # -1 = none
    superpoint_points: int  # how many its superpoint has
    scores: tuple[tuple[str, float], ...]  # labels and their cosines, best first
    said: tuple[tuple[str, str], ...]  # every step, and the label that it gives
    truth: str | None  # None where the scene is not annotated
    weight: tuple[tuple[str, float], ...]  # 2D model and its share in fusion
    views: tuple[Sighting, ...]  # the closest frames


class SceneView:
    """One scene with everything that the pipeline has made of it so far. Some of its points are drawn; a text
    searches all of them."""

    scene: str  # its id
    xyz: F4  # f4[N, 3], metres
    superpoint: I4 | None  # i4[N]; None where the stage superpoints has not run
    truth: I2 | None  # i2[N]; None where the scene is not annotated
    source: str | None  # the features that texts are compared with; None where there are none
    drawn: I8  # i8[M], the points that are drawn, evenly chosen, in rising order
    spacing: float  # the distance of neighbouring drawn points, metres
    rgb: U1  # u1[M, 3], of the drawn points

    def __init__(
        self,
        artefacts: Artefacts,
        scene: str,
        settings: Params,
        encoder: TextEncoder,
        source: str | None = None,
        most: int = DRAWN,
    ) -> None:
        """source: "fusion", a network's name or the path of its folder; None: the most refined one. most: at
        most so many points are drawn, 0 = all. Raises StoreError naming the known scenes where `scene` is
        none of them, and naming the known sources where `source` is none of them."""
        self._artefacts, self.scene, self._settings, self._encoder = artefacts, scene, settings, encoder
        self._lock = threading.RLock()  # so that two threads do not compute the same thing
        self._group = store.open_imported(artefacts.data("scenes"), scene)
        self.xyz = self._group["xyz"][:]
        self.drawn, self._most = spread(self.xyz, most), most
        self.rgb = self._group["rgb"][:][self.drawn]
        self.spacing = spacing(self.xyz[self.drawn])
        self.superpoint = self._superpoint = self._array("superpoints", "superpoint")
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
        self._painted: dict[str, U1] = {}

    @property
    def layers(self) -> tuple[str, ...]:
        """The titles of the layers, in the order of the pipeline. When the first layer of a task is asked
        for, its others join them."""
        return tuple(self._open)

    def prepare(self) -> None:
        """Read and compute what every query needs, so that none waits for it. Raises what `ask` raises."""
        if self.source is not None:
            with self._lock:
                _ = self.texts.prompts, self._session

    def layer(self, title: str) -> Layer:
        """One of the layers, over the M drawn points. It is computed when it is first asked for, and kept.
        Raises StoreError for a damaged artefact."""
        if title not in self._opened:
            with self._lock:
                self._opened[title] = self._open[title]()
        return self._opened[title]

    def colours(self, title: str) -> U1:
        """u1[M, 3]: the colours of a layer. Raises StoreError for a damaged artefact."""
        if title not in self._painted:
            self._painted[title] = palette.layer_colours(self.layer(title))
        return self._painted[title]

    def only(self, title: str, name: str) -> U1:
        """u1[M, 3]: the colours of a layer of classes, with all classes but `name` in dark grey. So one can
        tell classes apart whose colours look alike. Other layers keep their colours."""
        colours, legend = self.colours(title), self.layer(title).legend
        if not isinstance(legend, Classes) or name not in self.texts.label_set.names:
            return colours
        colour = legend.colour(name)
        chosen = np.zeros(len(colours), bool) if colour is None else (colours == colour).all(1)
        found: U1 = np.where(chosen[:, None], colours, self._lightness[:, None] // 2)
        return found

    def ask(self, text: str, negative: Sequence[str] = ()) -> Answer:
        """Where in the scene `text` is, and none of the `negative` texts. Raises StoreError without
        features."""
        if self.source is None:
            raise StoreError(f"{self.scene}: neither fused features nor a trained network; run `dvc repro`")
        with self._lock:
            session = self._session
        return session.ask(self._encoder, text, negative)

    def heat_colours(self, answer: Answer, threshold: float) -> U1:
        """u1[M, 3]: the scene in grey, with the colours of heat where it is at least `threshold` (0..1)."""
        level = np.where(answer.heat >= threshold, np.rint(answer.heat * 255), 0).astype(np.uint8)
        colours: U1 = _heat_table()[self._lightness, level]
        return colours

    def below(self, height: float) -> I8:
        """i8: which of the drawn points are not above `height` metres."""
        return np.flatnonzero(self.xyz[self.drawn, 2] <= height)

    def bounds(self) -> tuple[F4, F4]:
        """(low f4[3], high f4[3]): the box in metres around the points, without strays."""
        if not len(self.xyz):
            return np.zeros(3, np.float32), np.ones(3, np.float32)
        shown = self.xyz[in_frame(self.xyz)]
        return shown.min(0), shown.max(0)

    def open_height(self) -> float:
        """The height in metres below which points are drawn, so that one looks into the scene from above."""
        if not len(self.xyz):
            return 0.8
        low, high = np.percentile(self.xyz[in_frame(self.xyz), 2], [0.5, 99.5])
        return float(low + 0.8 * (high - low))

    def describe(self, point: int) -> PickedPoint:
        """All that is known of a point."""
        with self._lock:
            return self._described(point)

    def _described(self, point: int) -> PickedPoint:
        label_set, prompts = self.texts.label_set, self.texts.prompts
        scores, said = [], []
        own = None if self.source is None else self._features[self.source]().of_point(point)
        if own is not None:
            cosine = prompts @ own / max(float(np.linalg.norm(own)), 1e-12)
            best: dict[str, float] = {}  # a class has the score of its best prompt
            order = np.argsort(-cosine)
            for row, score in zip(label_set.of_prompts(order), cosine[order], strict=True):
                best.setdefault(label_set.names[row], float(score))
            scores = list(best.items())[:BEST]
        for open_features in self._features.values():
            features = open_features()
            if (feature := features.of_point(point)) is not None:
                label = int(label_set.of_prompts(np.asarray((prompts @ feature).argmax())))
                said.append((features.title, label_set.names[label]))
        truth = None
        if self.truth is not None:
            truth = label_set.names[self.truth[point]] if self.truth[point] >= 0 else "not annotated"
        superpoint = -1 if self.superpoint is None else int(self.superpoint[point])
        return PickedPoint(
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
        """The VIEWS closest frames that see the point, by the rule of the stage projection; fewer where
        images are gone. Only depth images that may show the point are read, the closest first."""
        section, root = self._settings.projection, Path(self._settings.dataset.root)
        size, place = (section.width, section.height), self.xyz[point : point + 1]
        frames = store.read_frames(self._group, root)
        distance = [float(np.linalg.norm(frame.camera.pose[:3, 3] - place[0])) for frame in frames]
        found: list[Sighting] = []
        for index in np.argsort(distance):
            frame, camera = frames[index], frames[index].camera.resized(*size)
            sees = functools.partial(
                visible_pixels, place, camera, tolerance=section.tolerance, border=section.border
            )
            if len(sees()[0]) == 0 or not _has_files(frame):
                continue
            _, row, column = sees(frame.read_depth(size, section.resize))
            if len(row):
                found.append(
                    Sighting(frame, int(row[0]), int(column[0]), size, distance[index], section.resize)
                )
            if len(found) == VIEWS:
                break
        return found

    def _array(self, stage: str, name: str) -> Array | None:
        path = store.scene_path(self._artefacts.data(stage), self.scene)
        return store.open_scene(path)[name][:] if path.is_dir() else None

    def _surface(self) -> Surface:
        """The surface of the scene. It is not kept, because mesh and normals are needed only once. Where the
        stage superpoints has not run, it is divided as that stage would, so that texts rank what they rank in
        `anyscene query`."""
        superpoint = np.empty(0, np.int32) if self._superpoint is None else self._superpoint
        group = self._group
        rgb, normal, face = group["rgb"][:], group["normal"][:], group["face"][:]
        surface = Surface(self.scene, self.xyz, rgb, normal, face, superpoint, store.world(group))
        if self._superpoint is None:
            surface = surface.divided(self._settings.superpoints)
            self._superpoint = surface.superpoint
        return surface

    def _steps(self, source: str | None) -> dict[str, Callable[[], Features]]:
        """Functions that return features, in the order of the pipeline. A network that is named by its path
        is the last."""
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
        for name in networks:
            found[name] = functools.lru_cache(1)(functools.partial(self._predicted, name))
        return found

    def _predicted(self, name: str) -> Features:
        return predicted(sources.network(self._artefacts, name), self._surface().cloud)

    def _layers(self) -> dict[str, Callable[[], Layer]]:
        label_set = self.texts.label_set
        found: dict[str, Callable[[], Layer]] = {"colour": lambda: Layer("colour", "colour", self.rgb)}
        if self.truth is not None:
            truth = self.truth[self.drawn]
            found["labels"] = lambda: label_layer("labels", "labels", truth, label_set)
        for name in self._features:
            title = self._titles[name]
            found[f"{title} ({name})" if title in found else title] = functools.partial(self._labels, name)
        if self.source is not None:
            found["PCA of features"] = self._principal
        if self.superpoint is not None:
            found["superpoints"] = functools.partial(self._superpoints, self.superpoint)
        if sources.FUSION in self._features:
            for index, model in enumerate(self._settings.segmenters.names):
                found[f"weight of {model}"] = functools.partial(self._weight, index)
        if self.source is not None:
            for asked in drawn_tasks(self._settings.evaluation):
                found[asked.title] = functools.partial(self._answered, asked, self.source)
        return found

    def _labels(self, name: str) -> Layer:
        return labelled(self._features[name](), self.texts, self.drawn).layer

    def _superpoints(self, superpoint: I4) -> Layer:
        return Layer("superpoints", "superpoints", distinct_colours(superpoint)[self.drawn])

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

    def _answered(self, asked: Task[Any], source: str) -> Layer:
        """The first layer of a task's answer. The others are among the layers from then on."""
        answer = asked.answer(self._surface(), self._features[source](), self.texts)
        first, *others = (self._of_drawn(layer) for layer in asked.layers(answer))
        for layer in others:
            self._open.setdefault(f"{asked.title}: {layer.title}", functools.partial(lambda it: it, layer))
        return first

    def _of_drawn(self, layer: Layer) -> Layer:
        return replace(
            layer,
            colours=None if layer.colours is None else layer.colours[self.drawn],
            values=None if layer.values is None else layer.values[self.drawn],
        )

    def _weights(self, point: int) -> tuple[tuple[str, float], ...]:
        if sources.FUSION not in self._features:
            return ()
        group = store.open_scene(store.scene_path(self._artefacts.data(sources.FUSION), self.scene))
        weight = group["weight"][point : point + 1][0].tolist()
        return tuple(zip(self._settings.segmenters.names, weight, strict=True))

    @functools.cached_property
    def _session(self) -> Session:
        assert self.source is not None  # who asks has made sure that there are features
        features, sample = self._features[self.source](), self.drawn if self._most == DRAWN else None
        return Session.of(self._surface(), features, self.texts.classes, drawn=self.drawn, sample=sample)


def _has_files(frame: Frame) -> bool:
    """Whether the frame's images are still there."""
    images = [source for source in (frame.color, frame.depth) if source is not None]
    return all((image if isinstance(image, Path) else image.path).is_file() for image in images)


@functools.cache
def _heat_table() -> U1:
    """u1[256, 256, 3]: the colours of `palette.heat_over` by lightness and heat. Looking them up is a hundred
    times faster."""
    lightness, heat = np.mgrid[:256, :256]
    grey = np.repeat(lightness.reshape(-1, 1), 3, 1)
    return palette.heat_over(grey, heat.ravel() / np.float32(255)).reshape(256, 256, 3)
