"""python -m docs.reference.write: parameters.md and commands.md, out of settings classes and commands, and
constants.md, out of constants.yaml."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import sys
import textwrap
import tokenize
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

from typer.models import ArgumentInfo, ParameterInfo

from anyscene.cli import main
from anyscene.project import layout, parameters, presets

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
PARAMETERS = ROOT / layout.PARAMETERS
REGISTRIES = {"segmenters": parameters.Segmenters.ENTRIES, "dataset": parameters.Dataset.ENTRIES}
KINDS = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path"}
WRITTEN = "<!-- Written by `python -m docs.reference.write`; a test fails where it is stale. -->"
OURS = ("anyscene", "anyscene_demo")  # whose entries are listed, and not those of a package beside them


@dataclass(frozen=True)
class Taken:
    """An argument or an option of a command."""

    names: tuple[str, ...]  # of an argument its name, of an option all its forms
    argument: bool
    kind: Any  # the type of its value
    default: Any  # None: none
    required: bool
    said: str  # its help


INTRODUCTION = """# Parameters

`params.yaml` has one section for each stage, and some that several stages share. Every key is required. A key
that is unknown, missing, of another type or out of bounds ends a command at once, with a message that names
it. The columns after the meaning hold the value of the demo and those of the [presets](../presets.md); an
empty cell means that the preset leaves the key alone. `dvc exp run -S SECTION.KEY=VALUE` tries another value,
and [experiments](../how-to/experiments.md) says how to go back. What some of them change in the demo's scores
stands in [worlds](../notes/worlds.md), and how sensitive results are in
[sensitivity](../notes/sensitivity.md).
"""

COMMANDS = """# Commands

`anyscene --help` lists the commands, and `anyscene COMMAND --help` says the same as this page. Stages are
commands only in a clone of the repository and in a project that `anyscene init` made, where `dvc repro` runs
them; tools work everywhere. A command that fails prints one message and ends with exit code 1; a wrong option
ends with exit code 2.
"""


CONSTANTS = """# Constants

What SAS (Li et al. 2025) says of each constant, where its released code has it, and what the
[presets](../presets.md) set: `NAME` is the paper's reading, and where the paper is silent the code's;
`NAME-code` is that of the code. `scannet200` and `scannet200-code` are those of ScanNet with 200 classes.
A name in capitals is no setting: it stands in that module below `anyscene`. Lines are those of peoplelu/SAS
at 38764c2 and pengsongyou/openscene at 0f369bc. A test compares presets and modules with this list.
"""


def parameters_page() -> str:
    """Every key of params.yaml, by section."""
    values = {"demo": parameters.read(PARAMETERS)}
    values |= {name: presets.read(name) for name in presets.names() if presets.is_first(name)}
    parts = [f"{WRITTEN}\n", INTRODUCTION]
    for section, kind in typing.get_type_hints(parameters.Params).items():
        of_section = {name: found.get(section) for name, found in values.items()}
        if dataclasses.is_dataclass(kind):
            parts += _sections(section, kind, of_section)
        elif section == "training":
            parts += _trainings(of_section)
        else:
            parts += [f"## {section}\n", _vocabulary(of_section)]
    return "\n".join(parts)


def constants_page() -> str:
    """What paper, released code and presets say of each constant."""
    rows = []
    for one in constants():
        both = {key: [_value(value) for value in values] for key, values in one.get("keys", {}).items()}
        both |= {name: [_value(value)] * 2 for name, value in one.get("fixed", {}).items()}
        paper = "; ".join(f"`{key}` {values[0]}" for key, values in both.items())
        code = "; ".join(f"`{key}` {values[1]}" for key, values in both.items() if values[0] != values[1])
        rows.append([
            one["constant"], ", ".join(one["presets"]), _source(one["paper"]), _source(one["code"]),
            paper, code or "the same", one.get("why", ""),
        ])  # fmt: skip
    head = ["constant", "presets", "paper", "released code", "`NAME` sets", "`NAME-code` sets", "remark"]
    return "\n".join([f"{WRITTEN}\n", CONSTANTS, _markdown(head, rows)])


def constants() -> list[dict[str, Any]]:
    """The rows of constants.yaml."""
    rows: list[dict[str, Any]] = parameters.read(FOLDER / "constants.yaml")
    return rows


def _source(said: Mapping[str, Any]) -> str:
    return "silent" if said["says"] is None else f"{said['says']} ({said['where']})"


def _sections(section: str, kind: Any, values: Mapping[str, Any]) -> Iterator[str]:
    """A section, and those that entries of packages have in it."""
    yield f"## {section}\n"
    if kind.__doc__ and not kind.__doc__.startswith(f"{kind.__name__}("):
        yield f"{kind.__doc__.strip()}\n"
    yield _table(kind, values)
    if section not in REGISTRIES:
        return
    registry = REGISTRIES[section]
    for name in registry.names():
        settings = getattr(registry.get(name), "settings", None)
        if settings is not None and registry.module(name).partition(".")[0] in OURS:
            yield f"### {section}.{name}\n"
            yield _table(settings, {where: (of or {}).get(name) for where, of in values.items()})


def _trainings(values: Mapping[str, Any]) -> Iterator[str]:
    yield "## training\n"
    yield (
        "A mapping: each entry is a network that is trained into `models/NAME` ([training](../training.md)). "
        "It has these keys and those of its objective.\n"
    )
    columns = {
        f"{where}: {name}": entry for where, of in values.items() for name, entry in (of or {}).items()
    }
    chosen = {where: of for where, of in columns.items() if where.startswith(("demo", "scannet"))}
    yield _table(parameters.Training, chosen, leave_out=("objective",))
    for name in parameters.OBJECTIVES.names():
        if parameters.OBJECTIVES.module(name).partition(".")[0] in OURS:
            entry: Any = parameters.OBJECTIVES.get(name)
            of_kind = {where: of for where, of in chosen.items() if of["kind"] == name}
            yield f"### kind: {name}\n"
            yield _table(entry.settings, of_kind)


def _vocabulary(values: Mapping[str, Any]) -> str:
    lines = [
        "The classes whose capability is measured, and over which features are fused: a list of names.\n"
    ]
    lines += [f"- {where}: {', '.join(names)}" for where, names in values.items() if names]
    return "\n".join(lines) + "\n"


def _table(kind: Any, values: Mapping[str, Any], leave_out: tuple[str, ...] = ()) -> str:
    """The keys of a dataclass, with the value of each in every file."""
    hints, said, rows = typing.get_type_hints(kind), meanings(kind), []
    for field in dataclasses.fields(kind):
        if field.name in leave_out or hints[field.name] is parameters.Sections:
            continue
        key = field.metadata.get("key", field.name)
        cells = [_value((of or {}).get(key)) for of in values.values()]
        rows.append([f"`{key}`", _type(hints[field.name]), said[field.name], *cells])
    head = ["key", "type", "meaning", *values]
    return _markdown(head, rows)


def meanings(kind: Any) -> dict[str, str]:
    """The comment beside each field of a dataclass, or above it. Raises ValueError where there is none."""
    found: dict[str, str] = {}
    for part in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(part):
            continue
        source = textwrap.dedent(inspect.getsource(part))
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        comments = {one.start[0]: one for one in tokens if one.type == tokenize.COMMENT}
        (definition,) = ast.parse(source).body
        assert isinstance(definition, ast.ClassDef)
        for node in definition.body:
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                continue
            beside = comments.get(node.end_lineno or node.lineno)
            said = [] if beside is None else [beside]
            line = node.lineno - 1
            while beside is None and line in comments and comments[line].line.lstrip().startswith("#"):
                said.insert(0, comments[line])
                line -= 1
            if said:
                found[node.target.id] = " ".join(comment.string.lstrip("# ") for comment in said)
    shown = [field.name for field in dataclasses.fields(kind) if field.name not in ("sections", "objective")]
    if missing := [name for name in shown if name not in found]:
        raise ValueError(f"{kind.__name__}.{missing[0]}: write beside the field what it means")
    return found


def _type(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return ", ".join(f"`{one}`" for one in typing.get_args(hint))
    return "list of texts" if typing.get_origin(hint) is tuple else KINDS[hint]


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return (
        ", ".join(map(str, value))
        if isinstance(value, list)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def commands_page() -> str:
    """Every command with its arguments and options. The current folder is the clone."""
    parts = [f"{WRITTEN}\n", COMMANDS]
    for title, names in (("Tools", main.TOOLS), ("Stages", main.stages())):
        parts.append(f"## {title}\n")
        for name in names:
            found = commands(name)
            if len(found) > 1:
                parts.append(f"### anyscene {name}\n\n{_sentence(main.load(name).info.help)}\n")
            for words, function in found.items():
                parts += _command(f"anyscene {words}", function)
    return "\n".join(parts)


def commands(name: str) -> dict[str, Callable[..., object]]:
    """The functions behind `anyscene NAME`, by the words that call them: one, or one for each subcommand."""
    registered = main.load(name).registered_commands
    if len(registered) == 1:
        return {name: registered[0].callback}
    named = {one.name or one.callback.__name__: one.callback for one in registered}
    return {f"{name} {sub}": callback for sub, callback in named.items()}


def taken(function: Callable[..., object]) -> list[Taken]:
    """What a command takes, as typer reads it off the function's signature."""
    found = []
    for one in inspect.signature(function, eval_str=True).parameters.values():
        hint, *notes = (
            typing.get_args(one.annotation)
            if typing.get_origin(one.annotation) is Annotated
            else (one.annotation,)
        )
        info = next((note for note in notes if isinstance(note, ParameterInfo)), None)
        missing = one.default is inspect.Parameter.empty
        argument = isinstance(info, ArgumentInfo) or (info is None and missing)
        # beside `Annotated` the first form of an option stands where its default stood once
        forms = () if info is None else (info.default, *(info.param_decls or ()))
        forms = tuple(form for form in forms if isinstance(form, str))
        default_form = f"--{one.name.strip('_').replace('_', '-')}"
        found.append(
            Taken(
                names=(one.name.upper(),) if argument else forms or (default_form,),
                argument=argument,
                kind=hint,
                default=None if missing else one.default,
                required=missing,
                said=_sentence(None if info is None else info.help),
            )
        )
    return found


def _command(name: str, function: Callable[..., object]) -> Iterator[str]:
    arguments, rows = [], []
    for one in taken(function):
        several = typing.get_origin(one.kind) is list or list in map(
            typing.get_origin, typing.get_args(one.kind)
        )
        if one.argument:
            word = one.names[0] + ("..." if several else "")
            arguments.append(word if one.required else f"[{word}]")
        default = (
            ""
            if one.default is None or one.default is False
            else str(getattr(one.default, "value", one.default))
        )
        names = ", ".join(f"`{option}`" for option in one.names)
        rows.append([names, "" if one.kind is bool else _kind(one.kind), default, one.said])
    yield f"### {name}\n\n{_sentence(inspect.getdoc(function))}\n\nUsage: `{' '.join([name, *arguments])}`\n"
    if rows:
        yield _markdown(["argument or option", "value", "default", "meaning"], rows)


def _kind(hint: Any) -> str:
    """What is written after an option, for people."""
    if parts := [part for part in typing.get_args(hint) if part is not type(None)]:
        return _kind(parts[0])
    if isinstance(hint, type) and issubclass(hint, Enum):
        return ", ".join(f"`{one.value}`" for one in hint)
    return KINDS[hint]


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in lines)


PAGES = {"constants.md": constants_page, "parameters.md": parameters_page, "commands.md": commands_page}

if __name__ == "__main__":
    for file, page in PAGES.items():
        (FOLDER / file).write_text(page())
        sys.stdout.write(f"{FOLDER / file}\n")
