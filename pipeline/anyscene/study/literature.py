"""Published scores, for evaluations on the same scenes.

All are mIoU in percent, from SAS (Li et al. 2025, arXiv:2503.08512): its tables of zero-shot segmentation
(Table 1), of Matterport3D's most frequent classes (2), of the ablation (3), and of three 2D models (4). On
Matterport3D its Table 4 contradicts its Table 3 (`LiteratureScores.contradiction`), whose figures are taken
where both have one. In this room and the later ones, no other module knows objectives by their kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anyscene.project import presets
from anyscene.study import rows
from anyscene.study.rows import CAPABILITY, Role, Row
from anyscene.study.trained_on import listed, official


@dataclass(frozen=True)
class LiteratureScores:
    """mIoU in percent on one split with one label set."""

    label_set: str
    split: str
    scenes: str  # name of the official list of their ids
    methods: Mapping[str, float]  # the final score of each method
    rows: Mapping[Role, Mapping[str, float]] = field(default_factory=dict)  # SAS's: role of the row -> kind
    table_4: Mapping[str, float] = field(default_factory=dict)  # of each 2D model, which is not always rows'
    remark: str = ""  # how the methods were scored, where an evaluation here is not
    parts: int | None = None  # how many keyframes the listed drives have; None: scenes are listed themselves
    trained: str = "scannet_train"  # name of the official list of the scenes that networks were trained on
    preset: str = "scannet"  # that makes rows as the paper does; with "-code" behind it, as its code does
    voxel: float = 0.02  # metres, of SAS's networks (its section 4.1), which are of this variant and input:
    network: Mapping[str, str] = field(default_factory=lambda: {"variant": "18A", "input": "geometry"})

    def of(self, row: Row) -> float | None:
        """The score in SAS of a row like this; None where it has none."""
        if row.control:
            return None
        beside = self.table_4 if row.role == "2d_model" else {}
        return self.rows.get(row.role, {}).get(row.kind, beside.get(row.kind))

    @property
    def contradiction(self) -> str:
        """Which 2D models have another score in Table 4 than in Table 3, as a sentence; "" where none has."""
        third = self.rows.get("2d_model", {})
        if all(third.get(model, score) == score for model, score in self.table_4.items()):
            return ""
        both = (
            ", ".join(f"{name} {score:.1f}" for name, score in table.items())
            for table in (self.table_4, third)
        )
        return "its Table 4 has {}, and its Table 3 {}".format(*both)


TABLE_3 = LiteratureScores(  # its column of ScanNet
    "scannet20",
    "val",
    "scannet_val",
    {"OpenScene": 54.2, "GGSD": 56.5, "Diff2Scene": 48.6, "OV3D": 57.3, "SAS": 61.9, "SAS with ODISE": 62.5},
    {
        "2d_model": {"lseg": 51.2, "seem": 47.3},
        "fusion": {"add": 48.6, "linear": 49.9, "capability": 55.5},
        "network": {"pixel": 56.7, "superpoint": 59.2, "ensembling": 61.9},
    },
    table_4={"lseg": 51.2, "seem": 47.3, "odise": 46.9},
)
BASELINE, METHOD = "pixel", "superpoint"  # objectives of Table 3: distillation of points, and of superpoints
BASELINE_TITLE = "pixel distillation"


# What SAS's released code fuses by; the paper gives no value. Whether capabilities are divided by their sum
# is not compared: the paper's equation 8 does not, its code does, and neither says by which the scores came.
FUSION: Mapping[str, Any] = {"tau": 0.05}
TEXT: Mapping[str, Any] = {"template": "a {} in a scene"}  # its section 4.1
# Of frames and of the captions of masks: what one of the two presets of a data set sets
SEEN = (
    *("segmenters.nouns", "segmenters.captioner", "scenes.frame_stride"),
    *(f"projection.{name}" for name in ("width", "height", "resize", "tolerance")),
)


def _long_tail(classes: int, openscene: float, sas: float) -> LiteratureScores:
    """Without scores of rows: the paper scores one network with all label sets of Matterport3D (section 4.2),
    as `evaluation.label_sets` does. Where it is `dataset.label_set`, ensembling is towards its texts."""
    methods = {"OpenScene": openscene, "SAS": sas}
    remark = "by one network for all label sets, not trained towards this one"
    return LiteratureScores(
        f"matterport{classes}",
        "test",
        "matterport_test",
        methods,
        remark=remark,
        trained="matterport_train",
        preset="matterport3d",
    )


PUBLISHED = (
    TABLE_3,
    LiteratureScores(
        "matterport21",
        "test",
        "matterport_test",
        {
            "OpenScene": 43.4,
            "GGSD": 40.1,
            "Diff2Scene": 45.5,
            "OV3D": 45.8,
            "SAS": 48.6,
            "SAS with ODISE": 49.8,
        },
        {
            "2d_model": {"lseg": 38.6, "seem": 40.2},
            "fusion": {"add": 39.1, "linear": 39.4, "capability": 43.6},
            "network": {"pixel": 45.1, "superpoint": 46.3, "ensembling": 48.6},
        },
        table_4={"lseg": 43.5, "seem": 46.1, "odise": 46.7},
        trained="matterport_train",
        preset="matterport3d",
    ),
    _long_tail(40, 22.9, 28.5),
    _long_tail(80, 11.3, 16.0),
    _long_tail(160, 5.8, 8.1),
    LiteratureScores(
        "nuscenes16",
        "val",
        "nuscenes_val",
        {"OpenScene": 42.1, "GGSD": 46.1, "Seal": 45.0, "OV3D": 44.6, "SAS": 47.5},
        {
            "2d_model": {"openseg": 32.9, "seem": 37.8},
            "fusion": {"add": 34.1, "linear": 34.8, "capability": 40.0},
            "network": {"pixel": 45.4, "superpoint": 45.4, "ensembling": 47.5},
        },
        parts=6019,
        trained="nuscenes_train",
        preset="nuscenes",
        voxel=0.05,
    ),
)


def published(metrics: Mapping[str, Any]) -> LiteratureScores | None:
    """The published scores for the evaluation in metrics.json. None unless it covers the whole official split
    with its label set, and every scene is annotated."""
    if metrics["unannotated"]:
        return None
    for entry in PUBLISHED:
        if (entry.label_set, entry.split) == (metrics["label_set"], metrics["split"]):
            whole = entry.parts in (None, len(metrics["scenes"]))
            return entry if whole and official(metrics["scenes"]) == entry.scenes else None
    return None


def closest(metrics: Mapping[str, Any]) -> LiteratureScores | None:
    """The published scores of rows on the data set of an evaluation, although its split, its label set or its
    scenes may be others. None where no scene is of such a data set."""
    if (known := published(metrics)) is not None:
        return known
    for entry in PUBLISHED:
        if entry.rows and any(listed(metrics["scenes"], name) for name in (entry.scenes, entry.trained)):
            return entry
    return None


def unlike(metrics: Mapping[str, Any], known: LiteratureScores) -> dict[str, list[str]]:
    """How rows of which SAS has a score were made in another way than there, by the row's name: their scores
    cannot be compared. Rows that were made alike are not among them."""
    found: dict[str, list[str]] = {}
    for row in rows.measured(metrics):
        if known.of(row) is not None and (said := list(_unlike(row, metrics, known))):
            found[row.name] = said
    return found


def _unlike(row: Row, metrics: Mapping[str, Any], known: LiteratureScores) -> Iterator[str]:
    yield from _scored(metrics, known)
    parameters = metrics.get("parameters", {})
    yield from _other(parameters.get("text", {}), TEXT)
    readings = [presets.read(known.preset + ending) for ending in ("", "-code")]
    for key in SEEN:
        section, _, name = key.partition(".")
        wanted = dict.fromkeys(reading[section][name] for reading in readings if name in reading[section])
        found = parameters.get(section, {}).get(name)
        if wanted and found is not None and found not in wanted:
            yield f"{name} {found}, not {' or '.join(map(str, wanted))}"
    if "vocabulary" in parameters and set(parameters["vocabulary"]) != set(readings[0]["vocabulary"]):
        yield "another vocabulary"
    if row.role != "2d_model":
        yield from _models(parameters.get("segmenters", {}).get("names"), known)
    if row.role == "fusion" and row.kind == CAPABILITY:
        yield from _other(parameters.get("fusion", {}), FUSION)
    if row.role != "network":
        return
    if row.fused not in (None, CAPABILITY):
        yield f"built on {row.fused}"
    if (turns := metrics.get("turns", 1)) > 1:
        yield f"mean over {turns} test-time turns"
    trained = metrics.get("trained_on", {}).get(row.name)
    if trained is None:  # of before this was noted
        return
    yield from _trained(row, metrics, readings)
    if row.fused is not None:
        yield from _other(trained.get("fusion") or {}, FUSION)
    yield from _other(trained, {**known.network, "voxel": known.voxel})
    if trained["scored"]:
        yield "trained on scenes that are scored"
    elif trained["official"] != known.trained:
        yield f"not trained on the scenes of {known.trained}"


def _trained(row: Row, metrics: Mapping[str, Any], readings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How the training of a network, and of those that it began from, differs from that of the presets."""
    entries = metrics["parameters"].get("training", {})
    recipes = [entry for reading in readings for entry in reading["training"].values()]
    wanted = [entry["steps"] for entry in recipes if entry["kind"] == row.kind]
    found = entries.get(row.name, {}).get("steps")
    if found is not None and wanted and found not in wanted:
        yield f"{found} steps, not {' or '.join(map(str, wanted))}"
    name, passed = row.name, set[str]()
    while name not in passed and (start := metrics["trained_on"].get(name, {}).get("from")) is not None:
        if start not in entries:
            yield f"began from {start}"
            return
        passed.add(name)
        name = start


def _scored(metrics: Mapping[str, Any], known: LiteratureScores) -> Iterator[str]:
    """How what is scored differs, which no row can help."""
    yield from _other(metrics, {"split": known.split, "label_set": known.label_set})
    if official(metrics["scenes"]) != known.scenes:
        yield f"not scored on all scenes of {known.scenes} and no others"
    elif known.parts not in (None, len(metrics["scenes"])):
        yield f"scored on {len(metrics['scenes'])} keyframes, not {known.parts}"
    if metrics["unannotated"]:
        yield f"{len(metrics['unannotated'])} scenes without labels"


def _models(names: Sequence[str] | None, known: LiteratureScores) -> Iterator[str]:
    """Which 2D models were fused, where they are not those of the table."""
    wanted = known.rows["2d_model"]
    if names is not None and set(names) != set(wanted):
        yield f"of {', '.join(names)}, not {', '.join(wanted)}"


def _other(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    for key, value in wanted.items():
        if key in found and found[key] != value:
            yield f"{key} {found[key]}, not {value}"


def beside(row: Row, metrics: Mapping[str, Any], known: LiteratureScores) -> float | None:
    """SAS's score that may stand beside a row; None where it has none or the row was made in another way."""
    return None if row.name in unlike(metrics, known) else known.of(row)


def note(metrics: Mapping[str, Any], other: str | None = None) -> str | None:
    """The published scores as a sentence; None where `published` has none. other: one of
    `evaluation.label_sets`, towards which nothing was trained, just as there; None: `dataset.label_set`."""
    if (known := published(metrics if other is None else {**metrics, "label_set": other})) is None:
        return None
    scores = ", ".join(f"{method} {score:.1f}" for method, score in known.methods.items())
    remark = f" ({known.remark})" if known.remark and other is None else ""
    doubt = f"; {known.contradiction}" if known.contradiction and other is None else ""
    where = "" if other is None else f" with {other}"
    return f"published mIoU on these scenes{where}: {scores}{remark}{doubt}"


def differences(metrics: Mapping[str, Any]) -> str | None:
    """A sentence on the rows beside which SAS's scores do not stand, and on points without a prediction; None
    where there is nothing to say."""
    if (known := closest(metrics)) is None:
        return None
    titles = {row.name: row.plain_title for row in rows.of(metrics)}
    all_rows = list(_scored(metrics, known))  # what is said once
    own = {name: [one for one in why if one not in all_rows] for name, why in unlike(metrics, known).items()}
    said = [f"{titles[name]} ({', '.join(why)})" for name, why in own.items() if why]
    parts = [f"scored in another way than in SAS: {', '.join(all_rows)}"] if all_rows else []
    parts += [f"made in another way than in SAS: {'; '.join(said)}"] if said else []
    if not all_rows and known.rows and metrics.get("unpredicted") == "error":
        parts.append("points that no 2D model sees are errors here, and are left out in SAS's code")
    return "; ".join(parts) or None
