"""A scene whose points have features: asked by texts, segmented by any classes, written for other tools."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from anyscene.arrays import B1, F4, F8, I2, I4, I8, U1
from anyscene.datasets import LabelSet, label_set
from anyscene.errors import TextError
from anyscene.library.classes import named
from anyscene.library.ranking import Ranking
from anyscene.project.parameters import Params
from anyscene.scene import World
from anyscene.show import export
from anyscene.tasks.features import Features
from anyscene.tasks.query.groups import TOP, Unit
from anyscene.tasks.query.session import Session
from anyscene.tasks.query.similarity import By
from anyscene.tasks.segmentation.task import labelled
from anyscene.tasks.surface import Surface
from anyscene.tasks.task import Texts
from anyscene.tasks.truth import Annotation
from anyscene.text import TextEncoder, load_text_encoder
from anyscene.text.glosses import Vocabulary

Ranked = Literal["object", "superpoint"]  # the words of `Unit`


@dataclass(frozen=True, eq=False)
class FeatureCloud:
    """The N points of a scene, with a feature of C channels in the space of a text encoder at each.

    `anyscene.open` and `anyscene.from_points` make one. Features are computed, and PyTorch is imported, when
    they are first needed.

    >>> cloud = anyscene.open("val_000")
    >>> cloud  # doctest: +ELLIPSIS
    FeatureCloud('val_000': ... points)
    """

    surface: Surface  # its points, its mesh and its superpoints
    settings: Params  # of its project, or the built-in ones
    load: Callable[[], Features]  # computes or opens the features
    truth: Annotation | None = None  # the annotation, where the scene is in a project and has one
    remarks: str = ""  # what a person should know about how it was imported
    given: TextEncoder | None = None  # a text encoder in place of that of `settings`

    @property
    def id(self) -> str:
        """The name of the scene."""
        return self.surface.scene

    @property
    def points(self) -> F4:
        """f4[N, 3]: x, y, z in metres, z up."""
        return self.surface.xyz

    @property
    def colours(self) -> U1:
        """u1[N, 3]: red, green, blue."""
        return self.surface.rgb

    @property
    def normals(self) -> F4:
        """f4[N, 3], of length 1; 0 where a vertex has no face."""
        return self.surface.normal

    @property
    def faces(self) -> I4:
        """i4[F, 3]: the triangles of the mesh; F is 0 where there is none."""
        return self.surface.face

    @property
    def superpoints(self) -> I4:
        """i4[N], 0..L-1: the small part of the surface to which each point belongs."""
        return self.surface.superpoint

    @property
    def world(self) -> F8:
        """f8[4, 4]: from the points to the world of your own files, "source" elsewhere: a turn, a scale and a
        shift that were undone when they were read. The identity where nothing was."""
        return self.surface.world

    @functools.cached_property
    def features(self) -> F4:
        """f4[N, C]: the feature of every point, not normalised, 0 where `valid` is False. It is computed
        once."""
        dense = self._features.dense()
        dense[~self.valid] = 0
        return dense

    @property
    def valid(self) -> B1:
        """b1[N]: whether a point has a feature. A network gives one to every point; fusion gives one to the
        points that a frame sees."""
        return self._features.valid

    @property
    def source(self) -> str:
        """Where the features come from: "fusion", "projection/MODEL", or the name of a network."""
        return self._features.name

    @functools.cached_property
    def encoder(self) -> TextEncoder:
        """The text encoder. Raises TextError where it cannot be loaded, and where its embeddings have another
        width than the features."""
        encoder = self.given or load_text_encoder(self.settings.text)
        width = self._features.values.shape[1]
        if encoder.width != width:
            raise TextError(
                f"{self.id}: the features of {self._features.name} have {width} channels, the texts of "
                f"{encoder.name} {encoder.width}; give the text encoder that they were trained with "
                "(text.encoder of its params.yaml, or encoder=)"
            )
        return encoder

    def query(
        self,
        text: str,
        *,
        negative: Sequence[str] = (),
        top: int = TOP,
        by: Literal["both", "cosine", "vocabulary"] = "both",
        unit: Ranked = "object",
        world: World = "scene",
    ) -> Ranking:
        """Where `text` is: at most `top` groups of points, the best first, as `anyscene query` ranks them.

        negative: texts for what is not meant; what is closer to one of them is left out. by: whether points
        are compared by the cosine of their feature, through the classes that they show, or by both. unit:
        whether single superpoints are ranked, or objects, which join those that touch and show the same
        class. world: where boxes and centres are given, "scene" or "source".

        >>> cloud = anyscene.open("val_000")
        >>> found = cloud.query("somewhere to sit", top=2)
        >>> for group in found:
        ...     print(group.mask.sum() > 0, group.box.shape, group.area > 0)
        True (2, 3) True
        True (2, 3) True
        >>> found.scores.shape == (len(cloud),)
        True
        """
        if not isinstance(text, str):
            raise TextError(f"query takes one text, not {type(text).__name__}; ask one after the other")
        if isinstance(negative, str) or not all(isinstance(one, str) for one in negative):
            raise TextError(f"negative takes a list of texts, not {negative!r}")
        if unit not in self._sessions:
            self._sessions[unit] = self.session(unit, np.arange(len(self)))
        answer = self._sessions[unit].ask(self.encoder, text, negative, top, By(by))
        return Ranking.of(answer, self.surface, world)

    def segment(self, classes: Sequence[str] | LabelSet | None = None) -> I2:
        """i2[N]: the class whose name is closest to the feature of each point, an index into `classes`; -1
        where a point has no feature.

        classes: names of any things, or a label set (`anyscene.label_set`); None: the label set of the
        project. Raises DataError where this is no list of texts, where there is no class, where two say the
        same, and where there are more than an i2 can count; and TextError for a class without anything to
        read.

        >>> label = anyscene.open("val_000").segment(["bed", "chair", "something else"])
        >>> label.dtype.name, set(label.tolist()) <= {-1, 0, 1, 2}
        ('int16', True)
        """
        return labelled(self._features, self._texts(classes)).label

    def to_ply(
        self,
        path: str | Path,
        classes: Sequence[str] | LabelSet | None = None,
        *,
        world: World = "scene",
    ) -> Path:
        """Write the mesh, or the points, coloured by `segment(classes)`, with a label and a superpoint for
        each vertex. The names of the labels are comments of the file. Returns `path`.

        world: where the vertices lie; in the world "source" they are doubles.

        Raises DataError where something is in the way of the file.

        >>> file = anyscene.open("val_000").to_ply("labels.ply", ["bed", "chair"])
        >>> str(file), len(anyscene.read_mesh(file)[0]) == len(anyscene.open("val_000"))
        ('labels.ply', True)
        """
        return export.write_ply(self._result(self._texts(classes)), Path(path), world)

    def to_pointcept(self, folder: str | Path, *, world: World = "scene") -> Path:
        """Write FOLDER/ID/*.npy as Pointcept's datasets read them, and return FOLDER/ID.

        coord f4[N, 3], color u1[N, 3], normal f4[N, 3]. segment i4[N] and instance i4[N] are the annotation,
        and are missing where there is none. prediction i4[N] is `segment()`, in the same label set, -1
        without a feature; feature f2[N, C] and valid b1[N] are those of this cloud. In the world "source"
        coord is f8.

        Raises DataError where something is in the way of the folder.

        >>> folder = anyscene.open("val_000").to_pointcept("export/val")
        >>> sorted(file.name for file in folder.glob("*.npy"))[:3]
        ['color.npy', 'coord.npy', 'feature.npy']
        """
        return export.write_pointcept(self._result(self._texts(None)), Path(folder), world)

    def session(self, unit: Unit | Ranked = "object", drawn: I8 | None = None) -> Session:
        """The scene, prepared for queries; the command line, the viewer and `query` use it. drawn: i8[M], the
        points whose scores an answer has, in rising order; None: those of a sample."""
        classes = Vocabulary.of(self.encoder, self.settings.vocabulary, self.settings.text.template)
        return Session.of(self.surface, self._features, classes, Unit(unit), drawn)

    @functools.cached_property
    def _features(self) -> Features:
        return self.load()

    @functools.cached_property
    def _sessions(self) -> dict[str, Session]:
        return {}

    def _texts(self, classes: Sequence[str] | LabelSet | None) -> Texts:
        if classes is None:
            classes = label_set(self.settings.dataset.label_set)
        elif not isinstance(classes, LabelSet):
            classes = named(classes)
        return Texts(self.encoder, classes, self.settings.vocabulary, self.settings.text.template)

    def _result(self, texts: Texts) -> export.Result:
        return export.Result.of(self.surface, self._features, texts, self.truth)

    def __len__(self) -> int:
        return len(self.surface)

    def __repr__(self) -> str:
        return f"FeatureCloud({self.id!r}: {len(self):,} points)"
