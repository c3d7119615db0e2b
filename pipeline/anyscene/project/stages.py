"""The declaration of a stage: its paths, its parameters, the files that these name. There is one in each file
of stages/, and `anyscene stages --write` writes dvc.yaml from them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from anyscene.errors import StoreError
from anyscene.project import layout
from anyscene.project.layout import DATA, FRESHNESS, STAGES, WORLD
from anyscene.project.parameters import Params

Item = str | None  # a 2D model or a training, for a stage that runs once for each
KEPT = {"persist": True}  # options of every output: DVC does not remove it before the stage runs again


def nothing(params: Params, item: Item) -> Sequence[Any]:
    """The default of a stage: its parameters name no file, and it reaches no code through a registry."""
    return ()


@dataclass(frozen=True)
class Stage:
    """A step of the pipeline. Its name is that of its file in stages/ and of its command.

    Paths are relative to the project, and may hold variables of DVC: ${dataset.root}, ${item.model}."""

    name: str
    writes: tuple[Path | str, ...]
    reads: tuple[Path | str, ...] = ()
    parameters: tuple[str, ...] = ()  # keys of params.yaml whose values enter what it writes
    each: str | None = None  # key of params.yaml: it runs once for each name in that list or mapping
    files: Callable[[Params, Item], Sequence[Path]] = nothing  # that its parameters name
    # files and folders of which each scene reads a part, which is in the scene's key
    scene_files: Callable[[Params, Item], Sequence[Path]] = nothing
    modules: Callable[[Params, Item], Sequence[str]] = nothing  # of a registry, that its parameters name
    settings: Callable[[Params, Item], Sequence[Any]] = nothing  # JSON-like, of entries of a registry
    by_scene: bool = False  # whether it writes an artefact for each scene, by `per_scene.run`
    by_step: bool = False  # whether it trains a network, and can compare its first steps with earlier ones
    plots: tuple[Mapping[str, Any], ...] = ()  # for `dvc plots`, as dvc.yaml has them
    cached: bool = True  # by DVC; else what it writes is kept by git
    metrics: tuple[Path | str, ...] = ()  # of what it writes, figures for `dvc metrics`; never cached

    def items(self, params: Params) -> tuple[Item, ...]:
        """The items that it runs for, in order; (None,) where it runs once."""
        if self.each is None:
            return (None,)
        value: Any = params
        for key in self.each.split("."):
            value = getattr(value, key)
        return tuple(value)

    def runs(self, params: Params) -> tuple[str, ...]:
        """The names of its runs in DVC: "fusion", "projection@dense"."""
        items = self.items(params)
        return tuple(self.name if item is None else f"{self.name}@{item}" for item in items)

    def written(self, params: Params) -> tuple[Path, ...]:
        """The paths of all that it writes with these parameters, for each of its items."""
        return tuple(
            Path(path.replace(self._variable, item or ""))
            for item in self.items(params)
            for path in map(str, (*self.writes, *self._indices, *self.metrics))
        )

    def artefacts(self, item: Item) -> tuple[Path, ...]:
        """The folders of artefacts that it writes for an item; empty where it does not work by scenes."""
        paths = map(str, self.writes if self.by_scene else ())
        return tuple(Path(path.replace(self._variable, item or "")) for path in paths)

    @property
    def _indices(self) -> tuple[Path, ...]:
        """What it writes of its artefacts, for the stages that read them."""
        return tuple(map(layout.index, self.writes)) if self.by_scene else ()

    @property
    def _variable(self) -> str:
        """What stands for an item in its paths."""
        return "${item.model}" if self._listed else "${key}"

    @property
    def _listed(self) -> bool:
        """Whether its items are a list; else they are a mapping, if there are any."""
        return self.each is not None and self.each.endswith("names")

    def dvc(self, artefacts: Collection[Path] = ()) -> dict[str, Any]:
        """Its entry in dvc.yaml. artefacts: the folders of them that stages write, of which it depends on the
        index."""
        item = self._variable
        fresh = self.name if self.each is None else f"{self.name}.{item}"
        body: dict[str, Any] = {"cmd": f"python -m stages.{self.name}{f' {item}' if self.each else ''}"}
        if self.reads:
            body["deps"] = [str(_dependency(path, artefacts)) for path in self.reads]
        body["params"] = [*self.parameters, {str(FRESHNESS): [fresh]}]
        options = KEPT if self.cached else {"cache": False, **KEPT}
        body["outs"] = [{str(path): dict(options)} for path in self.writes]
        body["outs"] += map(str, self._indices)  # DVC removes these before the stage runs
        if self.metrics:
            body["metrics"] = [{str(path): {"cache": False, **KEPT}} for path in self.metrics]
        if self.each is None:
            return body
        if self._listed:
            return {"matrix": {"model": f"${{{self.each}}}"}, **body}
        return {"foreach": f"${{{self.each}}}", "do": body}


def declared(folder: Path = STAGES) -> dict[str, Stage]:
    """The stages of the project at hand, by name, in the order in which data flow.

    Raises StoreError where there are none, or where stages read what they write, in a circle."""
    names = sorted(file.stem for file in folder.glob("*.py") if file.stem != "__init__")
    if not names:
        raise StoreError(f"{folder}: no stages here; run in a clone of the repository")
    stages = {}
    for name in names:
        stage = getattr(importlib.import_module(f"{folder.name}.{name}"), "STAGE", None)
        if isinstance(stage, Stage):
            stages[stage.name] = stage
    return {stage.name: stage for stage in _in_order(stages)}


def before(name: str, stages: Mapping[str, Stage], params: Params) -> tuple[str, ...]:
    """The names in DVC of all runs that the stage `name` depends on, directly or not, in the order of
    `stages`. The stage of the demo's world is not among them where dataset.root is another folder."""
    root, wanted = Path(params.dataset.root), {name}
    for stage in reversed(list(stages.values())):
        if any(_reads(stages[later], stage, root) for later in wanted):
            wanted.add(stage.name)
    return tuple(
        run for stage in stages.values() if stage.name in wanted - {name} for run in stage.runs(params)
    )


def _in_order(stages: Mapping[str, Stage]) -> Iterator[Stage]:
    """Yield every stage after all those whose outputs it reads. Of several that may come next, the one on
    which most others depend is first, so that the raw scans come before what is beside; then by name."""
    following = {name: _following(stage, stages) for name, stage in stages.items()}
    left = sorted(stages.values(), key=lambda stage: (-len(following[stage.name]), stage.name))
    while left:
        ready = (stage for stage in left if not any(stage.name in following[other.name] for other in left))
        stage = next(ready, None)
        if stage is None:
            names = ", ".join(sorted(one.name for one in left))
            raise StoreError(f"stages {names} read what they write, in a circle; correct `reads`")
        left.remove(stage)
        yield stage


def _following(stage: Stage, stages: Mapping[str, Stage]) -> set[str]:
    """The names of the stages that read what `stage` writes, or what one of these writes, and so on."""
    found: set[str] = set()
    new = [stage]
    while new:
        one = new.pop()
        more = [other for other in stages.values() if other.name not in found and _reads(other, one)]
        found |= {other.name for other in more}
        new += more
    return found


def _reads(stage: Stage, other: Stage, root: Path = WORLD) -> bool:
    """Whether `stage` reads something that `other` writes, where the raw scans lie in `root`. A stage does
    not depend on itself, though a training may read what another training wrote."""
    if stage is other:
        return False
    written = [_fixed(path, root) for path in (*other.writes, *other.metrics)]
    for path in stage.reads:
        read = _fixed(path, root)
        if any(a == b or a in b.parents or b in a.parents for a in [read] for b in written):
            return True
    return False


def _dependency(path: Path | str, artefacts: Collection[Path]) -> Path | str:
    """What a stage that reads `path` depends on in DVC. A path below data/ that is a variable is one of the
    folders of artefacts."""
    fixed = _fixed(path, WORLD)
    named = fixed in artefacts or (str(fixed) != str(path) and fixed == DATA)
    return layout.index(path) if named else path


def _fixed(path: Path | str, root: Path) -> Path:
    """The part of a path before the first variable of DVC. The folder of raw scans becomes `root`."""
    if path == "${dataset.root}":
        return root
    return Path(str(path).partition("${")[0].rstrip("/") or "${")


HEAD = """# Written by `anyscene stages --write` from the declarations in stages/; edit those.
# `persist` keeps what an earlier run wrote: a stage by scenes computes only what changed, and one that fails
# loses nothing. What a stage is made by, its code, packages and the files that parameters name, stands in
# {freshness}, looked up anew each time. A stage that reads artefacts depends on their file in {index},
# which says when their values are others.
"""


def dvc_yaml(stages: Mapping[str, Stage]) -> str:
    """The text of dvc.yaml."""
    looked_up = {
        "cmd": "python -m stages",
        "always_changed": True,
        "outs": [{str(FRESHNESS): {"cache": False, **KEPT}}],
    }
    artefacts = {_fixed(path, WORLD) for stage in stages.values() if stage.by_scene for path in stage.writes}
    entries = {"freshness": looked_up, **{stage.name: stage.dvc(artefacts) for stage in stages.values()}}
    plots = [dict(plot) for stage in stages.values() for plot in stage.plots]
    content = {"stages": entries, **({"plots": plots} if plots else {})}
    head = HEAD.format(freshness=FRESHNESS, index=layout.INDEX)
    return head + yaml.safe_dump(content, sort_keys=False, width=110)
