"""Pictures as files, whose form their ending tells."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from anyscene.arrays import U1
from anyscene.project import outputs

FORMS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}  # as Pillow calls them


def check(path: Path) -> None:
    """Raise OutputError where no picture can be written at `path`."""
    outputs.check(path, *FORMS)


def write(path: Path, pixels: U1, few_colours: bool = False) -> None:
    """Write a picture u1[H, W, 3], as PNG where the path has no ending of FORMS. With `few_colours` a PNG
    file gets a palette of 256. Raises OutputError where it cannot be written."""
    form, image = FORMS.get(path.suffix.lower(), "PNG"), Image.fromarray(pixels)
    content = io.BytesIO()  # to a file of a full disk Pillow writes half a JPEG, without a word
    if few_colours and form == "PNG":
        image.quantize(256).save(content, form, optimize=True)
    else:
        image.save(content, form)
    outputs.write(path, content.getvalue())
