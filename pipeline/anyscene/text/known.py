"""Which names can stand in `text.encoder`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from anyscene.errors import TextError

if TYPE_CHECKING:
    from anyscene.project.parameters import Text


def require_known(section: Text) -> None:
    """Raise TextError where `section.encoder` names no encoder: no model of open_clip or, where its weights
    are no file, no tag of that model.

    Nothing is loaded, and a file need not be there yet. Without open_clip only the form of the name is
    checked.
    """
    kind, _, rest = section.encoder.partition(":")
    if section.encoder == "minilm":
        return
    if kind != "open_clip" or not rest:
        raise TextError(f"text.encoder is {section.encoder!r}; use minilm or open_clip:MODEL:PRETRAINED")
    package = importlib.util.find_spec("open_clip")
    if package is None or package.origin is None:
        return
    model, _, pretrained = rest.partition(":")
    # as open_clip.list_models() finds them; importing it takes seconds, and only tags need it
    if not (Path(package.origin).parent / "model_configs" / f"{model}.json").is_file():
        raise TextError(
            f"text.encoder: open_clip knows no model {model!r}; `open_clip.list_models()` lists them"
        )
    if pretrained and section.file is None:
        import open_clip

        tags = open_clip.list_pretrained_tags_by_model(model)
        if pretrained not in tags:
            raise TextError(
                f"text.encoder: open_clip has no weights {pretrained!r} of {model}; give "
                f"{' or '.join(tags) or 'no tag'}, or the path of a checkpoint"
            )
