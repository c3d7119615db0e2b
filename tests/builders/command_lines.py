"""Whether a command line that a page shows is one that there is."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shlex
import typing
from enum import Enum

from dvc.cli import parse_args
from dvc.cli.parser import DvcParserError

from anyscene.cli import main
from docs.reference import write
from tests.builders import REPOSITORY

ELSEWHERE = {
    "cd",
    "cp",
    "export",
    "git",
    "mkdir",
    "pip",
    "source",
    "wait",
    ".",
}  # programs that are not ours to check
TARGETS = re.compile(r"^([a-z]+):", re.MULTILINE)
ANY = {"STAGE": "fusion", "COMMAND": "query"}  # words that stand for any


class WrongCommandError(Exception):
    """A command line that would fail."""


def commands(code: str) -> list[list[str]]:
    """The words of every command of a script, without comments, redirections and variables set for it."""
    found = []
    for line in code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in lexer:
            if word in {";", "&", "&&", "||", "|"}:
                found.append(words)
                words = []
            elif word in {"<", ">", ">>"}:
                next(lexer, None)
            elif words or not re.fullmatch(r"[A-Z_]+=.*", word):
                words.append(word)
        found.append(words)
    return [words for words in found if words]


def check(words: list[str]) -> None:
    """Raises WrongCommandError for a command that is not there, or does not take these words. The current
    folder is the clone."""
    program, *rest = words
    if program == "anyscene":
        _check_ours(rest)
    elif program == "make":
        there = TARGETS.findall((REPOSITORY / "Makefile").read_text())
        _require(all(word in there for word in rest if "=" not in word), f"no such target: {rest}")
    elif program == "dvc":
        _check_dvc(rest)
    elif program in {"python", "torchrun"} and "-m" in rest:
        module, *arguments = rest[rest.index("-m") + 1 :]
        _require(_is_module(module), f"no module {module}")
        if module.startswith("stages."):
            _check_ours([module.partition(".")[2], *arguments])
    else:
        _require(program in ELSEWHERE, f"{program}: say above the block why it is not run")


def _check_ours(words: list[str]) -> None:
    """words: of a command line, after `anyscene`."""
    if not words or words[0].startswith("-"):
        _require(set(words) <= {"--help", "--version"}, f"no such option: {words}")
        return
    name = ANY.get(words[0], words[0])
    _require(name in main.TOOLS or name in main.stages(), f"no command {name}")
    known = write.commands(name)
    called = name if len(known) == 1 else " ".join(words[:2])
    _require(called in known, f"no command {called}")
    taken = write.taken(known[called])
    options = {form: one for one in taken if not one.argument for form in one.names}
    given, waiting = [], words[len(called.split()) :]
    while waiting:
        word, *waiting = waiting
        form, equals, value = word.partition("=")
        if not word.startswith("--"):
            given.append(word)
        elif form != "--help":
            _require(form in options, f"anyscene {called} has no option {form}")
            if options[form].kind is not bool:
                _require(bool(equals or waiting), f"{form} wants a value")
                value, *waiting = [value, *waiting] if equals else waiting
                _check_choice(options[form].kind, value)
    arguments = [one for one in taken if one.argument]
    _require(
        len(given) >= sum(one.required for one in arguments), f"anyscene {called} wants more than {given}"
    )
    several = any("list" in str(one.kind) for one in arguments)
    _require(several or len(given) <= len(arguments), f"anyscene {called} wants less than {given}")


def _check_choice(kind: object, value: str) -> None:
    for one in (kind, *typing.get_args(kind)):
        if isinstance(one, type) and issubclass(one, Enum):
            _require(value in [choice.value for choice in one], f"{value} is none of {list(one)}")


def _check_dvc(words: list[str]) -> None:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            parse_args(words)
    except (DvcParserError, SystemExit) as error:
        raise WrongCommandError(f"dvc {' '.join(words)}: {said.getvalue()}") from error


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _require(fine: bool, otherwise: str) -> None:
    if not fine:
        raise WrongCommandError(otherwise)
