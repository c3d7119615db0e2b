"""params.yaml as frozen, typed sections. Every key is required; an unknown or ill-typed one is named."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import yaml

from anyscene.errors import ConfigError
from anyscene.project.registry import Registry

DEFAULTS = Path(__file__).with_name("defaults.yaml")

INFINITE = float("inf")
# endings of checkpoints: no tags of open_clip end so
WEIGHT_FILES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".npz", ".npy")


def _positive(section: str, values: object, *names: str) -> None:
    """Raises ConfigError for a value that is not above 0, or infinite."""
    for name in names:
        value = getattr(values, name)
        if not 0 < value < INFINITE:
            raise ConfigError(f"{section}.{name}: must be more than 0, not {value}")


def _between(section: str, values: object, low: float, high: float, *names: str) -> None:
    """Raises ConfigError for a value outside `low`..`high`, both included; infinite ones are outside."""
    for name in names:
        value = getattr(values, name)
        if not (low <= value <= high and value < INFINITE):
            bounds = f"at least {low:g}" if high == INFINITE else f"{low:g} to {high:g}"
            raise ConfigError(f"{section}.{name}: must be {bounds}, not {value}")


def _one_place(key: str, template: str) -> None:
    """Raises ConfigError for a sentence without exactly one {} for the class."""
    try:
        fits = template.format("\0").count("\0") == 1
    except (IndexError, KeyError, ValueError):
        fits = False
    if not fits:
        raise ConfigError(
            f"{key}: wants one {{}} where the class stands, as in 'a {{}} in a scene', not {template!r}"
        )


class Named(dict):
    """A mapping of params.yaml by name. Nobody changes it, so it can be hashed as sections can."""

    def __hash__(self) -> int:
        return hash(tuple(self.items()))


@dataclass(frozen=True)
class Sections:
    """Sections whose keys and bounds a package declares: of 2D models and readers, by their names."""

    values: tuple[tuple[str, Any], ...] = ()  # (name, settings): what a dataclass of the package holds

    def get(self, name: str, where: str) -> Any:
        """The settings of `name`. Raises ConfigError where there are none in the section `where`."""
        for known, settings in self.values:
            if known == name:
                return settings
        raise ConfigError(f"{where}: missing key '{name}'")

    def require(self, names: Sequence[str], entries: Registry, where: str) -> None:
        """Raises ConfigError where one of `names` is an entry that wants settings and there are none."""
        for name in set(names) & set(entries.names()):
            if _settings_of(entries, name) is not None:
                self.get(name, where)


@dataclass(frozen=True)
class Dataset:
    name: str
    root: str  # folder of raw scans
    reader: str  # one of the entry points anyscene.readers
    axis_alignment: bool  # scannet: turn points and poses so that walls stand along the axes
    region_frames: Literal["box", "house"]  # matterport: of cameras in the region's box, or as .house says
    sweep_seconds: float  # nuscenes: before a keyframe, whose sweeps join it
    label_set: str  # a name in pipeline/anyscene/datasets/label_sets or a path to a csv file

    sections: Sections = Sections()  # of readers of other packages, by their names

    ENTRIES: ClassVar[Registry] = Registry("anyscene.readers")

    def __post_init__(self) -> None:
        if self.reader not in self.ENTRIES.names():
            known = ", ".join(self.ENTRIES.names())
            raise ConfigError(f"dataset.reader: no reader is called {self.reader!r}; known: {known}")
        self.sections.require([self.reader], self.ENTRIES, "dataset")
        if not 0 <= self.sweep_seconds < float("inf"):
            raise ConfigError(f"dataset.sweep_seconds: {self.sweep_seconds} is a time, 0 or more")

    def settings(self, name: str) -> Any:
        """The section of the reader `name`. Raises ConfigError where there is none."""
        return self.sections.get(name, "dataset")


@dataclass(frozen=True)
class World:
    """The embedded demo data set."""

    seed: int
    train_rooms: int
    val_rooms: int
    views: int  # frames per room
    width: int
    height: int

    def __post_init__(self) -> None:
        _between("world", self, 0, INFINITE, "seed", "train_rooms", "val_rooms")
        _positive("world", self, "views", "width", "height")


@dataclass(frozen=True)
class Text:
    encoder: str  # "minilm" or "open_clip:MODEL:PRETRAINED"
    template: str  # of class names, with one {}

    def __post_init__(self) -> None:
        _one_place("text.template", self.template)

    @property
    def file(self) -> Path | None:
        """The checkpoint that `encoder` names; None where it names a package or a tag of open_clip."""
        pretrained = self.encoder.removeprefix("open_clip:").partition(":")[2]
        known = "/" in pretrained or Path(pretrained).suffix in WEIGHT_FILES
        return Path(pretrained) if self.encoder.startswith("open_clip:") and known else None


@dataclass(frozen=True)
class Segmenters:
    names: tuple[str, ...]  # the 2D models, in the order of the fusion
    weights: str  # folder of their weights
    batch: int  # frames at a time; fewer where a GPU's memory does not suffice
    precision: Literal["float32", "bfloat16", "float16"]  # of the models' products
    captioner: Literal["colour", "blip"]  # of mask models
    sections: Sections = Sections()  # of registered models, by their names

    ENTRIES: ClassVar[Registry] = Registry("anyscene.segmenters")

    def __post_init__(self) -> None:
        _positive("segmenters", self, "batch")
        self.sections.require(self.names, self.ENTRIES, "segmenters")

    def settings(self, name: str) -> Any:
        """The section of the model `name`. Raises ConfigError where there is none."""
        return self.sections.get(name, "segmenters")


@dataclass(frozen=True)
class Scenes:
    frame_stride: int  # every n-th frame of a scan
    voxel: float  # metres; of the cloud made from depth maps where a scan has no mesh

    def __post_init__(self) -> None:
        _positive("scenes", self, "frame_stride", "voxel")


@dataclass(frozen=True)
class Superpoints:
    method: Literal["mesh", "points", "identity"]
    k: float
    min_vertices: int
    neighbours: int  # of the kNN graph where there are no faces

    def __post_init__(self) -> None:
        _positive("superpoints", self, "k", "min_vertices", "neighbours")


@dataclass(frozen=True)
class Projection:
    width: int
    height: int
    tolerance: float  # relative to the measured depth
    border: int  # pixels

    def __post_init__(self) -> None:
        _positive("projection", self, "width", "height")
        _between("projection", self, 0, INFINITE, "tolerance", "border")


@dataclass(frozen=True)
class Synthesis:
    diffusion: str  # folder of a text-to-image pipeline in diffusers' layout
    sam: str  # folder with sam.json, or a published checkpoint
    images: int  # per class
    seed: int  # of the first image; image i has seed + i
    batch: int  # images at a time; a CPU always takes one
    prompt: str  # with one {} for the class name
    steps: int
    guidance: float
    guidance_rescale: float  # 0 = off (Lin et al. 2024)
    attention_recipe: Literal["paper", "code"]
    attention_layers: Literal["all", "last"]
    attention_threshold: float

    def __post_init__(self) -> None:
        _positive("synthesis", self, "images", "batch", "steps")
        _between("synthesis", self, 0, INFINITE, "seed", "guidance")
        _between("synthesis", self, 0, 1, "guidance_rescale", "attention_threshold")
        _one_place("synthesis.prompt", self.prompt)


@dataclass(frozen=True)
class Capability:
    pooled: bool  # sum of intersections / sum of unions, else mean of IoUs


@dataclass(frozen=True)
class Fusion:
    method: Literal["capability", "add", "linear", "max"]
    tau: float
    normalise: bool
    point_features: bool  # keep those of points beside those of superpoints

    def __post_init__(self) -> None:
        _positive("fusion", self, "tau")


@dataclass(frozen=True)
class Network:
    variant: Literal["14A", "18A", "34C", "small"]
    backend: Literal["auto", "minkowski", "torch"]
    precision: Literal["float32", "bfloat16"]  # of the torch backend's products
    width: float  # multiplies the channels of every layer
    input: Literal["geometry", "colour"]
    voxel: float  # metres

    def __post_init__(self) -> None:
        _positive("network", self, "width", "voxel")


@dataclass(frozen=True)
class Augmentation:
    turn: Literal["free", "quarter"]  # about the vertical: by any angle, or by right angles and a little
    elastic: float  # probability of elastic distortion

    def __post_init__(self) -> None:
        _between("augmentation", self, 0, 1, "elastic")


# whose statistics normalise: those of each process's own scenes, shared by all processes, or frozen as loaded
BatchNorm = Literal["own", "shared", "frozen"]


@dataclass(frozen=True)
class Training:
    """What the stages that train have in common."""

    seed: int
    steps: int
    batch: int  # scenes at a time, in all processes together
    accumulate: int  # batches per step
    learning_rate: float
    final_learning_rate: float
    schedule: Literal["linear", "poly"]
    warmup: int  # steps
    batch_norm: BatchNorm


@dataclass(frozen=True)
class Distillation(Training):
    objectives: tuple[Literal["superpoint", "pixel"], ...]
    initial: str | None  # file of weights to go on from; none: random
    points_per_scene: int  # voxels that enter the loss

    def __post_init__(self) -> None:
        if self.batch_norm == "frozen" and self.initial is None:
            raise ConfigError(
                "distillation.batch_norm: frozen keeps the statistics of distillation.initial, which is "
                "null; random weights need own ones"
            )


@dataclass(frozen=True)
class Ensembling(Training):
    start: Literal["paper", "code"]  # of the history: the network's answers, or their superpoint means
    loss: Literal["paper", "code"]  # beside the distillation's, or alone and with superpoints' labels only
    momentum: float  # of the history
    temperature: float  # of the logits in the loss
    balance: float  # weight of a class: its share of the pseudo labels to the power of -balance


@dataclass(frozen=True)
class TrainingEntry:
    """A network of the section `training`."""

    kind: str  # of the objective
    title: str  # for people
    seed: int


@dataclass(frozen=True)
class Evaluation:
    split: Literal["train", "val", "test"]
    unpredicted: Literal["error", "ignore"]
    bootstrap: int  # resamples over rooms
    shuffles: int  # permutations of the capability that the control "shuffled" averages
    seed: int
    turns: int  # equal turns about the vertical that predictions are averaged over

    def __post_init__(self) -> None:
        _between("evaluation", self, 1, INFINITE, "bootstrap", "turns")
        _between("evaluation", self, 0, INFINITE, "shuffles", "seed")


@dataclass(frozen=True)
class Report:
    scenes: int  # shown in the page

    def __post_init__(self) -> None:
        _between("report", self, 0, INFINITE, "scenes")


@dataclass(frozen=True)
class Runtime:
    workers: int  # processes of scene-wise stages; 0 = one per core
    device: str  # "auto", "cpu", "cuda", "cuda:1", ...
    device_memory_gib: float  # of a GPU, that a process may take; 0 = all of it
    memory_gib: float  # that a stage may take for what grows with a scene, shared by its workers
    checkpoint_seconds: float  # between checkpoints of a training

    def __post_init__(self) -> None:
        if not 0 <= self.device_memory_gib < float("inf"):
            raise ConfigError(
                f"runtime.device_memory_gib: {self.device_memory_gib} is no size; 0 is all of a GPU's memory"
            )
        _between("runtime", self, 0, INFINITE, "workers", "checkpoint_seconds")
        _positive("runtime", self, "memory_gib")


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
    distillation: Distillation
    ensembling: Ensembling
    training: dict[str, TrainingEntry]
    evaluation: Evaluation
    report: Report
    runtime: Runtime


def load(path: Path | str = "params.yaml") -> Params:
    """Read and check the parameters. Raises ConfigError naming the file and the key."""
    return parse(read(path), str(path))


def defaults() -> Params:
    """What the tools take outside any project: the built-in values, in DEFAULTS."""
    return load(DEFAULTS)


def read(path: Path | str = "params.yaml") -> Any:
    """The file as it is. Raises ConfigError where it is missing or no YAML."""
    try:
        return yaml.safe_load(Path(path).read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; run in the folder that holds params.yaml") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error


def parse(values: Any, where: str) -> Params:
    """Check what a file `where` holds. Raises ConfigError naming it and the key."""
    return _typed(values, Params, where)


def plain(section: Any) -> dict[str, Any]:
    """A section as a plain dict, as content keys want it."""
    return dataclasses.asdict(section)


def _typed(value: Any, kind: Any, where: str) -> Any:
    """`value` as `kind`, or a ConfigError that says where it stands."""
    if dataclasses.is_dataclass(kind):
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
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        hint = " (write 1.0e-4, YAML takes 1e-4 for text)" if kind is float and isinstance(value, str) else ""
        raise ConfigError(f"{where}: expected {kind.__name__}, not {value!r}{hint}")
    return value


def _section(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected a section, not {value!r}")
    hints = typing.get_type_hints(kind)
    kinds = {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    kinds = {name: of for name, of in kinds.items() if of is not Sections}
    entries = getattr(kind, "ENTRIES", None)
    offered = {} if entries is None else _offered(entries, value.keys() - kinds)
    if unknown := [key for key in value if key not in kinds and key not in offered]:
        known = [*kinds, *(() if entries is None else _wanting(entries))]
        raise ConfigError(f"{where}: unknown key '{unknown[0]}'; known: {', '.join(known)}")
    if missing := [key for key in kinds if key not in value]:
        raise ConfigError(f"{where}: missing key '{missing[0]}'")

    def typed(key: str, kind: Any) -> Any:
        return _typed(value[key], kind, f"{where}: {key}" if ": " not in where else f"{where}.{key}")

    found = {key: typed(key, kind) for key, kind in kinds.items()}
    if entries is not None:
        found["sections"] = Sections(tuple((name, typed(name, kind)) for name, kind in offered.items()))
    return kind(**found)


def _offered(entries: Registry, keys: Iterable[str]) -> dict[str, type]:
    """The kinds of the sections that are named like an entry, sorted by name."""
    kinds = {name: _settings_of(entries, name) for name in sorted(keys) if name in entries.names()}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def _wanting(entries: Registry) -> list[str]:
    return [name for name in entries.names() if _settings_of(entries, name) is not None]


def _settings_of(entries: Registry, name: str) -> type | None:
    return getattr(entries.get(name), "settings", None)
