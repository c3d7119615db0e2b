"""What is missing from a run, in sentences."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from anyscene.networks.checkpoint import DESCRIPTION
from anyscene.project import store
from anyscene.show.report.run import Run
from anyscene.study import rows
from anyscene.study.evaluation import failed_scenes

NAMED = 3  # a sentence about missing scenes names at most so many


def uncomputed(run: Run) -> list[str]:
    """What the stages before evaluation have not written, as a whole or for some scenes."""
    data, models = run.artefacts.data, run.params.segmenters.names
    by_scene = {name: data(name) for name in ("superpoints", "fusion")}
    by_scene |= {f"projection of {model}": data(f"projection/{model}") for model in models}
    there = {name: run.artefacts.has(folder) for name, folder in by_scene.items()}
    there |= {f"capability of {m}": (data("capability") / f"{m}.json").is_file() for m in models}
    there |= {
        f"training of {name}": (run.artefacts.model(name) / DESCRIPTION).is_file()
        for name in run.params.training
    }
    absent = [name for name, computed in there.items() if not computed]
    failed = failed_scenes(run.artefacts)
    known = _ids(data("scenes")) - failed.keys()
    found = [f"Not computed: {', '.join(absent)}. Run dvc repro."] if known and absent else []
    found += [f"Scene {scene} is left out, because it failed in {cause}" for scene, cause in failed.items()]
    for name, folder in by_scene.items():
        lacking = sorted(known - _ids(folder)) if there[name] else []
        if lacking:
            shown = ", ".join(lacking[:NAMED]) + (" and others" if len(lacking) > NAMED else "")
            found.append(f"{name} lacks {len(lacking)} of {len(known)} scenes: {shown}. Run dvc repro.")
    return found


def _ids(folder: Path) -> set[str]:
    return set(store.scene_ids(folder)) if folder.is_dir() else set()


def unmeasured(run: Run) -> list[str]:
    """What metrics.json has no scores of, and why."""
    if (metrics := run.metrics) is None:
        return ["There are no scores, because nothing was evaluated. Run dvc repro."]
    reasons = metrics["missing"]
    found = [f"{row.plain_title}: {reasons[row.name]}." for row in rows.of(metrics) if row.name in reasons]
    if not metrics["semantic"]:
        found.append("No scene is annotated, so nothing can be measured. The predictions are shown below.")
    elif metrics["unannotated"]:
        found.append(f"Scenes without annotation enter no score: {', '.join(metrics['unannotated'])}.")
    return found


def doubtful(run: Run) -> list[str]:
    """The scenes whose depth maps hardly agree with each other or with the mesh, and how far."""
    folder, warnings = run.artefacts.data("scenes"), []
    for scene in sorted(_ids(folder)):
        found = run.tried(partial(store.agreement, store.scene_path(folder, scene)))
        if found and "warning" in found:
            warnings.append(f"{found['warning']}.")
    more = (
        [f"So {len(warnings)} scenes in all hardly agree with themselves."] if len(warnings) > NAMED else []
    )
    return [*warnings[:NAMED], *more]
