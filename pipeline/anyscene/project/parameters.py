"""params.yaml as frozen, typed sections. Every key is required; an unknown or ill-typed one is named."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from anyscene.errors import ConfigError
from anyscene.project.registry import Registry

OBJECTIVES = Registry("anyscene.objectives")  # the kinds of `training`
RANDOM = "random"  # what an entry of `training` begins from, if from no network


def _positive(section: str, values: object, *names: str) -> None:
    for name in names:
        value = getattr(values, name)
        if not 0 < value < float("inf"):
            raise ConfigError(f"{section}.{name}: must be more than 0, not {value}")


@dataclass(frozen=True)
class Dataset:
    name: str
    root: str  # folder of raw scans
    reader: Literal["rgbd", "scannet", "matterport", "nuscenes"]
    axis_alignment: bool  # scannet: turn points and poses so that walls stand along the axes
    region_frames: Literal["box", "house"]  # matterport: of cameras in the region's box, or as .house says
    sweep_seconds: float  # nuscenes: before a keyframe, whose sweeps join it
    label_set: str  # a name in pipeline/anyscene/datasets/label_sets or a path to a csv file

    def __post_init__(self) -> None:
        if not 0 <= self.sweep_seconds < float("inf"):
            raise ConfigError(f"dataset.sweep_seconds: {self.sweep_seconds} is a time, 0 or more")


@dataclass(frozen=True)
class World:
    """The embedded demo data set."""

    seed: int
    train_rooms: int
    val_rooms: int
    views: int  # frames per room
    width: int
    height: int


@dataclass(frozen=True)
class Text:
    encoder: str  # "minilm" or "open_clip:MODEL:PRETRAINED"
    template: str  # of class names, with one {}


@dataclass(frozen=True)
class Lseg:
    base: int  # pixels that an image's longer side is resized to
    crop: int  # side of the square that the network sees at a time

    def __post_init__(self) -> None:
        if self.base < 1 or self.crop < 32 or self.crop % 32:
            raise ConfigError(
                f"segmenters.lseg: base must be positive and crop a multiple of 32, not {self.base} and "
                f"{self.crop}"
            )


@dataclass(frozen=True)
class MaskClip:
    base: int  # pixels that an image's longer side is resized to, rounded to whole patches

    def __post_init__(self) -> None:
        if self.base < 1:
            raise ConfigError(f"segmenters.maskclip: base must be positive, not {self.base}")


@dataclass(frozen=True)
class Segmenters:
    names: tuple[str, ...]  # the 2D models, in the order of the fusion
    weights: str  # folder of their weights
    batch: int  # frames at a time; fewer where a GPU's memory does not suffice
    precision: Literal["float32", "bfloat16", "float16"]  # of the models' products
    lseg: Lseg
    maskclip: MaskClip
    captioner: Literal["colour", "blip"]  # of mask models

    def __post_init__(self) -> None:
        _positive("segmenters", self, "batch")


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


@dataclass(frozen=True)
class Projection:
    width: int
    height: int
    tolerance: float  # relative to the measured depth
    border: int  # pixels

    def __post_init__(self) -> None:
        _positive("projection", self, "width", "height")


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


@dataclass(frozen=True)
class Capability:
    pooled: bool  # sum of intersections / sum of unions, else mean of IoUs


@dataclass(frozen=True)
class Fusion:
    method: Literal["capability", "add", "linear", "max"]
    tau: float
    normalise: bool
    point_features: bool  # keep those of points beside those of superpoints


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
        if not 0 <= self.elastic <= 1:
            raise ConfigError(f"augmentation.elastic: {self.elastic} is no probability, 0 to 1")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained, whatever the objective. Errors name the key alone."""

    seed: int
    steps: int
    batch: int  # scenes at a time, in all processes together
    accumulate: int = 1  # batches per step
    optimiser: Literal["adam", "adamw"] = "adam"
    learning_rate: float
    final_learning_rate: float
    schedule: Literal["linear", "poly", "cosine", "one_cycle"] = "linear"  # from the one down to the other
    warmup: int = 0  # steps before that, up to the learning rate
    weight_decay: float = 0.0  # of all but norms and biases, for adamw
    clip: float = 0.0  # norm that the gradients are cut down to; 0: they are not
    ema: float = 0.0  # momentum of the average of the weights that is kept in their place; 0: none
    # whose statistics normalise: of the own scenes of each process, shared by all, or frozen as loaded
    batch_norm: Literal["own", "shared", "frozen"] = "own"

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)}; training takes at least 1")
        for name in ("learning_rate", "final_learning_rate", "warmup", "weight_decay", "clip"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigError(f"{name}: must be 0 or more, not {getattr(self, name)}")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema: {self.ema} is the average's share, 0 (none) to less than 1")
        if self.weight_decay and self.optimiser != "adamw":
            raise ConfigError(f"weight_decay: {self.weight_decay} takes the optimiser adamw; else it is 0")


@dataclass(frozen=True, kw_only=True)
class Training(Recipe):
    """A network that is trained: an entry of `training`."""

    kind: str  # of objective, a name of OBJECTIVES
    title: str  # of the network, for people
    start: str = dataclasses.field(metadata={"key": "from"})  # RANDOM, another entry, or a path under models/
    target: Literal["fusion", "labels", "scenes"]  # folder of data/ that it learns from
    objective: Any  # the objective's own keys: the Settings of its kind

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_norm == "frozen" and self.start == RANDOM:
            raise ConfigError(
                f"batch_norm: frozen keeps the statistics of the network that it begins from; {RANDOM} "
                "weights need own ones"
            )


@dataclass(frozen=True)
class Evaluation:
    split: Literal["train", "val", "test"]
    unpredicted: Literal["error", "ignore"]
    bootstrap: int  # resamples over rooms
    shuffles: int  # permutations of the capability that the control "shuffled" averages
    seed: int
    turns: int  # equal turns about the vertical that predictions are averaged over


@dataclass(frozen=True)
class Report:
    scenes: int  # shown in the page


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
    training: dict[str, Training]  # by name
    evaluation: Evaluation
    report: Report
    runtime: Runtime

    def __post_init__(self) -> None:
        _check_names(self)
        for name in self.training:
            chain = [name]
            while (start := self.training[chain[-1]].start) in self.training:
                chain.append(start)
                if start in chain[:-1]:
                    raise ConfigError(f"training: no network comes first in {' from '.join(chain)}")


def _check_names(params: Params) -> None:
    """An entry of `training` is a folder of models/ that holds nothing else."""
    others = (params.segmenters.weights, params.synthesis.diffusion, params.synthesis.sam)
    for name in params.training:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) or name in (RANDOM, "fusion"):
            raise ConfigError(f"training: {name!r} names no network; take another word of letters and digits")
        for path in others:
            if Path(path).is_relative_to(Path("models", name)):
                raise ConfigError(f"training.{name}: models/{name} holds {path} already; take another name")


def missing_starts(params: Params, models: Path) -> dict[str, Path]:
    """By entry of `training`: what it begins from, where that is neither another entry nor in `models`."""
    paths = {
        name: models / entry.start
        for name, entry in params.training.items()
        if entry.start != RANDOM and entry.start not in params.training
    }
    return {name: path for name, path in paths.items() if not path.exists()}


def load(path: Path | str = "params.yaml") -> Params:
    """Read and check the parameters. Raises ConfigError naming the file and the key."""
    return parse(read(path), str(path))


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
    if kind is Training:
        return _training(value, where)
    if dataclasses.is_dataclass(kind):
        return kind(**_fields(value, _keys(kind), where))
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
        return {
            _typed(k, arguments[0], where): _typed(v, arguments[1], f"{where}.{k}") for k, v in value.items()
        }
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        hint = " (write 1.0e-4, YAML takes 1e-4 for text)" if kind is float and isinstance(value, str) else ""
        raise ConfigError(f"{where}: expected {kind.__name__}, not {value!r}{hint}")
    return value


def _keys(kind: type) -> dict[str, tuple[str, Any]]:
    """(name, type) of every field of the dataclass `kind`, by its key in the file."""
    kinds = typing.get_type_hints(kind)
    return {f.metadata.get("key", f.name): (f.name, kinds[f.name]) for f in dataclasses.fields(kind)}


def _fields(value: Any, keys: Mapping[str, tuple[str, Any]], where: str) -> dict[str, Any]:
    """The values of a section that has exactly these keys, by field."""
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
    """An entry of `training`: the keys that all have, and those of the Settings of its kind."""
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
    if (fields["target"] == "labels") != entry.supervised:
        needs = "learns from labels" if entry.supervised else "is not supervised, so it sees no labels"
        raise ConfigError(f"{where}.target: {fields['target']!r} will not do: {value['kind']} {needs}")
    try:
        return Training(**fields, objective=entry.settings(**of_objective))
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}") from error
