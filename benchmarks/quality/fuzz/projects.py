"""What a project holds: artefacts, networks, measurements, reports, and the settings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import anyscene
from anyscene.cli import main
from anyscene.cli.check import check
from anyscene.networks import trained
from anyscene.project import layout, parameters, store
from anyscene.project.layout import Artefacts
from anyscene.show import inspection
from anyscene.study import ablation, evaluation, reports, table
from anyscene.study.losses import losses
from benchmarks.quality.fuzz.damage import DAMAGES
from benchmarks.quality.fuzz.kind import Answer, Kind
from tests.builders import REPOSITORY, miniature

EVERY = frozenset(DAMAGES)
NETWORK = tuple(miniature.NETWORKS)[1]  # which objects can be asked by
CHUNKS = ("data/**/c.*",)  # each has a checksum
ALONE = EVERY - {"exchanged"}  # a whole chunk in the place of another one is whole
STORED = ("scenes", "superpoints", "labels", "projection/dense", "projection/mask", "fusion", "synthesis")
ATTRIBUTES = "data/*/*.zarr/zarr.json", "data/projection/*/*.zarr/zarr.json"


def _project(folder: Path) -> None:
    miniature.write(folder, spacing=0.3)
    # paths that do not change with the folder's
    text = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(text.replace(f"{folder}/", ""))


def _asked(source: str, folder: Path) -> Answer:
    cloud = anyscene.open("room0", project=folder, source=source, encoder=miniature.Spelling())
    names = ("points", "colours", "normals", "faces", "superpoints", "world", "features", "valid")
    answer = {name: getattr(cloud, name) for name in names}
    truth = cloud.truth
    answer |= {} if truth is None else {"label": truth.label, "instance": truth.instance}
    found = cloud.query("a bed", top=5)
    return answer | {"found": [(one.score, one.shows) for one in found]}


def _fused(folder: Path) -> Answer:
    return _asked("fusion", folder)


def _projected(folder: Path) -> Answer:
    return _asked("projection/dense", folder)


def _networked(folder: Path) -> Answer:
    return _asked(NETWORK, folder)


def _every_array(folder: Path) -> Answer:
    """As the stages read them."""
    answer: dict[str, object] = {}
    for stage in STORED:
        for id in store.scene_ids(folder / "data" / stage):
            group = store.open_scene(store.scene_path(folder / "data" / stage, id))
            answer |= {f"{stage} {id} {name}": group[name][:] for name in group}
    return answer


def _attributes(folder: Path) -> Answer:
    """As the stages read them."""
    answer: dict[str, object] = {}
    scenes = folder / "data/scenes"
    for stage in STORED:
        answer[f"{stage} keys"] = store.keys(folder / "data" / stage)
    answer["geometry"] = store.geometry_keys(scenes)
    answer["split"] = store.split_ids(scenes, "val")
    for id in store.scene_ids(scenes):
        scene = store.read_scene(store.scene_path(scenes, id), folder / "data/world")
        answer[f"{id} frames"] = [
            (frame.id, frame.camera.pose.tolist(), frame.camera.intrinsics.tolist()) for frame in scene.frames
        ]
        answer[f"{id} world"] = scene.world
        answer[f"{id} said"] = (scene.lost, scene.remarks, store.agreement(store.scene_path(scenes, id)))
    return answer


def _inspected(folder: Path) -> Answer:
    """As `anyscene inspect` shows them."""
    answer = {}
    for place in (*STORED, "capability"):
        for path in sorted((folder / "data" / place).iterdir()):
            answer[f"{place} {path.name}"] = inspection.record(path)
    for name in miniature.NETWORKS:
        answer[name] = inspection.record(folder / "models" / name)
    return answer


def _evaluated(folder: Path) -> Answer:
    ablation.load_text_encoder = lambda section: miniature.Spelling()  # type: ignore[attr-defined]
    evaluation.load_segmenter = lambda name, params, captions: miniature.Painter(name)  # type: ignore
    params = parameters.load(folder / "params.yaml")
    few = dataclasses.replace(params.evaluation, bootstrap=5, shuffles=1)
    study = evaluation.run(dataclasses.replace(params, evaluation=few), Artefacts(folder))
    return {"metrics": study.metrics}


def _report(folder: Path) -> None:
    reports_of = REPOSITORY / "reports"
    for path in ("metrics.json", "summary.json"):
        (folder / "reports").mkdir(exist_ok=True)
        (folder / "reports" / path).write_bytes((reports_of / path).read_bytes())


def _shown(folder: Path) -> Answer:
    metrics = reports.read(folder / "reports")
    table.show(metrics, folder / layout.PAGE)
    return {"metrics": metrics}


def _curves(folder: Path) -> Answer:
    problems: list[str] = []
    found = losses(trained.described(folder / "models"), problems)
    return {"losses": [(one.network.name, one.step.tolist(), one.loss.tolist()) for one in found]} | {
        "problems": problems
    }


def _settings(folder: Path) -> None:
    (folder / "params.yaml").write_bytes((REPOSITORY / "params.yaml").read_bytes())
    (folder / "models/demo/student").mkdir(parents=True)


def _checked(folder: Path) -> Answer:
    params = parameters.load(folder / "params.yaml")
    check(params)
    return {"params": dataclasses.asdict(params)}


def _declared(folder: Path) -> None:
    (folder / "dvc.yaml").write_bytes((REPOSITORY / "dvc.yaml").read_bytes())
    (folder / "stages").mkdir()
    for file in sorted((REPOSITORY / "stages").glob("*.py")):
        (folder / "stages" / file.name).write_bytes(file.read_bytes())


def _listed(folder: Path) -> Answer:
    return {"stages": main.stages()}


KINDS = (
    Kind("artefacts asked", _project, _fused, CHUNKS, told=ALONE),
    Kind("artefacts of projection asked", _project, _projected, CHUNKS, told=ALONE),
    Kind("artefacts read", _project, _every_array, CHUNKS, told=ALONE),
    Kind("artefacts' arrays described", _project, _every_array, ("data/**/zarr.json",), ATTRIBUTES),
    Kind("artefacts' attributes", _project, _attributes, ATTRIBUTES),
    Kind("artefacts inspected", _project, _inspected, ("data/**/*", "models/**/*")),
    Kind("weights of networks", _project, _networked, (f"models/{NETWORK}/model.safetensors",), told=EVERY),
    Kind("descriptions of networks", _project, _networked, ("models/*/network.json",)),
    Kind("curves", _project, _curves, (f"models/{NETWORK}/**/*",), (f"models/{NETWORK}/model.safetensors",)),
    Kind("evaluation", _project, _evaluated, ("data/**/*", "models/**/*")),
    Kind("capability", _project, _evaluated, ("data/capability/*",)),
    Kind("scores shown", _report, _shown),
    Kind("params.yaml", _settings, _checked, ("params.yaml",)),
    Kind("dvc.yaml and stages", _declared, _listed),
)
