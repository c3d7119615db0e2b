"""What a page is made from: a project whose stages ran, all of them or some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from anyscene import datasets
from anyscene.datasets import LabelSet
from anyscene.errors import PipelineError
from anyscene.project.layout import METRICS, Artefacts
from anyscene.project.parameters import Params
from anyscene.study import reports
from anyscene.study.ablation import Ablation, Inputs
from anyscene.tasks.task import Texts
from anyscene.text import load_text_encoder

Found = TypeVar("Found")


@dataclass(frozen=True, eq=False)
class Run:
    """A project's parameters and what its stages wrote. Each part is read when the page first asks for it."""

    params: Params
    artefacts: Artefacts
    missing: list[str] = field(default_factory=list)  # sentences on what is missing or cannot be read

    @cached_property
    def label_set(self) -> LabelSet:
        """The label set of the data set."""
        return datasets.label_set(self.params.dataset.label_set)

    @cached_property
    def texts(self) -> Texts:
        """What features are compared with."""
        return Texts.of(self.params, load_text_encoder(self.params.text))

    @cached_property
    def metrics(self) -> dict[str, Any] | None:
        """The content of reports/metrics.json; None where nothing was evaluated."""
        folder = self.artefacts.reports
        return self.tried(lambda: reports.read(folder)) if (folder / METRICS.name).is_file() else None

    @cached_property
    def confusion(self) -> dict[str, Any] | None:
        """The content of reports/plots/confusion.json; None where nothing was evaluated."""
        path = self.artefacts.reports / reports.CONFUSION
        return self.tried(lambda: reports.read_json(path))

    @cached_property
    def ablation(self) -> Ablation | None:
        """The rows that predict, without controls; None where there are not even superpoints."""
        if not self.artefacts.has(self.artefacts.data("superpoints")):
            return None
        return self.tried(lambda: Ablation(Inputs.of(self.params, self.artefacts)))

    def tried(self, work: Callable[[], Found]) -> Found | None:
        """What `work` returns. Where it raises PipelineError, such as for a damaged artefact, None; the
        message is then appended to `missing`."""
        try:
            return work()
        except PipelineError as error:
            self.missing.append(str(error))
            return None
