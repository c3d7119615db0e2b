"""The stages of the pipeline, one thin file each. They run the package of the clone that they are in, also
where DVC computes an experiment in a copy of the clone."""

import sys
from pathlib import Path

SOURCE = str(Path(__file__).parents[1] / "pipeline")
if sys.path[0] != SOURCE:
    sys.path.insert(0, SOURCE)
