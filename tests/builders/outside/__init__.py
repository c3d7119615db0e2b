"""A package of somebody else's: a 2D model without weights, a reader, an objective and a task.

`outside_models/` is its source, and imports nothing of the tests. `install` puts it where pip would.
"""

from __future__ import annotations

import shutil
from pathlib import Path

SOURCE = Path(__file__).parent / "outside_models"
ENTRY_POINTS = """
[anyscene.segmenters]
brightness = outside_models.brightness:ENTRY

[anyscene.readers]
boxes = outside_models.boxes:ENTRY

[anyscene.objectives]
evenness = outside_models.evenness:ENTRY

[anyscene.tasks]
height = outside_models.height:Height
"""


def install(site: Path) -> Path:
    """Copy the package and its metadata into `site`, a folder for sys.path. Returns it."""
    shutil.copytree(SOURCE, site / SOURCE.name, ignore=shutil.ignore_patterns("__pycache__"))
    info = site / "outside_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return site
