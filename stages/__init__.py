"""The stages of the pipeline, one thin file each. They run the package of their own clone, also where DVC
computes an experiment in a copy of it."""

import sys
from pathlib import Path

SOURCE = str(Path(__file__).parents[1] / "pipeline")
if sys.path[0] != SOURCE:
    sys.path.insert(0, SOURCE)
