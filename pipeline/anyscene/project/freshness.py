"""One rule for what is fresh: code, packages, files, parameters and inputs are what they were.

Code is what a stage reaches by import: the syntax trees of these modules, without docstrings (and comments,
which are in no tree). So a changed formula makes anew what it touches, and a changed comment nothing.
Packages are those that these modules import: their versions. Files are those that parameters name: their
contents, remembered for as long as no file changes. Parameters and inputs are part of the key of each scene
(`per_scene`).
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anyscene.errors import PipelineError
from anyscene.project import layout
from anyscene.project.digests import Digests, settled
from anyscene.project.parameters import Params
from anyscene.project.stages import Item, Stage

# What these do reaches no value: messages, clocks, where things lie, when something is fresh.
NEUTRAL = frozenset(
    {
        "anyscene",
        "anyscene.arrays",
        "anyscene.cli",
        "anyscene.cli.command",
        "anyscene.cli.named",
        "anyscene.cli.refusals",
        "anyscene.errors",
        "anyscene.project",
        "anyscene.project.digests",
        "anyscene.project.extras",
        "anyscene.project.freshness",
        "anyscene.project.layout",
        "anyscene.project.parameters",
        "anyscene.project.progress",
        "anyscene.project.registry",
        "anyscene.project.stages",
        "anyscene.project.timing",
        "stages",
    }
)
# Packages whose version reaches no value. Of MinkowskiEngine there is one version, and where it is not
# installed the values of the default backend are the same.
SILENT = frozenset(
    """MinkowskiEngine MinkowskiEngineBackend diskcache dvc dvclive filelock packaging rich ruamel tqdm typer
    viser yaml""".split()
)


@dataclass(frozen=True)
class Freshness:
    """What a stage is made by, beside its parameters and its inputs."""

    code: str  # digest of the syntax trees of all modules that it reaches
    packages: dict[str, str] = field(default_factory=dict)  # version of each package that these import
    files: dict[str, str] = field(default_factory=dict)  # digest of each file or folder that parameters name
    settings: tuple[Any, ...] = ()  # JSON-like, of entries of a registry
    check: int = 0  # scenes to compute again before what older code made is adopted; 0: nothing is adopted
    seed: int = 0  # of the choice of these

    @functools.cached_property
    def made_by(self) -> str:
        """16 digits that stand for code and packages: what a refactoring changes, and no value need."""
        return _hash([self.code, sorted(self.packages.items())])

    def record(self) -> dict[str, Any]:
        """For JSON: what DVC compares, and a person reads to learn why a stage runs again."""
        kept = ("code", "packages", "files", "settings")
        return {name: getattr(self, name) for name in kept if getattr(self, name) or name == "code"}

    @functools.cached_property
    def given(self) -> str:
        """16 digits that stand for files and settings: with other ones the values are others."""
        return _hash([sorted(self.files.values()), self.settings])


def of(stage: Stage, params: Params, item: Item = None) -> Freshness:
    """What `stage` is made by now, for one of its items. Raises PipelineError for a file that a parameter
    names and that cannot be read."""
    with Source() as source:
        return _of(stage, params, item, source)


def write(stages: Iterable[Stage], params: Params, path: Path = layout.FRESHNESS) -> None:
    """Look all stages up, and write what they are made by to `path`, which DVC compares."""
    found: dict[str, Any] = {}
    with Source() as source:
        for stage in stages:
            of_items = {item: _of(stage, params, item, source).record() for item in stage.items(params)}
            found[stage.name] = of_items[None] if stage.each is None else of_items
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=1, sort_keys=True) + "\n"
    if not path.is_file() or path.read_text() != text:
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(text)
        os.replace(partial, path)


def _of(stage: Stage, params: Params, item: Item, source: Source) -> Freshness:
    roots = [f"stages.{stage.name}", *stage.modules(params, item)]
    modules = source.reached(roots)
    return Freshness(
        source.digest(modules),
        source.packages(modules),
        {str(path): source.content(path) for path in stage.files(params, item)},
        tuple(stage.settings(params, item)),
    )


class Source:
    """The project's modules as they are on disk; what was read once is remembered in `memory`."""

    def __init__(self, memory: Path = layout.CODE) -> None:
        self._memory, self._known = memory, _read_json(memory)
        self._changed = False
        self._digests = Digests(layout.DIGESTS)

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self._digests.__exit__()
        if self._changed:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            partial = self._memory.with_name(f".{self._memory.name}.{os.getpid()}")
            partial.write_text(json.dumps(self._known))
            os.replace(partial, self._memory)

    def reached(self, roots: Sequence[str]) -> tuple[str, ...]:
        """All modules of the packages of `roots`, and of this one, that they import at any depth, also inside
        functions; without those that reach no value. Sorted."""
        packages = {"anyscene", "stages", *(root.partition(".")[0] for root in roots)}
        found: set[str] = set()
        queue = list(roots)
        while queue:
            name = queue.pop()
            if name in found or name in NEUTRAL or name.partition(".")[0] not in packages:
                continue
            if _file(name) is None:
                continue
            found.add(name)
            queue += _parents(name)
            queue += self._entry(name)["imports"]
        return tuple(sorted(found))

    def digest(self, modules: Sequence[str]) -> str:
        """16 digits of the syntax trees of `modules`."""
        return _hash([[name, self._entry(name)["tree"]] for name in modules])

    def packages(self, modules: Sequence[str]) -> dict[str, str]:
        """Version of each package of others that `modules` import."""
        own = {name.partition(".")[0] for name in modules} | {"anyscene", "anyscene_demo", "stages"}
        tops = {name.partition(".")[0] for module in modules for name in self._entry(module)["imports"]}
        wanted = sorted(tops - own - SILENT - set(sys.stdlib_module_names) - {"__future__"})
        return {name: found for name in wanted if (found := version(name)) is not None}

    def content(self, path: Path) -> str:
        """16 digits of a file's content, or of all files in a folder; "missing" where there is none: the
        stage itself says better what to do."""
        try:
            if path.is_dir():
                return self._digests(path, lambda file: True)[:16]
            if not path.exists():
                return "missing"
            return self._digests.of_files(path.parent, [Path(path.name)])[:16]
        except OSError as error:
            raise PipelineError(f"{error.filename}: cannot be read ({error.strerror}); check it") from error

    def _entry(self, name: str) -> dict[str, Any]:
        file = _file(name)
        assert file is not None
        state = file.stat()
        stamp = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
        known = self._known.get(str(file))
        if known is None or known["stamp"] != stamp:
            known = {"stamp": stamp, **_parsed(name, file)}
            if settled(state.st_mtime, state.st_ctime):
                self._known[str(file)], self._changed = known, True
        return known


def _parsed(name: str, file: Path) -> dict[str, Any]:
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError) as error:
        raise PipelineError(f"{file}: is no Python ({error}); mend it") from error
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    imports = sorted(set(_imports(tree, package)))
    return {"imports": imports, "tree": hashlib.sha256(_bare(tree).encode()).hexdigest()[:16]}


def _bare(tree: ast.Module) -> str:
    """A syntax tree as text, without docstrings and places."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Names that may be modules: of `from a import b` both a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]).rstrip(".")
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            named = node.args[0]
            if node.func.attr in ("find_spec", "import_module") and isinstance(named, ast.Constant):
                yield str(named.value)


def _parents(name: str) -> Iterator[str]:
    """The packages that an import of `name` runs: of a.b.c these are a and a.b."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


@functools.cache
def _file(name: str) -> Path | None:
    """The source of a module, found without importing it; None where there is none."""
    top, *rest = name.split(".")
    for folder in _folders(top):
        path = folder.joinpath(*rest)
        if path.with_suffix(".py").is_file() and rest:
            return path.with_suffix(".py")
        if (path / "__init__.py").is_file():
            return path / "__init__.py"
    return None


@functools.cache
def _folders(top: str) -> tuple[Path, ...]:
    """Where the package `top` lies."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return ()
    return () if spec is None else tuple(map(Path, spec.submodule_search_locations or ()))


@functools.cache
def version(package: str) -> str | None:
    """Of the distribution that holds the importable `package`; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        held_by = _distributions().get(package)
        return None if not held_by else importlib.metadata.version(held_by[0])


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
