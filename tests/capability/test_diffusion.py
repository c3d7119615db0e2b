"""Pipelines from folders are complete and read only from safetensors, or are refused."""

import dataclasses
import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionXLPipeline
from diffusers.models import modeling_utils
from diffusers.pipelines import pipeline_utils
from safetensors.torch import load_file, save_file

from anyscene.capability import synthesis, titles
from anyscene.capability.diffusion import read_pipeline
from anyscene.capability.patch_autoencoder import PatchAutoencoder
from anyscene.errors import SynthesisError
from anyscene.project import parameters
from tests.builders import REPOSITORY, small_diffusion

pytestmark = pytest.mark.integration

DEMO = parameters.load(REPOSITORY / "params.yaml").synthesis
UNET, VAE = "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"
WEIGHTS = {
    "sd": (UNET, VAE, "text_encoder/model.safetensors"),
    "sdxl": (UNET, VAE, "text_encoder/model.safetensors", "text_encoder_2/model.safetensors"),
}
EVERY = [(kind, file) for kind, files in WEIGHTS.items() for file in files]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    return {kind: small_diffusion.write(kind, root / kind) for kind in small_diffusion.KINDS}


@pytest.fixture
def copied(whole, tmp_path):
    def copy(kind):
        return Path(shutil.copytree(whole[kind], tmp_path / kind))

    return copy


def tensors(pipeline):
    parts = {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}
    states = {name: part.state_dict() for name, part in parts.items()}
    return {f"{name}.{key}": value for name, state in states.items() for key, value in state.items()}


def same(one, other):
    one, other = tensors(one), tensors(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_a_folder_becomes_a_pipeline(whole, kind):
    pipeline = read_pipeline(whole[kind], torch.float32)
    assert type(pipeline).__name__ == small_diffusion.KINDS[kind].pipeline
    assert type(pipeline.scheduler).__name__ == small_diffusion.KINDS[kind].scheduler
    saved = [value for file in WEIGHTS[kind] for value in load_file(whole[kind] / file).values()]
    found = list(tensors(pipeline).values())
    assert all(value.dtype == torch.float32 for value in found)
    # names of text towers differ from version to version
    sums = [sorted(float(value.double().square().sum()) for value in values) for values in (saved, found)]
    assert sums[0] == sums[1]
    modules = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    assert len(modules) == len(WEIGHTS[kind]) and not any(part.training for part in modules)
    assert getattr(pipeline, "safety_checker", None) is None and getattr(pipeline, "watermark", None) is None


@pytest.mark.parametrize("kind", WEIGHTS)
def test_reading_gives_no_advice_about_packages(whole, kind, monkeypatch):
    said = []
    for module in (modeling_utils, pipeline_utils):
        monkeypatch.setattr(module.logger, "warning", lambda message, *arguments: said.append(message))
    read_pipeline(whole[kind], torch.float32)
    assert said == []


@pytest.mark.parametrize("kind", WEIGHTS)
def test_the_safety_checker_and_its_weights_are_not_needed(copied, kind, whole):
    folder = copied(kind)
    index = json.loads((folder / "model_index.json").read_text())
    index |= {
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
    }
    if kind == "sdxl":
        del index["safety_checker"]
        index |= {"image_encoder": [None, None], "force_zeros_for_empty_prompt": True}
    (folder / "model_index.json").write_text(json.dumps(index))
    assert same(read_pipeline(folder, torch.float32), read_pipeline(whole[kind], torch.float32))


@pytest.mark.parametrize("kind", WEIGHTS)
def test_half_precision_files_will_do(copied, whole, kind):
    folder = copied(kind)
    for file in WEIGHTS[kind]:
        half = {name: value.half() for name, value in load_file(folder / file).items()}
        save_file(half, (folder / file).with_suffix(".fp16.safetensors"), {"format": "pt"})
    for file in WEIGHTS[kind]:  # where both are, the full ones are taken
        (folder / file).rename((folder / file).with_suffix(".kept"))
    found = read_pipeline(folder, torch.float32)
    for file in WEIGHTS[kind]:
        (folder / file).with_suffix(".kept").rename(folder / file)
    full = read_pipeline(folder, torch.float32)
    assert same(full, read_pipeline(whole[kind], torch.float32)) and not same(found, full)
    wanted = {name: value.half().float() for name, value in tensors(full).items()}
    assert all(torch.equal(value, wanted[name]) for name, value in tensors(found).items())


def test_weights_may_be_split_into_files(copied, whole):
    folder = copied("sdxl")
    pipeline = read_pipeline(folder, torch.float32)
    for part, size in (("unet", "40KB"), ("text_encoder_2", "200KB")):
        shutil.rmtree(folder / part)
        getattr(pipeline, part).save_pretrained(folder / part, max_shard_size=size)
        assert len(list((folder / part).glob("*.safetensors"))) > 1
    assert same(read_pipeline(folder, torch.float32), pipeline)


def test_names_of_older_files_are_known(copied, whole):
    """CLIP's towers with the places of their tokens, the autoencoder's attention by its first names."""
    folder = copied("sd")
    file = folder / "text_encoder" / "model.safetensors"
    state = {name.removeprefix("text_model."): value for name, value in load_file(file).items()}
    state = {f"text_model.{name}": value for name, value in state.items()}
    state["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(state, file, {"format": "pt"})
    first = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = load_file(folder / VAE)
    for new, old in first.items():
        state = {name.replace(f".{new}.", f".{old}."): value for name, value in state.items()}
    assert any(".proj_attn." in name for name in state)
    save_file(state, folder / VAE, {"format": "pt"})
    assert same(read_pipeline(folder, torch.float32), read_pipeline(whole["sd"], torch.float32))


@pytest.mark.parametrize(("kind", "file"), EVERY)
def test_a_missing_parameter_is_named(copied, kind, file):
    folder = copied(kind)
    state = load_file(folder / file)
    name = sorted(state)[len(state) // 2]
    del state[name]
    save_file(state, folder / file, {"format": "pt"})
    with pytest.raises(SynthesisError, match=f"not those of its config.json: .*{name.split('.')[-2]}"):
        read_pipeline(folder, torch.float32)


@pytest.mark.parametrize(("kind", "file"), EVERY)
def test_a_parameter_of_another_shape_is_refused(copied, kind, file):
    folder = copied(kind)
    state = load_file(folder / file)
    name = next(name for name in sorted(state) if state[name].ndim == 2)
    save_file(state | {name: torch.ones(3, 5)}, folder / file, {"format": "pt"})
    with pytest.raises(SynthesisError, match=str(folder)):
        read_pipeline(folder, torch.float32)


@pytest.mark.parametrize("keep", [0, 7, 3000, -1])
@pytest.mark.parametrize(("kind", "file"), EVERY)
def test_a_truncated_file_is_refused(copied, kind, file, keep):
    folder = copied(kind)
    (folder / file).write_bytes((folder / file).read_bytes()[:keep])
    with pytest.raises(SynthesisError, match=r"cannot load this text-to-image pipeline: .*Restore its files"):
        read_pipeline(folder, torch.float32)


class Code:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize(("kind", "file"), EVERY)
def test_nothing_but_safetensors_is_read(copied, tmp_path, kind, file):
    folder = copied(kind)
    (folder / file).unlink()
    for name in ("diffusion_pytorch_model.bin", "pytorch_model.bin", "model.bin"):
        (folder / file).with_name(name).write_bytes(pickle.dumps(Code(tmp_path / "ran")))
    with pytest.raises(SynthesisError, match=rf"{Path(file).parent}: no \*\.safetensors here"):
        read_pipeline(folder, torch.float32)
    assert not (tmp_path / "ran").exists()


def test_code_in_a_folder_is_not_run(copied, tmp_path):
    folder = copied("sd")
    index = json.loads((folder / "model_index.json").read_text())
    code = f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\nclass Own: pass\n"
    for name in ("own.py", "scheduler/own.py", "pipeline.py"):
        (folder / name).write_text(code)
    (folder / "model_index.json").write_text(json.dumps(index | {"scheduler": ["own", "Own"]}))
    with pytest.raises(SynthesisError, match="code among weights; nothing of it ran"):
        read_pipeline(folder, torch.float32)
    for file in folder.rglob("*.py"):
        file.unlink()
    with pytest.raises(SynthesisError, match="cannot load this text-to-image pipeline"):
        read_pipeline(folder, torch.float32)
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": ["pipeline", "Own"]}))
    with pytest.raises(SynthesisError, match="attention to words is read from"):
        read_pipeline(folder, torch.float32)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["FluxPipeline", "StableDiffusion3Pipeline", None])
def test_other_pipelines_are_refused_before_their_weights_are_read(tmp_path, name):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": name}))
    with pytest.raises(SynthesisError, match=rf"a {name}, but .* StableDiffusionPipeline and Stable"):
        read_pipeline(tmp_path, torch.float32)


def test_a_missing_folder_says_what_to_set(tmp_path):
    with pytest.raises(SynthesisError, match=r"model_index\.json.*synthesis\.diffusion"):
        synthesis.load(dataclasses.replace(DEMO, diffusion=str(tmp_path / "none")), torch.device("cpu"))


def test_a_watermark_is_not_added_where_its_package_is_there(whole, monkeypatch):
    module = StableDiffusionXLPipeline.__init__.__globals__
    monkeypatch.setitem(module, "is_invisible_watermark_available", lambda: True)
    assert read_pipeline(whole["sdxl"], torch.float32).watermark is None


@pytest.fixture
def demo(tmp_path):
    """A pipeline like the demo's, with our autoencoder and the states of our text encoder's tokens."""
    PatchAutoencoder(4).save_pretrained(tmp_path / "demo" / "vae")
    small_diffusion.unet().save_pretrained(tmp_path / "demo" / "unet")
    DDIMScheduler().save_pretrained(tmp_path / "demo" / "scheduler")
    (tmp_path / "demo" / "model_index.json").write_text("{}")
    description = json.dumps({"text_encoder": "minilm", "tokens": 14})
    (tmp_path / "demo" / titles.CONDITION).write_text(description)
    return tmp_path / "demo"


def test_the_demo_needs_no_text_tower(demo):
    pipeline = read_pipeline(demo, torch.float32)
    assert isinstance(pipeline.vae, PatchAutoencoder) and pipeline.text_encoder is None
    state = load_file(demo / VAE)
    state.pop("decoder.bias")
    save_file(state, demo / VAE, {"format": "pt"})
    with pytest.raises(SynthesisError, match=r"vae: .*decoder\.bias is missing"):
        read_pipeline(demo, torch.float32)
    (demo / VAE).write_bytes((demo / VAE).read_bytes()[:-1000])
    with pytest.raises(SynthesisError, match="cannot load this text-to-image pipeline"):
        read_pipeline(demo, torch.float32)
