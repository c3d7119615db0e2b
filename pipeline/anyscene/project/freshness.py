"""One rule for what is fresh: code, packages, files, parameters and inputs are what they were.

The code of a stage is the syntax trees of all modules that it reaches by import, without what is said in
them: docstrings, comments, help, and the texts of errors. So after a change of a formula everything that it
touches is computed again, and after a change of a word nothing is. To it belong the data files beside these
modules that they name, such as templates. Of the packages that these modules import the version counts, of
the files that parameters name the content, which is read again only when a file changes. Parameters and
inputs are part of the key of each scene (`per_scene`).
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from anyscene.errors import OutputError, PipelineError
from anyscene.project import layout, outputs
from anyscene.project.digests import Digests, settled
from anyscene.project.parameters import Params
from anyscene.project.stages import Item, Stage

# The packages of the project. Their code is followed wherever it is imported.
OWN = frozenset({"anyscene", "anyscene_demo", "stages"})
# No value depends on what these do: messages, clocks, paths, freshness.
NEUTRAL = frozenset(
    {
        "anyscene",
        "anyscene.arrays",
        "anyscene.cli",
        "anyscene.cli.command",
        "anyscene.cli.named",
        "anyscene.cli.options",
        "anyscene.cli.refusals",
        "anyscene.errors",
        "anyscene.project",
        "anyscene.project.caches",
        "anyscene.project.console",
        "anyscene.project.digests",
        "anyscene.project.extras",
        "anyscene.project.freshness",
        "anyscene.project.layout",
        "anyscene.project.outputs",
        "anyscene.project.parameters",
        "anyscene.project.progress",
        "anyscene.project.registry",
        "anyscene.project.stages",
        "anyscene.project.timing",
        "stages",
    }
)
# No value depends on the version of these packages. There is only one version of MinkowskiEngine, and where
# it is not installed the default backend gives the same values.
SILENT = frozenset(
    """MinkowskiEngine MinkowskiEngineBackend diskcache dvc dvclive filelock packaging rich ruamel tqdm typer
    viser yaml""".split()
)


PACKAGES = Path(__file__).parents[2]  # the folder that this package is in


@dataclass(frozen=True)
class Freshness:
    """What a stage is made by, beside its parameters and its inputs."""

    code: str  # digest of the syntax trees of all modules that it reaches, and of their data files
    packages: dict[str, str] = field(default_factory=dict)  # version of each package that these import
    files: dict[str, str] = field(default_factory=dict)  # digest of each file or folder that parameters name
    # digest of each file or folder of which a scene reads a part; that part is in the scene's key
    scene_files: dict[str, str] = field(default_factory=dict)
    settings: tuple[Any, ...] = ()  # JSON-like, those of entries of a registry
    # scenes or steps to compute again before what older code made is adopted; 0: nothing is adopted
    check: int = 0
    seed: int = 0  # of the generator that draws these

    @functools.cached_property
    def made_by(self) -> str:
        """16 digits that stand for code and packages: a refactoring changes them, though no value need
        change."""
        return _hash([self.code, sorted(self.packages.items())])

    def record(self) -> dict[str, Any]:
        """The fields for a JSON file that DVC compares, and that tells a reader why a stage runs again."""
        kept = ("code", "packages", "files", "scene_files", "settings")
        return {name: getattr(self, name) for name in kept if getattr(self, name) or name == "code"}

    @functools.cached_property
    def given(self) -> str:
        """16 digits that stand for files and settings: values differ when these do."""
        return _hash([sorted(self.files.values()), self.settings])


def of(stage: Stage, params: Params, item: Item = None) -> Freshness:
    """What the artefacts of `stage`, for one of its items, are made by now. Raises PipelineError where a
    parameter names a file that cannot be read."""
    with Source() as source:
        return _of(stage, params, item, source)


def write(stages: Iterable[Stage], params: Params, path: Path = layout.FRESHNESS) -> None:
    """Write what all `stages` are made by to `path`, a JSON file that DVC compares."""
    found: dict[str, Any] = {}
    with Source() as source:
        for stage in stages:
            of_items = {item: _of(stage, params, item, source).record() for item in stage.items(params)}
            found[stage.name] = of_items[None] if stage.each is None else of_items
    text = json.dumps(found, indent=1, sort_keys=True) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        outputs.write(path, text)


def _of(stage: Stage, params: Params, item: Item, source: Source) -> Freshness:
    roots = [f"stages.{stage.name}", *stage.modules(params, item)]
    modules = source.reached(roots)
    return Freshness(
        source.digest(modules),
        source.packages(modules),
        {_called(path): source.content(path) for path in stage.files(params, item)},
        {_called(path): source.content(path) for path in stage.scene_files(params, item)},
        tuple(stage.settings(params, item)),
    )


def _called(path: Path) -> str:
    """What a file is called in what DVC compares: those of this package are the same on every machine."""
    return path.relative_to(PACKAGES).as_posix() if path.is_relative_to(PACKAGES) else str(path)


class Source:
    """The modules of the project as they are on disk. What was read of them is remembered in the file
    `memory`."""

    def __init__(self, memory: Path = layout.CODE) -> None:
        self._memory, self._known = memory, _read_json(memory)
        self._changed = False
        self._digests = Digests(layout.DIGESTS)

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self._digests.__exit__()
        if self._changed:
            with suppress(OutputError):  # what it holds is found again
                outputs.write(self._memory, json.dumps(self._known))

    def reached(self, roots: Sequence[str]) -> tuple[str, ...]:
        """All modules that `roots` import at any depth, sorted: those of the packages of `roots` and of the
        project. Imports inside functions count; modules in NEUTRAL do not."""
        packages = OWN | {root.partition(".")[0] for root in roots}
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
        """16 digits of the syntax trees of `modules`, and of the data files that they name."""
        data = [[_called(path), self.content(path)] for path in self.data(modules)]
        return _hash([[[name, self._entry(name)["tree"]] for name in modules], data])

    def data(self, modules: Sequence[str]) -> tuple[Path, ...]:
        """The data files that `modules` name by their place beside themselves, sorted. A folder does not
        count: which of its files are read is for parameters to say."""
        named = {Path(path) for module in modules for path in self._entry(module)["data"]}
        return tuple(sorted(path for path in named if path.is_file() and path.suffix != ".py"))

    def packages(self, modules: Sequence[str]) -> dict[str, str]:
        """The version of each third-party package that `modules` import."""
        own = {name.partition(".")[0] for name in modules} | OWN
        tops = {name.partition(".")[0] for module in modules for name in self._entry(module)["imports"]}
        wanted = sorted(tops - own - SILENT - set(sys.stdlib_module_names) - {"__future__"})
        return {name: found for name in wanted if (found := version(name)) is not None}

    def content(self, path: Path) -> str:
        """16 digits of the content of a file, or of all files in a folder; "missing" where there is none,
        since the stage itself can say better what to do. Raises PipelineError where it cannot be read."""
        try:
            if path.is_dir():
                return self._digests(path, lambda file: True, growing=True)[:16]
            if not path.exists():
                return "missing"
            return self._digests.of_files(path.parent, [Path(path.name)])[:16]
        except OSError as error:
            raise PipelineError(f"{error.filename}: cannot be read ({error.strerror}); check it") from error

    def _entry(self, name: str) -> dict[str, Any]:
        file = _file(name)
        assert file is not None
        state = file.stat()
        stamp = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino, _rule()]
        known = self._known.get(str(file))
        if known is None or known["stamp"] != stamp:
            known = {"stamp": stamp, **_parsed(name, file)}
            if settled(state.st_mtime, state.st_ctime):
                self._known[str(file)], self._changed = known, True
        return known


@functools.cache
def _rule() -> str:
    """Stands for how a module is read: what was remembered under another rule is forgotten."""
    return _hash([Path(__file__).read_text(encoding="utf-8"), sys.version])


def _parsed(name: str, file: Path) -> dict[str, Any]:
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError) as error:
        raise PipelineError(f"{file}: is not Python ({error}); correct it") from error
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    imports = sorted(set(_imports(tree, package)))
    data = sorted({str(path) for node in ast.walk(tree) if (path := _beside(node, file)) is not None})
    return {"imports": imports, "data": data, "tree": hashlib.sha256(_bare(tree).encode()).hexdigest()[:16]}


def _beside(node: ast.AST, file: Path) -> Path | None:
    """The path that an expression of the module `file` stands for, if it begins with Path(__file__) and goes
    on with names that it spells out."""
    match node:
        case ast.Call(func=ast.Name(id="Path"), args=[ast.Name(id="__file__")]):
            return file
        case ast.Attribute(value=start, attr="parent") if (path := _beside(start, file)) is not None:
            return path.parent
        case ast.Call(
            func=ast.Attribute(value=start, attr="with_name"), args=[ast.Constant(value=str(name))]
        ):
            path = _beside(start, file)
            return None if path is None else path.with_name(name)
        case ast.BinOp(left=start, op=ast.Div(), right=ast.Constant(value=str(name))):
            path = _beside(start, file)
            return None if path is None else path / name
    return None


def _bare(tree: ast.Module) -> str:
    """A syntax tree as text, without line numbers and without what is only said: docstrings, help, the texts
    of errors, and the declaration of a stage, whose parts are compared by themselves."""
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                match node.body:
                    case [ast.Expr(value=ast.Constant(value=str())), *rest]:
                        node.body = rest or [ast.Pass()]
            case ast.Call(keywords=keywords):
                node.keywords = [one for one in keywords if one.arg != "help"]
            case ast.Raise(exc=ast.Call() as error):
                error.args = [_wordless(one) for one in error.args]
    tree.body = [node for node in tree.body if not _declares(node)]
    return ast.dump(tree)


def _wordless(value: ast.expr) -> ast.expr:
    """A text as an empty one, and every other expression as it is."""
    match value:
        case ast.JoinedStr() | ast.Constant(value=str()):
            return ast.Constant("")
        case ast.BinOp(left=left, op=ast.Add() as plus, right=right):
            texts = [one for one in (_wordless(left), _wordless(right)) if not _is_empty(one)]
            return (
                ast.Constant("") if not texts else functools.reduce(lambda a, b: ast.BinOp(a, plus, b), texts)
            )
    return value


def _is_empty(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value == ""


def _declares(node: ast.stmt) -> bool:
    """Whether a statement is `STAGE = Stage(...)`."""
    match node:
        case ast.Assign(targets=[ast.Name(id="STAGE")], value=ast.Call(func=ast.Name(id="Stage"))):
            return True
    return False


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """The names in import statements that may be modules: for `from a import b` both a and a.b."""
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
    """The packages that are imported along with `name`: for a.b.c these are a and a.b."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


@functools.cache
def _file(name: str) -> Path | None:
    """The source file of a module, which is not imported; None where there is none."""
    top, *rest = name.split(".")
    found = _spec(top)
    if found is not None and not rest and not found.submodule_search_locations:
        file = Path(found.origin or "")
        return file if file.suffix == ".py" else None  # a package of one module
    for folder in map(Path, (found and found.submodule_search_locations) or ()):
        path = folder.joinpath(*rest)
        if path.with_suffix(".py").is_file() and rest:
            return path.with_suffix(".py")
        if (path / "__init__.py").is_file():
            return path / "__init__.py"
    return None


@functools.cache
def _spec(top: str) -> ModuleSpec | None:
    """Where the package `top` lies, which is not imported; None where it is not installed."""
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None


@functools.cache
def version(package: str) -> str | None:
    """The version of the distribution that brings the importable `package`; None where it is not
    installed."""
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
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
