"""python -m benchmarks.speed.throughput [NAME ...] [--device cuda]: views per second of 2D models,
scenes per second of training.

The pipeline's own code loads each model in a process of its own, which also measures its peak memory. Models
of published size have random weights: that changes what they find, but not what they cost. The measurements
are added to reports/throughput.json, and those of other models there are kept. docs/notes/throughput.md is
written from this file, and `anyscene doctor` computes hours from it. Packages are imported where they are
needed, because their memory counts.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from anyscene.project import layout, parameters
from anyscene.project.device import choose_device
from anyscene.project.parameters import Params
from benchmarks.speed.own_process import alone, peak

OUTPUT, TABLE = layout.THROUGHPUT, Path("docs/notes/throughput.md")
SECONDS = 20.0  # no repetition begins later
REPEATS = 3
VOCABULARY = ("wall", "floor", "chair", "table", "shower curtain")
BOTH, CPU, GPU = ("cpu", "cuda"), ("cpu",), ("cuda",)
HEAD = """# Throughput

`python -m benchmarks.speed.throughput` writes this page (`--device cuda` on a GPU; NAME ... for some models).
The pipeline's own code loads each model, in a process of its own. Models of published size have random
weights and see random images. That changes what they find, but not what they cost. Captions are the
exception, because they take time for every mask that is found. Networks train on generated rooms, towards
random features. A rate is the best of up to three runs after a first one. Seconds are those from the files to
the first answer. A peak is that of the process, PyTorch included, or of a GPU's memory. On one CPU thread,
seconds are CPU time, so other work on the machine hardly counts.

"""

Row = dict[str, Any]  # of reports/throughput.json: what, device, setting and the figures of Measured
Work = Callable[[], int]  # done once; how many views, images, masks or scenes that was


@dataclass(frozen=True)
class Subject:
    """prepare(folder) writes files; load(folder, device) makes the work from them. devices: those on which it
    can run in a reasonable time."""

    setting: str
    load: Callable[[Path, torch.device], Work]
    prepare: Callable[[Path], object] | None = None
    devices: tuple[str, ...] = BOTH


@dataclass(frozen=True)
class Measured:
    per_second: float
    seconds: float  # until the first answer
    peak_gib: float


def segmenter(name: str, images: int, height: int, width: int, encoder: str = "minilm") -> Callable:
    """Features or captions of `images` frames. encoder: `text.encoder`, with {} for the folder of weights."""

    def load(folder: Path, device: torch.device) -> Work:
        from anyscene.segmenters import load_segmenter

        params = _parameters(folder, device, encoder) if any(folder.iterdir()) else parameters.load()
        model, frames = load_segmenter(name, params), _noise(images, height, width)

        def work() -> int:
            return len(model.describe(frames, VOCABULARY))

        return work

    return load


def tap(height: int, width: int, across: int, down: int) -> Callable:
    """Adjectives of across x down masks in one frame. Random weights end no text before its 38th word, the
    last that there can be."""

    def load(folder: Path, device: torch.device) -> Work:
        from anyscene.segmenters.captions.tap import captioner, network
        from anyscene.weights import reading

        class Words:
            """In the place of the tokenizer, which has no random weights."""

            def bos_id(self) -> int:
                return 1

            def eos_id(self) -> int:
                return 2

            def decode(self, words: list[int]) -> str:
                return " ".join(map(str, words))

        file = folder / "tap.safetensors"
        model = captioner.TapCaptioner(
            network.load(reading.read(file, ""), file, "").to(device), Words(), device
        )
        (frame,) = _noise(1, height, width)
        row, column = np.mgrid[:height, :width]
        owner = row * down // height * across + column * across // width
        masks = [owner == number for number in range(across * down)]

        def work() -> int:
            model.modifiers(frame, masks)
            return 1

        return work

    return load


def painter(name: str, steps: int, side: int, dtype: torch.dtype, images: int = 1) -> Callable:
    """Images of `side` pixels with attention, from the full-sized pipeline `name`, by the paper's recipe."""

    def load(folder: Path, device: torch.device) -> Work:
        from anyscene.capability import synthesis
        from anyscene.capability.diffusion import read_pipeline

        pipeline = read_pipeline(folder / name, dtype)
        pipeline.default_sample_size = side // pipeline.vae_scale_factor
        settings = dataclasses.replace(
            parameters.load().synthesis,
            steps=steps,
            batch=images,
            guidance=7.0,
            guidance_rescale=0.0,
            attention_layers="all",
            attention_recipe="paper",
        )
        condition = synthesis.conditioning(folder / name, pipeline)
        model = synthesis.Synthesiser(pipeline.to(device), condition, settings)

        def work() -> int:
            image, attention = model.generate("chair", range(images))
            if image.shape != (images, side, side, 3) or attention.max() != 1:
                raise RuntimeError(f"{name} painted {image.shape}, attention up to {attention.max()}")
            return images

        return work

    return load


def demo_painter(folder: Path, device: torch.device) -> Work:
    from anyscene.capability import synthesis

    settings = parameters.load().synthesis
    model = synthesis.load(settings, device)
    return lambda: len(model.generate("chair", range(settings.batch))[0])


def sam(file: str | None, side: int) -> Callable:
    """A mask of an image of `side` pixels, from three points. file: None for the demo's model."""

    def load(folder: Path, device: torch.device) -> Work:
        from anyscene.capability import pseudo_masks

        model = pseudo_masks.load_sam(folder / file if file else parameters.load().synthesis.sam, device)
        (image,), points = _noise(1, side, side), np.array([[1, 1], [2, 1], [1, 2]]) * side // 4

        def work() -> int:
            model.mask(image, points)
            return 1

        return work

    return load


def texts(encoder: str) -> Callable:
    def load(folder: Path, device: torch.device) -> Work:
        from anyscene.text import load_text_encoder

        model = load_text_encoder(parameters.Text(encoder, "{}"))
        counter = iter(range(10**9))

        def work() -> int:  # never the same texts, or they would be remembered
            return len(model.encode([f"thing {next(counter)} in a scene" for _ in range(20)]))

        return work

    return load


def trainer(kind: str, preset: str | None, vertices: int, width: int) -> Callable:
    """Steps of an objective with the settings of the preset or the demo, on scenes of about `vertices`
    points, towards `width` channels. On a CPU a batch is one scene, to save memory; a step takes as long as
    its scenes."""

    def load(folder: Path, device: torch.device) -> Work:
        from anyscene import networks
        from anyscene.learning.engine.loop import train
        from anyscene.learning.engine.processes import Processes
        from anyscene.learning.objective import Context
        from anyscene.learning.views.clouds import Clouds
        from anyscene.lifting.superpoints import segment_mesh
        from anyscene.project import presets, store
        from benchmarks.speed import meshes

        file = layout.PARAMETERS
        params = presets.load(preset, file) if preset else parameters.load(file)
        section, net = next(e for e in params.training.values() if e.kind == kind), params.network
        batch, steps = (section.batch, 8) if device.type == "cuda" else (1, 1)
        random, made = torch.Generator().manual_seed(0), []
        for seed in range(batch):
            xyz, face = meshes.room(vertices, seed)
            superpoint = segment_mesh(xyz, face, params.superpoints.k, params.superpoints.min_vertices)
            group = store.create(store.scene_path(folder / "fusion", str(seed)), "")
            target = torch.rand(superpoint.max() + 1, width, generator=random).half().numpy()
            store.write(group, "superpoint_feature", target)
            store.write(group, "superpoint_valid", np.ones(len(target), bool))
            made.append(networks.Cloud(str(seed), xyz, np.zeros(xyz.shape, np.uint8), superpoint))
        clouds = Clouds.held(made)
        model = networks.MinkUNet(
            net.variant, 3, width, net.backend, width=net.width, precision=net.precision
        ).to(device)
        text = torch.nn.functional.normalize(torch.rand(CLASSES, width, generator=random)).numpy()
        context = Context(
            model,
            net.voxel,
            net.input,
            folder / "fusion",
            folder / "memory",
            lambda: text,
            params.augmentation,
        )
        objective = parameters.OBJECTIVES.get(kind).load()(section.objective, context).to(device)
        objective.begin(model, clouds, Processes(device))
        objective.begin = lambda *_: None  # it is not part of a step
        recipe = dataclasses.replace(
            section,
            steps=steps,
            learning_rate=1e-5,
            final_learning_rate=1e-5,
            warmup=0,
            batch=batch,
            accumulate=1,
        )

        def work() -> int:
            train(model, clouds, objective, recipe, label=kind)
            return steps * batch

        return work

    return load


def write_lseg(folder: Path) -> None:
    from safetensors.torch import save_file

    from anyscene.segmenters.lseg.dpt import DensePredictor

    (folder / "lseg").mkdir()
    save_file(DensePredictor().state_dict(), folder / "lseg" / "demo_e200.safetensors")


def write_seem(folder: Path) -> None:
    """Focal-L, as v0 and v1."""
    from anyscene.segmenters.seem.network import PUBLISHED, Seem

    (folder / "seem").mkdir()
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in Seem(PUBLISHED[0]).state_dict().items()}
    drawn = torch.Generator().manual_seed(0)
    state = {name: 0.02 * torch.randn(shape, generator=drawn) for name, shape in shapes.items()}
    torch.save(state, folder / "seem" / "seem_focall_v0.pt")


def write_tap(kind: int, folder: Path) -> None:
    """The published network of that number: ViT-H, ViT-L, ViT-B."""
    from safetensors.torch import save_file

    from anyscene.segmenters.captions.tap.network import PUBLISHED, Tap

    with torch.device("meta"):
        own = Tap(PUBLISHED[kind]).state_dict()
    drawn = torch.Generator().manual_seed(0)
    state = {
        name: 0.02 * torch.randn(value.shape, generator=drawn)
        if value.is_floating_point()
        else torch.tensor(0)
        for name, value in own.items()
    }
    for name in [name for name in state if name.endswith("running_var")]:
        state[name] = torch.ones_like(state[name])
    save_file(state, folder / "tap.safetensors")


def write_mask2former(folder: Path) -> None:
    """Swin-L, 200 queries and 133 classes, as facebook/mask2former-swin-large-coco-panoptic has them."""
    import transformers

    backbone = transformers.SwinConfig(
        image_size=384,
        embed_dim=192,
        depths=[2, 2, 18, 2],
        num_heads=[6, 12, 24, 48],
        window_size=12,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    names = {number: f"thing {number}" for number in range(133)}
    settings = transformers.Mask2FormerConfig(backbone_config=backbone, num_queries=200, id2label=names)
    network = transformers.Mask2FormerForUniversalSegmentation(settings)
    network.save_pretrained(folder / "mask2former")
    side = {"height": 384, "width": 384}
    transformers.Mask2FormerImageProcessor(size=side).save_pretrained(folder / "mask2former")


def write_maskclip(folder: Path) -> None:
    import open_clip
    from safetensors.torch import save_file

    (folder / "maskclip").mkdir()
    state = open_clip.create_model("ViT-B-16-quickgelu", pretrained=None).state_dict()
    save_file(state, folder / "maskclip" / "open_clip_model.safetensors")


def write_painter(name: str, dtype: torch.dtype, folder: Path) -> None:
    from benchmarks.speed import full_size

    full_size.write(folder / name, full_size.ARCHITECTURES[name], dtype)


def write_sam(kind: str, folder: Path) -> None:
    from segment_anything import sam_model_registry

    torch.save(sam_model_registry[kind]().state_dict(), folder / f"sam_{kind}.pth")


CLASSES = 20  # ScanNet's, of which an objective may keep logits
SECTION = parameters.read(Path(__file__).parents[2] / layout.PARAMETERS)["training"]
TRAINED = tuple(dict.fromkeys(entry["kind"] for entry in SECTION.values()))  # kinds of objective
HALF, SINGLE, BRAIN = torch.float16, torch.float32, torch.bfloat16
CLIP_B16 = "open_clip:ViT-B-16-quickgelu:{}/maskclip/open_clip_model.safetensors"
SUBJECTS = {
    "dense (demo)": Subject("16 frames of 160x120", segmenter("dense", 16, 120, 160), devices=CPU),
    "mask (demo)": Subject("16 frames of 160x120", segmenter("mask", 16, 120, 160), devices=CPU),
    "lseg": Subject(
        "ViT-L/16, frames of 320x240, base 640",
        segmenter("lseg", 1, 240, 320, "open_clip:ViT-B-32-quickgelu"),
        write_lseg,
    ),
    "seem": Subject("Focal-L, frames of 320x240 seen at 682x512", segmenter("seem", 1, 240, 320), write_seem),
    "tap": Subject(
        "ViT-H, frames of 320x240 seen at 1024x768, 12 masks in each, texts of 38 words",
        tap(240, 320, 4, 3),
        partial(write_tap, 0),
    ),
    "tap vit_l": Subject(
        "ViT-L, frames of 320x240 seen at 1024x768, 12 masks in each, texts of 38 words",
        tap(240, 320, 4, 3),
        partial(write_tap, 1),
    ),
    "mask2former": Subject(
        "Swin-L, frames of 320x240 seen at 384x384", segmenter("mask2former", 1, 240, 320), write_mask2former
    ),
    "maskclip": Subject(
        "ViT-B/16, frames of 320x240, base 640", segmenter("maskclip", 1, 240, 320, CLIP_B16), write_maskclip
    ),
    "diffusion (demo)": Subject("images of 64x64, 16 steps, attention recorded", demo_painter),
    "sd15": Subject(
        "images of 512x512, 50 steps, batches of 4, half precision",
        painter("sd15", 50, 512, HALF, 4),
        partial(write_painter, "sd15", HALF),
        GPU,
    ),
    "sdxl": Subject(
        "images of 1024x1024, 50 steps, batches of 4, half precision",
        painter("sdxl", 50, 1024, HALF, 4),
        partial(write_painter, "sdxl", HALF),
        GPU,
    ),
    "sd15, one step": Subject(
        "images of 512x512, 1 step, single precision",
        painter("sd15", 1, 512, SINGLE),
        partial(write_painter, "sd15", HALF),
        CPU,
    ),
    "sdxl, one step": Subject(
        "images of 256x256, 1 step, bfloat16",
        painter("sdxl", 1, 256, BRAIN),
        partial(write_painter, "sdxl", BRAIN),
        CPU,
    ),
    "sam (demo)": Subject("masks of 64x64", sam(None, 64)),
    "sam vit_b": Subject(
        "masks of 512x512, seen at 1024x1024", sam("sam_vit_b.pth", 512), partial(write_sam, "vit_b")
    ),
    "sam vit_h": Subject(
        "masks of 512x512, seen at 1024x1024", sam("sam_vit_h.pth", 512), partial(write_sam, "vit_h"), GPU
    ),
    **{
        f"{kind} small, 10 cm": Subject(
            "scenes of 45,000 points, the demo's network, one at a time",
            trainer(kind, None, 45_000, 384),
            devices=CPU,
        )
        for kind in TRAINED
    },
    **{
        f"{kind} 18A, 2 cm": Subject(
            "scenes of 150,000 points, MinkUNet18A, on a CPU one at a time, on a GPU 12",
            trainer(kind, "scannet", 150_000, 512),
        )
        for kind in TRAINED
    },
    "minilm": Subject("texts", texts("minilm"), devices=CPU),
    "clip ViT-B/32": Subject("texts", texts("open_clip:ViT-B-32-quickgelu"), devices=CPU),
    "clip ViT-L/14@336": Subject("texts", texts("open_clip:ViT-L-14-336-quickgelu"), devices=CPU),
}


def measure(name: str, device: str = "auto") -> Measured:
    """Measure one subject on `device`. Its files are written in one process, and it runs in another."""
    with tempfile.TemporaryDirectory() as folder:
        if SUBJECTS[name].prepare:
            alone(_prepare, name, Path(folder))
        return alone(_measure, name, Path(folder), device)


def _prepare(name: str, folder: Path) -> None:
    torch.manual_seed(0)
    SUBJECTS[name].prepare(folder)


def _measure(name: str, folder: Path, device: str) -> Measured:
    chosen = choose_device(device)
    # of one thread what it computed, not what it waited for others: the same where the machine is idle
    alone = chosen.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    start = clock()
    work = SUBJECTS[name].load(folder, chosen)
    work()
    _finish(chosen)
    begin = clock()
    rates = []
    while len(rates) < REPEATS and (not rates or clock() - begin < SECONDS):
        before = clock()
        done = work()
        _finish(chosen)
        rates.append(done / (clock() - before))
    if chosen.type == "cuda":
        held = torch.cuda.max_memory_allocated(chosen) / 2**30
    else:
        held = peak()
    return Measured(max(rates), begin - start, held)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _parameters(folder: Path, device: torch.device, encoder: str) -> Params:
    params = parameters.load()
    return dataclasses.replace(
        params,
        segmenters=dataclasses.replace(params.segmenters, weights=str(folder)),
        text=dataclasses.replace(params.text, encoder=encoder.format(folder)),
        runtime=dataclasses.replace(params.runtime, device=str(device)),
    )


def _noise(images: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (images, height, width, 3), dtype=np.uint8)


def title(device: torch.device) -> str:
    """The title of a column of the table."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def recorded() -> list[Row]:
    """What was measured so far. No two rows have the same `what` and `device`."""
    return json.loads(OUTPUT.read_text()) if OUTPUT.is_file() else []


def joined(rows: list[Row], name: str, device: str, measured: Measured) -> list[Row]:
    """`rows`, sorted, with a new row that replaces an older one of `name` on `device`."""
    row = {"what": name, "device": device, "setting": SUBJECTS[name].setting, **dataclasses.asdict(measured)}
    kept = [old for old in rows if (old["what"], old["device"]) != (name, device)]
    return sorted([*kept, row], key=lambda one: (one["device"], one["what"]))


def table(rows: list[Row]) -> str:
    """Markdown with a column for each device."""
    found = {(row["what"], row["device"]): row for row in rows}
    columns = sorted({row["device"] for row in rows})
    columns += [] if any(not name.startswith("CPU") for name in columns) else ["GPU"]
    lines = [
        f"| model | setting | {' | '.join(f'{name}: per second, seconds, peak' for name in columns)} |",
        "|---|---|" + "---|" * len(columns),
    ]
    for name, subject in SUBJECTS.items():
        cells = []
        for column in columns:
            if (name, column) in found:
                cells.append(
                    "{per_second:.3g}, {seconds:.0f} s, {peak_gib:.1f} GiB".format(**found[name, column])
                )
            else:
                possible = ("cpu" if column.startswith("CPU") else "cuda") in subject.devices
                cells.append("not measured" if possible else "-")
        lines.append(f"| {name} | {subject.setting} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.throughput")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all unless named: {', '.join(SUBJECTS)}")
    parser.add_argument("--device", default="cpu", help="as runtime.device")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in SUBJECTS]:
        parser.error(f"no model called {unknown[0]!r}; known: {', '.join(SUBJECTS)}")
    device, console = choose_device(options.device), Console(highlight=False)
    for name in options.names or SUBJECTS:
        if device.type in SUBJECTS[name].devices:
            measured = measure(name, str(device))
            console.print(name, measured)
            rows = joined(recorded(), name, title(device), measured)
            OUTPUT.write_text(json.dumps(rows, indent=2) + "\n")
            TABLE.write_text(HEAD + table(rows))


if __name__ == "__main__":
    main()
