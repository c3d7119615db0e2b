"""Files of other programs: tables, predictions, proposals, answers of models that ran elsewhere, weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from safetensors.torch import save_file

import anyscene
from anyscene.capability import pseudo_masks
from anyscene.capability.diffusion import read_pipeline
from anyscene.capability.synthesis import conditioning
from anyscene.project.digests import content_hash
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Text
from anyscene.segmenters.precomputed import converters
from anyscene.segmenters.precomputed.converters import Options
from anyscene.segmenters.precomputed.segmenter import load as load_answers
from anyscene.tasks.instances import proposals
from anyscene.tasks.instances.scoring import score_proposals
from anyscene.tasks.segmentation.scoring import score_on_files
from anyscene.text import TextEncoder, load_text_encoder
from anyscene.weights import reading
from anyscene_demo.segmenters.dense.segmenter import DenseSegmenter
from anyscene_demo.segmenters.mask.segmenter import MaskSegmenter
from benchmarks.quality.fuzz.damage import DAMAGES
from benchmarks.quality.fuzz.kind import Answer, Kind
from tests.builders import (
    REPOSITORY,
    miniature,
    official_answers,
    small_demo,
    small_diffusion,
    small_grounded,
)
from tests.builders.project import Project
from tests.builders.small_lseg import Text as Letters

SET = anyscene.label_set("scannet20")
NAMES = ("wall", "chair", "table", "sofa", "floor")
IMAGE = np.random.default_rng(0).integers(0, 256, (1, 48, 64, 3), np.uint8)
EVERY, ZIPPED = frozenset(DAMAGES), frozenset({"cut", "empty", "noise"})


def _table(folder: Path) -> None:
    table = REPOSITORY / "pipeline/anyscene/datasets/label_sets/nuscenes16.csv"
    (folder / "classes.csv").write_bytes(table.read_bytes())


def _classes(folder: Path) -> Answer:
    found = anyscene.label_set("classes.csv")
    return {"set": sorted((name, repr(value)) for name, value in vars(found).items())}


def _predictions(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("truth", "said"):
        (folder / name).mkdir()
        ids = next(iter(SET.ids.values()))
        (folder / name / "a.txt").write_text("".join(f"{ids[one]}\n" for one in rng.integers(0, 5, 60)))
        np.save(folder / name / "b.npy", rng.integers(-1, 20, 60))


def _scored(folder: Path) -> Answer:
    return {"score": asdict(score_on_files(folder / "said", SET, folder / "truth"))}


def _proposed(form: str, folder: Path) -> None:
    miniature.write(folder, spacing=0.3, frames=False)
    (folder / "in/pred_mask").mkdir(parents=True)
    for scene in ("room0", "room1"):
        label = anyscene.open_scene(folder / f"data/labels/{scene}.zarr")["label"][:]
        masks = np.stack([label == one for one in np.unique(label)])
        if form == "mask3d":
            content = torch.from_numpy(masks.T.astype(np.float32)), torch.ones(len(masks))
            torch.save(content, folder / f"in/{scene}_masks.pt")
            continue
        lines = []
        for index, mask in enumerate(masks):
            np.savetxt(folder / f"in/pred_mask/{scene}_{index}.txt", mask.astype(int), fmt="%d")
            lines.append(f"pred_mask/{scene}_{index}.txt 1 0.5\n")
        (folder / f"in/{scene}.txt").write_text("".join(lines))


def _precise(form: str, folder: Path) -> Answer:
    params, read = Project(folder).params, proposals.READERS[form]
    found = score_proposals(folder / "in", params, Artefacts(folder), miniature.Spelling(), "fusion", read)
    return {"scores": found}


def _answers(source: str, folder: Path) -> None:
    images = official_answers.images(folder / "frames")
    write: dict[str, Callable[[], object]] = {
        "seem": lambda: official_answers.write_sas(folder / "in", images),
        "odise": lambda: official_answers.write_pairs(folder / "in", images, len(official_answers.ODISE)),
        "tap": lambda: official_answers.write_tap(folder / "in", images),
        "openseg": lambda: official_answers.write_openseg(folder / "in", images),
    }
    write[source]()


def _converted(source: str, folder: Path) -> Answer:
    labels = official_answers.ODISE if source == "odise" else None
    reader = converters.READERS[source](folder / "in", Options(labels, 4))
    wanted = converters.wanted(folder / "frames")
    summary = converters.write(reader, wanted, folder / "out", missing_is_empty=source in ("seem", "tap"))
    answer: dict[str, object] = {"summary": asdict(summary)}
    for file in sorted((folder / "out").glob("*.npz")):
        with np.load(file) as stored:
            answer |= {f"{file.name} {name}": stored[name] for name in stored}
    return answer


def _elsewhere(source: str, folder: Path) -> None:
    _answers(source, folder)
    _converted(source, folder)


def _used(source: str, folder: Path) -> Answer:
    model = load_answers(source, folder / "out", Letters())
    answer: dict[str, object] = {}
    for file in sorted((folder / "frames").glob("*.png")):
        image = np.asarray(Image.open(file))[None]
        answer[file.name] = model.label(image, NAMES)
        answer[f"{file.name} described"] = repr(model.describe(image, NAMES))
    return answer


@cache
def _minilm() -> TextEncoder:
    return load_text_encoder(Text("minilm", "a {} in a scene"))


def _demo_model(name: str, folder: Path) -> Answer:
    if name == "dense":
        return {"label": DenseSegmenter(name, folder / name, _minilm()).label(IMAGE, NAMES)}
    return {"label": MaskSegmenter(name, folder / name, _minilm()).label(IMAGE, NAMES)}


def _tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {"a.weight": torch.randn(40, 30), "a.bias": torch.randn(40), "count": torch.arange(9)}


def _weights(name: str, sums: bool, folder: Path) -> None:
    if name.endswith("safetensors"):
        save_file(_tensors(), folder / name)
    else:
        torch.save(_tensors(), folder / name, _use_new_zipfile_serialization=name != "old.pth")
    if sums:
        (folder / reading.SUMS).write_text(f"{content_hash(folder / name)}  {name}\n")


def _read(name: str, folder: Path) -> Answer:
    state = reading.read(folder / name, "their page")  # a NaN may be meant
    return {key: (value.dtype, value.shape, value.numpy().tobytes()) for key, value in state.items()}


def _diffusion(folder: Path) -> Answer:
    pipeline = read_pipeline(folder, torch.float32)
    conditioning(folder, pipeline)("a {} in a room", "chair")
    state = {
        f"{part}.{name}": tensor.numpy()
        for part in ("unet", "vae")
        for name, tensor in getattr(pipeline, part).state_dict().items()
    }
    return state | {"scheduler": repr(sorted(pipeline.scheduler.config.items()))}


def _own_condition(folder: Path) -> None:
    (folder / "condition.json").write_text(json.dumps({"text_encoder": "minilm", "tokens": 12}))


def _conditioned(folder: Path) -> Answer:
    found = conditioning(folder, DiffusionPipeline())("a {} in a room", "chair")
    state = {name: tensor.numpy() for name, tensor in found.arguments.items()}
    return state | {"word": found.word}


def _sam(folder: Path) -> None:
    torch.save(small_grounded.build().state_dict(), folder / "sam_vit_b_small.pth")


def _masked(folder: Path) -> Answer:
    with small_grounded.small_sam():
        sam = pseudo_masks.load_sam(folder / "sam_vit_b_small.pth", torch.device("cpu"))
        return {"mask": sam.mask(IMAGE[0], np.array([[20, 20]]))}


KINDS = (
    Kind("label set", _table, _classes),
    Kind("predictions scored", _predictions, _scored),
    Kind("proposals scannet", partial(_proposed, "scannet"), partial(_precise, "scannet"), ("in/**/*",)),
    Kind(
        "proposals mask3d",
        partial(_proposed, "mask3d"),
        partial(_precise, "mask3d"),
        ("in/**/*",),
        told=ZIPPED,
    ),
    *(
        Kind(f"answers converted, {name}", partial(_answers, name), partial(_converted, name))
        for name in converters.READERS
    ),
    Kind("answers used, seem", partial(_elsewhere, "seem"), partial(_used, "seem"), ("out/*",)),
    Kind("demo model dense", small_demo.write, partial(_demo_model, "dense"), ("dense/*",)),
    Kind("demo model mask", small_demo.write, partial(_demo_model, "mask"), ("mask/*",)),
    *(
        Kind(f"weights {name}", partial(_weights, name, False), partial(_read, name), (name,), told=told)
        for name, told in (("new.pth", EVERY), ("old.pth", ZIPPED), ("plain.safetensors", ZIPPED))
    ),
    *(
        Kind(
            f"weights {name} with sums",
            partial(_weights, name, True),
            partial(_read, name),
            (name,),
            told=EVERY,
        )
        for name in ("new.pth", "plain.safetensors")
    ),
    Kind("sums of weights", partial(_weights, "new.pth", True), partial(_read, "new.pth"), (reading.SUMS,)),
    Kind("diffusion pipeline", partial(small_diffusion.write, "sd"), _diffusion),
    Kind("condition of our diffusion", _own_condition, _conditioned),
    Kind("sam", _sam, _masked, told=ZIPPED),
)
