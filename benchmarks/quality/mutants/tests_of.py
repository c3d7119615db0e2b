"""Which tests are to notice a fault in a file."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
TESTS = REPOSITORY / "tests"
PACKAGE = REPOSITORY / "pipeline" / "anyscene"
BESIDE = {  # files that are mostly tested elsewhere -> where, beside the tests of their own
    "capability/measured.py": ("study/test_evaluation.py",),
    "capability/synthesise_classes.py": ("capability/test_synthesis.py",),
    "datasets/geometry/ply_text.py": ("datasets/test_ply.py",),
    "datasets/import_labels.py": ("stages/test_scannet.py",),
    "datasets/import_scenes.py": ("stages/test_scenes.py", "stages/test_scannet.py"),
    "datasets/imports/archive.py": (
        "datasets/imports/test_polycam.py",
        "datasets/imports/test_nerfstudio.py",
    ),
    "datasets/imports/confidence.py": ("datasets/imports/test_polycam.py",),
    "datasets/imports/export_options.py": ("datasets/imports/test_orientation.py",),
    "datasets/imports/text_files.py": ("datasets/imports/test_tum.py", "datasets/imports/test_colmap.py"),
    "datasets/left_out.py": ("datasets/test_rgbd.py",),
    "datasets/nuscenes/truth.py": ("datasets/nuscenes/test_reader.py",),
    "datasets/scannet/truth.py": ("datasets/scannet/test_reader.py",),
    "fusion/fuse_scenes.py": ("stages/test_fusion.py",),
    "learning/objectives/pixel/objective.py": ("learning/test_objective.py",),
    "learning/train.py": ("stages/test_training.py",),
    "library/scanned.py": ("library/test_opening.py",),
    "lifting/project_scenes.py": ("stages/test_scannet.py", "stages/test_three_models.py"),
    "lifting/segment_scenes.py": ("stages/test_scannet.py",),
    "networks/checkpoint.py": ("networks/test_trained.py", "library/test_opening.py"),
    "project/artefact.py": ("project/test_store.py",),
    "project/store.py": ("project/test_per_scene.py", "project/test_artefact.py"),
    "segmenters/captions/tap/captioner.py": ("segmenters/captions/tap/test_tap.py",),
    "segmenters/captions/tap/image_decoder.py": ("segmenters/captions/tap/test_tap.py",),
    "segmenters/captions/tap/image_encoder.py": ("segmenters/captions/tap/test_tap.py",),
    "segmenters/captions/tap/network.py": ("segmenters/captions/tap/test_tap.py",),
    "segmenters/captions/tap/prompt_encoder.py": ("segmenters/captions/tap/test_tap.py",),
    "segmenters/captions/tap/prompts.py": ("segmenters/captions/tap/test_tap.py",),
    "segmenters/captions/tap/text_decoder.py": ("segmenters/captions/tap/test_tap.py",),
    "segmenters/openseg/answer.py": ("segmenters/openseg/test_segmenter.py",),
    "segmenters/precomputed/archive.py": ("segmenters/precomputed/test_segmenter.py",),
    "segmenters/precomputed/converters/tap.py": ("segmenters/precomputed/converters/test_converters.py",),
    "segmenters/precomputed/converters/writing.py": ("segmenters/precomputed/converters/test_converters.py",),
    "show/feature_files.py": ("cli/test_outside_a_project.py",),
    "show/charts.py": ("show/report/test_figures.py",),
    "show/report/drawn_scene.py": ("show/report/test_figures.py", "show/report/test_page.py"),
    "show/report/page.py": ("show/report/test_figures.py",),
    "show/report/scores.py": ("show/report/test_figures.py",),
    "show/report/template.py": ("show/report/test_figures.py",),
    "show/report/timings.py": ("show/report/test_figures.py",),
    "study/bootstrap.py": ("study/test_figures.py",),
    "study/losses.py": ("study/test_evaluation.py",),
    "study/metrics_json.py": ("study/test_figures.py", "study/test_evaluation.py"),
    "study/plots.py": ("study/test_figures.py",),
    "study/reports.py": ("study/test_figures.py",),
    "study/summary.py": ("study/test_figures.py",),
    "study/table.py": ("study/test_figures.py",),
    "tasks/instances/scoring.py": ("tasks/instances/test_proposals.py",),
    "tasks/instances/task.py": ("tasks/test_task.py",),
    "tasks/query/task.py": ("tasks/test_task.py",),
    "tasks/segmentation/scoring.py": ("cli/test_score.py",),
    "tasks/segmentation/task.py": ("tasks/test_task.py",),
    "text/known.py": ("cli/test_check.py",),
    "weights/fitting.py": ("segmenters/seem/test_segmenter.py", "segmenters/captions/tap/test_tap.py"),
}


def tests_of(module: Path) -> list[Path]:
    """The files of tests of a file of the package, relative to the repository: that of its name and those of
    BESIDE; where there is none, those that import it."""
    inside = module.relative_to(PACKAGE)
    name = inside.parent.name if inside.stem == "__init__" else inside.stem
    found = [TESTS / inside.parent / f"test_{name}.py", *(TESTS / one for one in BESIDE.get(str(inside), ()))]
    parts = inside.parent if inside.stem == "__init__" else inside.with_suffix("")
    dotted = ".".join(("anyscene", *parts.parts))
    if not any(file.is_file() for file in found):
        found += [file for file in sorted(TESTS.rglob("test_*.py")) if dotted in _imported(file)]
    return [file.relative_to(REPOSITORY) for file in dict.fromkeys(found) if file.is_file()]


@functools.cache
def _imported(file: Path) -> frozenset[str]:
    """The names of modules that a file imports, and of what it imports from them."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
    return frozenset(found)
