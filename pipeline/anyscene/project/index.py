"""data/index: a file for each folder of artefacts, by which DVC tells whether any of them has other values.

The stages that read a folder depend in DVC on this file. DVC would look at every file and folder of every
artefact instead, several times a stage: of 2,000 scenes these are 30,000.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from anyscene.project import layout, outputs, store


def write(folder: Path) -> None:
    """Write the file of `folder`: the name of the values of every artefact in it, by scene, and the scenes
    that its stage left out. Raises StoreError where one does not say how it was made."""
    named = {scene: _values(store.scene_path(folder, scene)) for scene in store.scene_ids(folder)}
    content = {"artefacts": named, "failed": store.failed(folder)}
    outputs.write(layout.index(folder), json.dumps(content, indent=1) + "\n")


def _values(artefact: Path) -> str:
    """16 digits that stay the same where only what made the artefact is another: code, packages, inputs that
    gave the same values."""
    made, told = store.made(artefact), store.told(artefact)
    of = json.dumps([made.key, made.content, told], sort_keys=True)
    return hashlib.sha256(of.encode()).hexdigest()[:16]
