"""params.yaml as frozen, typed sections. Every key is required, and errors name a key that is unknown or has
the wrong type."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from anyscene.errors import ConfigError
from anyscene.project import layout
from anyscene.project.registry import Registry
from anyscene.resizing import Resize

DEFAULTS = Path(__file__).with_name("defaults.yaml")

# Bounds of numbers. A setting has its own where sense has some; these are those of types and of memory.
MOST = 2**31 - 1  # of anything that is counted
LARGEST_SEED = 2**63 - 1
LONGEST_SIDE = 1 << 14  # pixels of an image
MOST_TURNS = 1000  # of a cloud over which predictions are averaged
TAU = (1e-12, 1e12)  # in single precision similarities divided by less are infinite
MOST_CLASSES = 255  # of the vocabulary: their numbers, and one for none, fit into a byte (fusion.UNSEEN)
LONGEST_CLASS = 80  # bytes of a name in the vocabulary: it names a folder, with some of them escaped
BLANK = re.compile(  # letters and marks that show nothing, beside all control and format characters
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # what can name a file or a folder
DEVICE = re.compile(r"auto|(cpu|cuda|mps|xpu)(:\d+)?")
# suffixes of checkpoint files; no tag of open_clip ends in one of them
WEIGHT_FILES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".npz", ".npy")

# Choices that are arguments in the rooms, too.
FeatureStore = Literal["float16", "axes"]
FusionMethod = Literal["capability", "add", "linear", "max"]
PaperOrCode = Literal["paper", "code"]  # which of the two is followed where they differ
AttentionLayers = Literal["all", "last"]
AttentionRecipe = Literal["paper", "code", "resolutions"]
Precision = Literal["float32", "bfloat16", "float16"]
CaptionNouns = Literal["own", "vocabulary"]
NetworkPrecision = Literal["float32", "bfloat16"]
Learnt = Literal["fusion", "labels", "scenes"]
NetworkInput = Literal["geometry", "colour"]
Backend = Literal["auto", "minkowski", "torch"]
ScheduleShape = Literal["linear", "poly", "cosine", "one_cycle"]
Statistics = Literal["own", "shared", "frozen"]
Unpredicted = Literal["error", "ignore"]

OBJECTIVES = Registry("anyscene.objectives")  # the kinds of entries of `training`
RANDOM = "random"  # where an entry of `training` begins from random weights


def within(section: str, values: object, low: float, high: float, *names: str, off: bool = False) -> None:
    """Raise ConfigError where a setting of `values` is outside `low`..`high`, both included. `off`: it may be
    0 as well. section: where it stands in params.yaml; empty for an entry of `training`."""
    for name in names:
        value = getattr(values, name)
        if not (low <= value <= high or (off and value == 0)):
            key = f"{section}.{name}" if section else name
            least = f"0, which is off, or {_short(low)}" if off else _short(low)
            raise ConfigError(f"{key}: must be {least} to {_short(high)}, not {value}")


def _short(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def words(text: str) -> str:
    r"""What a person reads in a text, by which it is compared with others: with small letters, one space for
    all spaces and underscores, and without what shows nothing. Empty where nothing is to be read.

    >>> words("Shower_curtain\u200b "), words("\u200b\n")
    ('shower curtain', '')
    """
    said = BLANK.sub("", unicodedata.normalize("NFKC", text)).casefold().replace("_", " ")
    seen = "".join(
        one for one in said if one.isspace() or unicodedata.category(one) not in ("Cc", "Cf", "Cs")
    )
    return " ".join(seen.split()) if any(unicodedata.category(one)[0] not in "MZ" for one in seen) else ""


def same_words(texts: Iterable[str]) -> tuple[str, str] | None:
    """The first two of `texts` that say the same."""
    known: dict[str, str] = {}
    for text in texts:
        if (said := words(text)) in known:
            return known[said], text
        known[said] = text
    return None


def _not_empty(section: str, values: object, *names: str) -> None:
    """Raise ConfigError where a text is empty."""
    for name in names:
        if not words(getattr(values, name)):
            raise ConfigError(f"{section}.{name}: must not be empty")


def _in_full(key: str, path: str) -> None:
    """Raise ConfigError where a path begins with the home folder, for which DVC knows no sign."""
    if path.startswith("~"):
        raise ConfigError(f"{key}: {path}: DVC does not replace ~; write {Path(path).expanduser()}")


def _different(key: str, names: Sequence[str]) -> None:
    """Raise ConfigError where one of `names` is empty, or stands there twice."""
    for place, name in enumerate(names):
        if not words(name) or name in names[:place]:
            raise ConfigError(f"{key}: {name!r} {'stands there twice' if words(name) else 'is no name'}")


def _classes(names: Sequence[str], where: str = "vocabulary") -> None:
    """Raise ConfigError where a name of the vocabulary cannot be that of a class and of its folder, or two
    name one class."""
    for name in names:
        if not words(name) or not name.isprintable() or len(name.encode()) > LONGEST_CLASS:
            raise ConfigError(
                f"{where}: {name!r} is no name of a class: of 1 to {LONGEST_CLASS} bytes, in one line"
            )
    if twins := same_words(names):
        raise ConfigError(f"{where}: {twins[0]!r} and {twins[1]!r} are one class; leave one out")


def _one_place(key: str, template: str) -> None:
    """Raise ConfigError where a sentence has not exactly one {} for the class."""
    try:
        fits = template.format("\0").count("\0") == 1
    except (IndexError, KeyError, ValueError):
        fits = False
    if not fits:
        raise ConfigError(
            f"{key}: wants one {{}} where the class stands, as in 'a {{}} in a scene', not {template!r}"
        )


class Named(dict[str, Any]):
    """A mapping of params.yaml by name. Nothing changes it, so it can be hashed as sections can."""

    def __hash__(self) -> int:  # type: ignore[override]  # a dict says that it has no hash
        return hash(tuple(self.items()))


@dataclass(frozen=True)
class Sections:
    """Sections of 2D models and readers, by their names. The package of each declares its keys and bounds."""

    values: tuple[tuple[str, Any], ...] = ()  # (name, settings): what a dataclass of the package holds

    def get(self, name: str, where: str) -> Any:
        """The settings of `name`. Raises ConfigError where there are none in the section `where`."""
        for known, settings in self.values:
            if known == name:
                return settings
        raise ConfigError(f"{where}: missing key '{name}'")

    def require(self, names: Sequence[str], entries: Registry, where: str) -> None:
        """Raise ConfigError where one of `names` is an entry that needs settings and there are none."""
        for name in set(names) & set(entries.names()):
            if _settings_of(entries, name) is not None:
                self.get(name, where)


@dataclass(frozen=True)
class Dataset:
    name: str  # the name of the data set in tables; the pipeline builds the data set `demo` itself
    root: str  # the folder of the raw scans
    reader: str  # the form of the scans: an entry point of anyscene.readers
    label_set: str  # the classes of the evaluation: one of anyscene/datasets/label_sets, or a csv file

    sections: Sections = Sections()  # of readers, by their names

    ENTRIES: ClassVar[Registry] = Registry("anyscene.readers")

    def __post_init__(self) -> None:
        _not_empty("dataset", self, "name", "root", "label_set")
        _in_full("dataset.root", self.root)
        if self.reader not in self.ENTRIES.names():
            known = ", ".join(self.ENTRIES.names())
            raise ConfigError(f"dataset.reader: no reader is called {self.reader!r}; known: {known}")
        self.sections.require([self.reader], self.ENTRIES, "dataset")

    def settings(self, name: str) -> Any:
        """The section of the reader `name`. Raises ConfigError where there is none."""
        return self.sections.get(name, "dataset")


@dataclass(frozen=True)
class World:
    """The embedded demo data set."""

    seed: int  # another seed gives another world
    train_rooms: int  # the number of rooms on which networks are trained
    val_rooms: int  # the number of rooms that are evaluated
    views: int  # the number of frames of each room
    width: int  # the width of a frame in pixels
    height: int  # the height of a frame in pixels

    def __post_init__(self) -> None:
        within("world", self, 0, LARGEST_SEED, "seed")
        within("world", self, 0, 100_000, "train_rooms", "val_rooms")
        within("world", self, 1, 100_000, "views")
        within("world", self, 1, LONGEST_SIDE, "width", "height")


@dataclass(frozen=True)
class Text:
    encoder: str  # the text space: minilm, or open_clip:MODEL:PRETRAINED with a tag or a file
    template: str  # the sentence in which class names are encoded, with one {}

    def __post_init__(self) -> None:
        _one_place("text.template", self.template)
        _in_full("text.encoder", str(self.file or ""))

    @property
    def file(self) -> Path | None:
        """The checkpoint that `encoder` names; None where it names a package or a tag of open_clip."""
        pretrained = self.encoder.removeprefix("open_clip:").partition(":")[2]
        known = "/" in pretrained or Path(pretrained).suffix in WEIGHT_FILES
        return Path(pretrained) if self.encoder.startswith("open_clip:") and known else None


@dataclass(frozen=True)
class Segmenters:
    names: tuple[str, ...]  # the 2D models, in the order of the fusion
    weights: str  # the folder that holds a folder of weights for each model
    batch: int  # the number of frames at a time; fewer if a GPU's memory does not suffice
    # the precision of the products in the models; half precision is faster on a GPU and changes labels
    precision: Precision
    # what gives the masks of mask models their adjectives: a module of segmenters/captions (paper, code: tap)
    captioner: Literal["colour", "blip", "tap"]
    # what captions call a mask of a model with labels of its own: own, that label (paper, code); vocabulary,
    # the name of the vocabulary that is closest to it
    nouns: CaptionNouns
    sections: Sections = Sections()  # of registered models, by their names

    ENTRIES: ClassVar[Registry] = Registry("anyscene.segmenters")

    def __post_init__(self) -> None:
        within("segmenters", self, 1, MOST, "batch")
        _not_empty("segmenters", self, "weights")
        _in_full("segmenters.weights", self.weights)
        _different("segmenters.names", self.names)
        if wrong := [name for name in self.names if not WORD.fullmatch(name)]:
            raise ConfigError(f"segmenters.names: {wrong[0]!r} cannot be the name of a folder, as names are")
        self.sections.require(self.names, self.ENTRIES, "segmenters")

    def settings(self, name: str) -> Any:
        """The section of the model `name`. Raises ConfigError where there is none."""
        return self.sections.get(name, "segmenters")


@dataclass(frozen=True)
class Scenes:
    frame_stride: int  # every n-th frame of a scan is used; of nuScenes every n-th keyframe of a drive
    voxel: float  # metres: if a scan has no mesh, points from depth are averaged in cubes of this side
    farthest: float  # metres: depth beyond is no reading where points come from it; about 8 for a Kinect
    # what is done with a scan whose depth maps contradict each other or its mesh; warn: it is kept
    contradictions: Literal["refuse", "warn"]

    def __post_init__(self) -> None:
        within("scenes", self, 1, MOST, "frame_stride")
        within("scenes", self, 0.001, 10.0, "voxel")
        within("scenes", self, 0.1, 100_000.0, "farthest")


@dataclass(frozen=True)
class Superpoints:
    # by the edges of the mesh, by nearest neighbours, or with every point as its own superpoint
    method: Literal["mesh", "points", "identity"]
    k: float  # the scale of the graph segmentation: a larger one merges more
    min_vertices: int  # smaller superpoints are joined to a neighbour
    neighbours: int  # the number of neighbours of each point in the graph, if there are no faces

    def __post_init__(self) -> None:
        within("superpoints", self, 1e-9, 1e9, "k")
        within("superpoints", self, 1, MOST, "min_vertices")
        within("superpoints", self, 1, 1000, "neighbours")


@dataclass(frozen=True)
class Projection:
    width: int  # the width in pixels of the frames that 2D models see
    height: int  # the height in pixels of the frames that 2D models see
    # how frames get that size: smoothed, or by the nearest pixel (OpenScene's and SAS's code indoors), or
    # between four pixels (OpenScene's for nuScenes); depth is never mixed
    resize: Resize
    tolerance: float  # a visible point lies at most this share of the measured depth away from it
    border: int  # the width in pixels of a frame's margin, in which no point counts as seen
    store: FeatureStore  # how features of points lie on disk (docs/notes/feature-stores.md)

    def __post_init__(self) -> None:
        within("projection", self, 1, LONGEST_SIDE, "width", "height")
        within("projection", self, 0, 1, "tolerance")
        within("projection", self, 0, LONGEST_SIDE, "border")
        if 2 * self.border >= min(self.width, self.height):
            raise ConfigError(
                f"projection.border: {self.border} pixels on each side leave nothing of "
                f"{self.width}x{self.height}; it must be less than {min(self.width, self.height) / 2:g}"
            )


@dataclass(frozen=True)
class Synthesis:
    diffusion: str  # the folder of a text-to-image pipeline, as diffusers saves it
    sam: str  # a published checkpoint of SAM, or a folder with sam.json
    images: int  # the number of images of each class
    seed: int  # the seed of the first image of a class; image i has seed + i
    batch: int  # the number of images at a time; a CPU always paints one
    prompt: str  # the prompt of the text-to-image model, with one {} for the class name
    steps: int  # the number of denoising steps
    guidance: float  # how much the prompt counts (classifier-free guidance)
    guidance_rescale: float  # reduces overexposure by guidance (Lin et al. 2024); 0: off
    # how attention maps are averaged (docs/method.md); code: with the exceptions of SAS's code for "sofa" and
    # a few more; resolutions: without them
    attention_recipe: AttentionRecipe
    attention_layers: AttentionLayers  # of the UNet: all, or those of its last block
    attention_threshold: float  # pixels with more attention are in the coarse mask; 0 to 1
    # which points of the coarse mask prompt SAM: the deepest, or those of SAS's code; the paper says no more
    # than that they are several
    point_recipe: PaperOrCode
    sam_channels: Literal["rgb", "bgr"]  # the order in which SAM gets colours: its own, or that of SAS's code

    def __post_init__(self) -> None:
        within("synthesis", self, 1, 100_000, "images")
        within("synthesis", self, 0, LARGEST_SEED, "seed")
        within("synthesis", self, 1, MOST, "batch")
        within("synthesis", self, 1, 1000, "steps")  # those that a model was trained with
        within("synthesis", self, 0, 1000, "guidance")
        within("synthesis", self, 0, 1, "guidance_rescale", "attention_threshold")
        _one_place("synthesis.prompt", self.prompt)
        _not_empty("synthesis", self, "diffusion", "sam")
        _in_full("synthesis.diffusion", self.diffusion)
        _in_full("synthesis.sam", self.sam)


@dataclass(frozen=True)
class Capability:
    pooled: bool  # true: IoU of sums over images (released code); false: the mean of the images' IoU (paper)
    # a class beside the vocabulary of which no model is capable, "other" in SAS's code: 2D models may answer
    # it instead of a name, and where the first one does, its feature stays as it is; empty: none
    other: str


@dataclass(frozen=True)
class Fusion:
    method: FusionMethod  # how 2D models are weighed (docs/method.md)
    tau: float  # the temperature of the softmax over 2D models; towards 0 the most capable model wins
    normalise: bool  # whether the capabilities at a point are divided by their sum first
    point_features: bool  # whether features of points are kept beside those of superpoints

    def __post_init__(self) -> None:
        within("fusion", self, *TAU, "tau")


@dataclass(frozen=True)
class Network:
    variant: Literal["14A", "18A", "34C", "small"]  # the variant of MinkUNet
    backend: Backend  # the backend of the sparse convolutions; auto is torch
    precision: NetworkPrecision  # the precision of the torch backend's products
    width: float  # a factor for the number of channels of every layer
    bias: bool  # whether a random last layer has one; weights that are loaded say it themselves
    input: NetworkInput  # what the network sees of a voxel: a 1, or its colour
    voxel: float  # the side of a voxel in metres

    def __post_init__(self) -> None:
        within("network", self, 0.001, 10.0, "voxel")
        # the narrowest layer of any variant has 16 channels (networks.minkunet.VARIANTS)
        within("network", self, 1 / 16, 16, "width")


@dataclass(frozen=True)
class Augmentation:
    # scenes turn about the vertical: by any angle, or by right angles and up to 2.8 degrees more
    turn: Literal["free", "quarter"] = "free"
    elastic: float = 0.95  # the probability that a scene is distorted elastically, 0 to 1
    mirror: float = 1.0  # the probability that a scene may be mirrored: then x, y, both or none, each alike
    # scenes are moved along each axis by a whole number of voxels below this, so that the network's coarser
    # levels divide them elsewhere at each step; 0: they are not
    shift: int = 0
    enabled: bool = True  # false: clouds and their colours stay as they are

    def __post_init__(self) -> None:
        within("augmentation", self, 0, 1, "elastic", "mirror")
        within("augmentation", self, 0, 1024, "shift")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained, with any objective. Errors name only the key, not the entry of `training`."""

    seed: int  # the seed of weights, order and augmentation
    steps: int  # how often the weights are changed
    batch: int  # the number of scenes at a time, in all processes together
    accumulate: int = 1  # the number of batches in a step
    optimiser: Literal["adam", "adamw"] = "adam"  # adamw if weights decay
    learning_rate: float  # the rate at the end of the warmup
    final_learning_rate: float  # the rate at the last step
    # how the rate falls from `learning_rate` to `final_learning_rate`
    schedule: ScheduleShape = "linear"
    warmup: int = 0  # the number of first steps, in which the rate rises
    weight_decay: float = 0.0  # the decay of all weights except norms and biases; needs adamw
    clip: float = 0.0  # the norm to which gradients are clipped; 0: off
    ema: float = 0.0  # the momentum of an average of the weights, which is saved instead of them; 0: off
    # the statistics that normalise: those of each process, those of all together, or the loaded ones
    batch_norm: Statistics = "own"

    def __post_init__(self) -> None:
        within("", self, 1, MOST, "steps", "batch", "accumulate")
        within("", self, 0, LARGEST_SEED, "seed")
        within("", self, 0, 1, "learning_rate", "final_learning_rate")
        within("", self, 0, MOST, "warmup")
        within("", self, 0, 100, "weight_decay")
        within("", self, 1e-6, 1e6, "clip", off=True)
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema: {self.ema} is not a share of 0 (none) or more and less than 1")
        if self.weight_decay and self.optimiser != "adamw":
            raise ConfigError(
                f"weight_decay: {self.weight_decay} needs the optimiser adamw; with any other it must be 0"
            )


@dataclass(frozen=True, kw_only=True)
class Training(Recipe):
    """A network that is trained: an entry of `training`."""

    kind: str  # the objective: an entry point of anyscene.objectives
    title: str  # the name of the network in tables and in the viewer
    start: str = dataclasses.field(metadata={"key": "from"})  # random, another entry, or a path under models/
    target: Learnt  # the folder of data/ that it learns from
    beside: Learnt  # another one, `scenes` where it needs none; labels are for supervised objectives alone
    objective: Any  # the objective's own keys: the Settings of its kind

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, text in {"title": self.title, "from": self.start}.items():
            if not words(text):
                raise ConfigError(f"{key}: must not be empty")
        if self.batch_norm == "frozen" and self.start == RANDOM:
            raise ConfigError(
                f"batch_norm: frozen keeps the statistics of the network that it begins from; {RANDOM} "
                "weights need own ones"
            )


@dataclass(frozen=True)
class Evaluation:
    split: Literal["train", "val", "test"]  # the split whose scenes are scored
    # points without a prediction count as errors (ScanNet), or are left out (as of OpenScene's IoU)
    unpredicted: Unpredicted
    bootstrap: int  # how often scenes are drawn again for the intervals
    # whether rows of controls are scored too, and true IoU is measured, by 2D models on all annotated frames
    controls: bool
    shuffles: int  # permutations of the capability over which the control "shuffled" is averaged
    seed: int  # the seed of the bootstrap and of the shuffles
    turns: int  # the number of equal turns about the vertical over which predictions are averaged; 1: off
    # further label sets by which the same rows are scored, as the paper scores one network by four
    label_sets: tuple[str, ...]
    sections: Sections = Sections()  # of tasks, by their names

    ENTRIES: ClassVar[Registry] = Registry("anyscene.tasks")

    def __post_init__(self) -> None:
        _different("evaluation.label_sets", tuple(Path(name).stem for name in self.label_sets))
        within("evaluation", self, 1, 1_000_000, "bootstrap")
        within("evaluation", self, 1, MOST_TURNS, "turns")
        within("evaluation", self, 0, 10_000, "shuffles")
        within("evaluation", self, 0, LARGEST_SEED, "seed")


@dataclass(frozen=True)
class Report:
    scenes: int  # the number of scenes that the page shows

    def __post_init__(self) -> None:
        within("report", self, 0, MOST, "scenes")


@dataclass(frozen=True)
class Runtime:
    workers: int  # the number of processes of stages that work scene by scene; 0: one for each core
    device: str  # auto, cpu, cuda, cuda:1, ...
    device_memory_gib: float  # the GiB that a process may take of a GPU's memory; 0: all of it
    memory_gib: float  # the GiB that a stage's workers may take together for what grows with a scene
    checkpoint_seconds: float  # the seconds between two checkpoints of a training
    failures: int  # how many scenes may fail in a stage; they are left out and named

    def __post_init__(self) -> None:
        within("runtime", self, 0.1, 100_000.0, "device_memory_gib", off=True)
        within("runtime", self, 0, 4096, "workers")
        within("runtime", self, 0, MOST, "checkpoint_seconds", "failures")
        if not DEVICE.fullmatch(self.device):
            raise ConfigError(
                f"runtime.device: {self.device!r} is not a device; use auto, cpu, cuda or cuda:1"
            )
        within("runtime", self, 1e-9, 1_000_000.0, "memory_gib")


@dataclass(frozen=True)
class Params:
    dataset: Dataset
    world: World
    vocabulary: tuple[str, ...]
    text: Text
    segmenters: Segmenters
    scenes: Scenes
    superpoints: Superpoints
    projection: Projection
    synthesis: Synthesis
    capability: Capability
    fusion: Fusion
    network: Network
    augmentation: Augmentation
    training: dict[str, Training] = dataclasses.field(hash=False)  # by name
    evaluation: Evaluation
    report: Report
    runtime: Runtime

    def __post_init__(self) -> None:
        if not 1 <= len(self.vocabulary) <= MOST_CLASSES - len(self.others):
            count = len(self.vocabulary)
            raise ConfigError(f"vocabulary: must name 1 to {MOST_CLASSES} classes, not {count}")
        _classes(self.vocabulary)
        _classes((*self.vocabulary, *self.others), "capability.other")
        _check_names(self)
        for name in self.training:
            chain = [name]
            while (start := self.training[chain[-1]].start) in self.training:
                chain.append(start)
                if start in chain[:-1]:
                    raise ConfigError(f"training: no network comes first in {' from '.join(chain)}")

    @property
    def others(self) -> tuple[str, ...]:
        """What 2D models may answer beside the vocabulary: `capability.other`, or nothing."""
        return (self.capability.other,) if self.capability.other else ()


def _check_names(params: Params) -> None:
    """Raise ConfigError where the name of an entry of `training` cannot be a folder of its own in models/."""
    others = (params.segmenters.weights, params.synthesis.diffusion, params.synthesis.sam)
    for name in params.training:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", name) or name in (RANDOM, "fusion"):
            raise ConfigError(
                f"training: {name!r} cannot name a network; take another word of letters and digits, at "
                "most 100"
            )
        for path in others:
            if Path(path).is_relative_to(layout.NETWORKS / name):
                raise ConfigError(f"training.{name}: models/{name} holds {path} already; take another name")


def missing_starts(params: Params, models: Path) -> dict[str, Path]:
    """The networks that entries of `training` begin from and that are missing: neither another entry nor in
    the folder `models`. By the name of the entry."""
    paths = {
        name: models / entry.start
        for name, entry in params.training.items()
        if entry.start != RANDOM and entry.start not in params.training
    }
    return {name: path for name, path in paths.items() if not path.exists()}


def load(path: Path | str = layout.PARAMETERS) -> Params:
    """Read and check the parameters. Raises ConfigError naming the file and the key."""
    return parse(read(path), str(path))


def defaults() -> Params:
    """The built-in values, in DEFAULTS, which the tools use outside a project."""
    return load(DEFAULTS)


def read(path: Path | str = layout.PARAMETERS) -> Any:
    """The values in the file, unchecked. It is YAML 1.2, as DVC reads and writes it: 1e-05 is a number, and
    `no` is text. Raises ConfigError where it is missing, not YAML, or has a key twice."""
    try:
        return YAML(typ="safe").load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; run in the folder that holds params.yaml") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 ({error}); save it as UTF-8") from error
    except (YAMLError, ValueError, RecursionError) as error:  # such as a date of month 13
        raise ConfigError(f"{path}: not valid YAML: {_problem(error)}") from error


def _problem(error: Exception) -> str:
    """What is wrong, and in which line, as one line."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    if problem is None or mark is None:
        return " ".join(str(error).split())
    return f"{problem} in line {mark.line + 1}"


def parse(values: Any, where: str) -> Params:
    """Check `values`, which the file `where` holds. Raises ConfigError naming the file and the key."""
    try:
        params: Params = _typed(values, Params, where)
    except ConfigError as error:
        raise ConfigError(_in_file(where, error)) from error
    return params


def _in_file(where: str, error: ConfigError) -> str:
    """What is said of a value of the file `where`. A section that refuses a value knows no file."""
    return str(error) if str(error).startswith(f"{where}: ") else f"{where}: {error}"


def plain(section: Any) -> dict[str, Any]:
    """A section as a plain dict, for content keys."""
    return dataclasses.asdict(section)


def _typed(value: Any, kind: Any, where: str) -> Any:
    """`value` converted to the type `kind`. Raises ConfigError that says where the value stands."""
    if kind is Training:
        return _training(value, where)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _section(value, kind, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        if value not in arguments or isinstance(value, bool) != isinstance(arguments[0], bool):
            raise ConfigError(f"{where}: {value!r} is not one of {', '.join(map(repr, arguments))}")
        return value
    if origin is types.UnionType:  # only `X | None`
        return None if value is None else _typed(value, arguments[0], where)
    if origin is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{where}: expected a list, not {value!r}")
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(kinds) != len(value):
            raise ConfigError(f"{where}: expected {len(kinds)} values, not {len(value)}")
        return tuple(
            _typed(item, k, f"{where}[{i}]") for i, (item, k) in enumerate(zip(value, kinds, strict=True))
        )
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected a mapping, not {value!r}")
        key, item = arguments
        return Named({_typed(k, key, where): _typed(v, item, f"{where}.{k}") for k, v in value.items()})
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            digits = len(str(abs(value)))
            raise ConfigError(
                f"{where}: expected a number below 1.8e308, not one of {digits} digits"
            ) from error
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"{where}: expected {kind.__name__}, not {value!r}")
    return value


def _keys(kind: type) -> dict[str, tuple[str, Any]]:
    """The (name, type) of every field of the dataclass `kind`, by its key in the file."""
    kinds = typing.get_type_hints(kind)
    return {f.metadata.get("key", f.name): (f.name, kinds[f.name]) for f in dataclasses.fields(kind)}


def _fields(value: Any, keys: Mapping[str, tuple[str, Any]], where: str) -> dict[str, Any]:
    """The values of a section by the names of its fields. Raises ConfigError where it has not exactly these
    keys."""
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected a section, not {value!r}")
    if unknown := [key for key in value if key not in keys]:
        raise ConfigError(f"{where}: unknown key '{unknown[0]}'; known: {', '.join(keys)}")
    if missing := [key for key in keys if key not in value]:
        raise ConfigError(f"{where}: missing key '{missing[0]}'")
    return {
        name: _typed(value[key], kind, f"{where}: {key}" if ": " not in where else f"{where}.{key}")
        for key, (name, kind) in keys.items()
    }


def _training(value: Any, where: str) -> Training:
    """An entry of `training`: the keys of every entry, and those of the Settings of its kind."""
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected a section, not {value!r}")
    common = _keys(Training)
    del common["objective"]
    if not isinstance(value.get("kind"), str):
        raise ConfigError(f"{where}: missing key 'kind'; there are {', '.join(OBJECTIVES.names())}")
    try:
        entry: Any = OBJECTIVES.get(value["kind"])
    except ConfigError as error:
        raise ConfigError(f"{where}.kind: {error}") from error
    own = _keys(entry.settings)
    if unknown := [key for key in value if key not in common | own]:
        raise ConfigError(f"{where}: unknown key '{unknown[0]}'; known: {', '.join(common | own)}")
    fields = _fields({key: value[key] for key in value if key not in own}, common, where)
    of_objective = _fields({key: value[key] for key in value if key in own}, own, where)
    _check_labels({key: fields[key] for key in ("target", "beside")}, value["kind"], entry.supervised, where)
    try:
        return Training(**fields, objective=entry.settings(**of_objective))
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}") from error


def _check_labels(learnt: Mapping[str, str], kind: str, supervised: bool, where: str) -> None:
    """Raise ConfigError where an objective that is not supervised is given labels, or one that is gets
    none."""
    given = [key for key, folder in learnt.items() if folder == "labels"]
    if bool(given) != supervised:
        key = given[0] if given else "target"
        needs = "learns from labels" if supervised else "is not supervised, so it sees no labels"
        raise ConfigError(f"{where}.{key}: {learnt[key]!r} does not fit: {kind} {needs}")


def _section(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected a section, not {value!r}")
    keys = {key: of for key, of in _keys(kind).items() if of[1] is not Sections}
    entries = getattr(kind, "ENTRIES", None)
    offered = {} if entries is None else _offered(entries, value.keys() - keys)
    if unknown := [key for key in value if key not in keys and key not in offered]:
        raise ConfigError(f"{where}: unknown key '{unknown[0]}'; {_known(unknown[0], keys, entries, where)}")
    found = _fields({key: value[key] for key in value if key not in offered}, keys, where)
    if entries is not None:
        of_entries = {name: (name, of) for name, of in offered.items()}
        sections = _fields({name: value[name] for name in offered}, of_entries, where)
        found["sections"] = Sections(tuple(sections.items()))
    return kind(**found)


def _known(key: str, keys: Iterable[str], entries: Registry | None, where: str) -> str:
    """Where in a section `key` belongs: in those of its entries that have such a key; else what is known."""
    of_entries = {} if entries is None else {name: _settings_of(entries, name) for name in entries.names()}
    wanting = {name: kind for name, kind in of_entries.items() if kind is not None}
    section = where.rpartition(": ")[2]
    if owners := [f"{section}.{name}.{key}" for name, kind in wanting.items() if key in _keys(kind)]:
        return f"set {' or '.join(owners)}"
    return f"known: {', '.join([*keys, *wanting])}"


def _offered(entries: Registry, keys: Iterable[str]) -> dict[str, type]:
    """The settings type of each entry that one of `keys` names, sorted by name."""
    kinds = {name: _settings_of(entries, name) for name in sorted(keys) if name in entries.names()}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def _settings_of(entries: Registry, name: str) -> type | None:
    return getattr(entries.get(name), "settings", None)
