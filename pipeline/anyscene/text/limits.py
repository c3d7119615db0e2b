"""Texts that an encoder does not take as they are: those without anything to read, bytes that are no text,
and those that are longer than it reads."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from anyscene.errors import CutText, TextError
from anyscene.project.parameters import words

SHOWN = 40  # characters of a text in a message


@runtime_checkable
class Limited(Protocol):
    """An encoder that reads only the beginning of a long text."""

    def beyond(self, text: str) -> str:
        """The end of the text that it does not read; empty where it reads all."""
        ...


def require_text(text: str) -> None:
    """Raise TextError where there is nothing in the text to be found, or it is not text."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TextError(f"{text!r}: has bytes that are no UTF-8; write it in UTF-8") from error
    if not words(text):
        raise TextError(f"{text!r}: an empty text means nothing; say what to find")


def require_question(text: str, negative: Iterable[str] = ()) -> None:
    """Raise TextError where `text` or a `negative` one is no text, or one of these says the same as it."""
    require_text(text)
    for one in negative:
        require_text(one)
        if words(one) == words(text):
            raise TextError(f"{text!r} is looked for, and {one!r} is not meant: they are one; leave one out")


def beyond(encoder: object, text: str) -> str:
    """The end of the text that the encoder does not read."""
    return encoder.beyond(text) if isinstance(encoder, Limited) else ""


def said(text: str, left_out: str) -> str:
    """What a user is told of a text whose end is left out."""
    begins, ends = (one if len(one) <= SHOWN else f"{one[:SHOWN]}..." for one in (text, left_out))
    return (
        f"{begins!r}: longer than the text encoder reads; its last {len(left_out):,} characters are left "
        f"out, from {ends!r} on"
    )


def warn(text: str, left_out: str) -> None:
    """Say it as a CutText warning."""
    warnings.warn(said(text, left_out), CutText, stacklevel=2)
