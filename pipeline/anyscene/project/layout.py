"""Where the pipeline's artefacts lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Relative to the project, the folder of params.yaml.
PARAMETERS = Path("params.yaml")
DVC = Path("dvc.yaml")
STAGES = Path("stages")  # a file for each stage
DATA = Path("data")
DEMO = Path("data/demo")  # the furniture of the demo
WORLD = Path("data/world")  # the demo's raw scans
SCENES = Path("data/scenes")
LABELS = Path("data/labels")
SUPERPOINTS = Path("data/superpoints")
PROJECTION = Path("data/projection")  # a folder for each 2D model
SYNTHESIS = Path("data/synthesis")
CAPABILITY = Path("data/capability")  # a file for each 2D model
FUSION = Path("data/fusion")
FRAMES = Path("data/frames")  # the images that 2D models are shown, for those that run elsewhere
INDEX = Path("data/index")  # a file for each folder of artefacts, which says when their values are others
TRAINED = Path("data/networks")  # a file for each trained network, which says when another one is in models/
FRESHNESS = Path("data/freshness.json")  # what the stages are made by now
NETWORKS = Path("models")  # a folder for each trained network
DEMO_MODELS = Path("models/demo")  # the small 2D models of the demo, and what its networks begin from
REPORTS = Path("reports")
METRICS = Path("reports/metrics.json")
SUMMARY = Path("reports/summary.json")
PLOTS = Path("reports/plots")
PAGE = Path("reports/index.html")
TIMINGS = Path("reports/timings.html")
INSTANCES = Path("reports/instances.json")
THROUGHPUT = Path("reports/throughput.json")
# These may be deleted at any time: what they hold is found again.
CHECKPOINTS = Path(".cache/training")  # a folder for each training that is not finished
CURVES = Path(".cache/curves")  # likewise: what is known of its curve, until its network is saved
DIGESTS = Path(".cache/digests")  # the hashes of files
CODE = Path(".cache/code.json")  # what is known of source files, by path, size and time
TIMES = Path(".cache/timings")  # how long stages took, a file for each
ZOO = Path(".cache/zoo")  # what the models of the demo are trained on


def index(folder: Path | str) -> Path:
    """The file of a folder of artefacts in INDEX: data/index/scenes.json of data/scenes. Of data/projection,
    which holds a folder for each 2D model, the folder of their files."""
    below = INDEX / Path(folder).relative_to(DATA)
    return below if Path(folder) == PROJECTION else below.with_name(f"{below.name}.json")


@dataclass(frozen=True)
class Artefacts:
    """The folders that stages write, below the folder of params.yaml."""

    root: Path = Path(".")

    def data(self, stage: str) -> Path:
        """The folder data/STAGE: scenes, labels, superpoints, projection/MODEL, synthesis, fusion."""
        return self.root / DATA / stage

    def model(self, name: str) -> Path:
        """The folder of a trained network, models/NAME."""
        return self.networks / name

    @property
    def networks(self) -> Path:
        """The folder that holds a folder for each trained network."""
        return self.root / NETWORKS

    @property
    def reports(self) -> Path:
        """The folder of what people read: scores, page, plots."""
        return self.root / REPORTS

    def has(self, folder: Path) -> bool:
        """Whether a stage has finished something there."""
        return folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir())
