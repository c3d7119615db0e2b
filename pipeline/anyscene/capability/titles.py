"""The names that tables use for a text-to-image pipeline and a SAM. They follow from the path; nothing is
loaded."""

from __future__ import annotations

from pathlib import Path

from anyscene.weights.catalogue import SAM_KINDS

# In the folder of a pipeline that takes token states of our own text encoder, as the demo's does.
CONDITION = "condition.json"
PAINTERS = {"stable-diffusion-v1-5": "sd15", "stable-diffusion-xl-base-1.0": "sdxl"}


def painter(folder: str) -> str:
    """The name of the text-to-image pipeline in `folder`: "sd15", "sdxl" or "diffusion (demo)"; else the
    folder."""
    if (Path(folder) / CONDITION).is_file():
        return "diffusion (demo)"
    return PAINTERS.get(Path(folder).name, folder)


def sam(path: str) -> str:
    """The name of the SAM at `path`: "sam vit_h" and the like, or "sam (demo)"."""
    kinds = [kind for kind in SAM_KINDS if kind in Path(path).name]
    return f"sam {kinds[0]}" if kinds else "sam (demo)"
