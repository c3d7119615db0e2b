"""Queries as a task: heat shows where each free text is. Texts have no annotation, so there is no score."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from anyscene.tasks.layer import Layer, Scale

if TYPE_CHECKING:
    from anyscene.tasks.features import Features
    from anyscene.tasks.query.session import Answer
    from anyscene.tasks.surface import Surface
    from anyscene.tasks.task import Texts
    from anyscene.tasks.truth import Annotation

HEAT = Scale("median", "highest")


class Query:
    """The task. It answers the texts of `Texts.asked`."""

    name, title = "query", "free texts"
    apart = True  # the report and the viewer have a place of their own for them

    def answer(self, scene: Surface, features: Features, texts: Texts) -> Sequence[Answer]:
        from anyscene.tasks.query.session import Session

        if not texts.asked:
            return ()
        session = Session.of(scene, features, texts.classes, drawn=np.arange(len(scene)))
        return [session.ask(texts.encoder, text) for text in texts.asked]

    def score(
        self, answers: Iterable[Sequence[Answer]], truth: Iterable[Annotation]
    ) -> Mapping[str, float] | None:
        return None

    def layers(self, answer: Sequence[Answer]) -> Sequence[Layer]:
        return tuple(Layer(f"query/{one.text}", one.text, values=one.heat, legend=HEAT) for one in answer)
