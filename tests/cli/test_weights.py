"""`anyscene weights`, and weights that are missing, cut, altered or would run something, met by the stages
that read them: one message, exit code 1, nothing run, nothing written, no scene looked at."""

import functools
import hashlib
import json
import pickle
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from anyscene.capability import measure
from anyscene.cli import main, weights
from anyscene.lifting import project_scenes
from anyscene.project import digests, per_scene
from anyscene.weights import catalogue, reading
from anyscene.weights.catalogue import File, PublishedWeights
from stages import capability, projection, synthesis
from tests.builders import (
    REPOSITORY,
    small_blip,
    small_grounded,
    small_lseg,
    small_sam3,
    small_tap,
    small_universal,
)
from tests.builders.malice import Code
from tests.builders.project import Project

pytestmark = pytest.mark.integration

CLIP = "weights/clip-vit-b32/open_clip_model"


@pytest.fixture
def weightless(project, monkeypatch):
    """A project with weights/ and a scene to be computed, where to begin with it or to look at an image fails
    the test."""
    (project.folder / "weights").mkdir()
    change()

    def begin(compute, *_, **__):
        compute.make()
        pytest.fail("began")

    monkeypatch.setattr(project_scenes.store, "keys", lambda *_: {"room": "key"})
    monkeypatch.setattr(project_scenes.store, "scene_ids", lambda *_: ["room"])
    monkeypatch.setattr(project_scenes.store, "key", lambda *_: "key")
    monkeypatch.setattr(measure.store, "open_scene", lambda *_: pytest.fail("looked at images"))
    monkeypatch.setattr(per_scene, "run", begin)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("asked the network"))
    return project.folder


def change(model="lseg", encoder="minilm", captioner="colour", **section):
    """Write params.yaml anew, with these; **section: keys of `synthesis`."""
    Project.create(
        Path.cwd(),
        segmenters={"names": [model], "weights": "weights", "captioner": captioner},
        text={"encoder": encoder},
        synthesis={name: str(REPOSITORY / "models/demo" / name) for name in ("diffusion", "sam")} | section,
    )


def written():
    """All files, but for what is remembered of them."""
    return sorted(path for path in Path.cwd().rglob("*") if ".cache" not in path.parts)


def refused(stage, *arguments):
    """The output of the command, on one line."""
    before = written()
    result = CliRunner().invoke(stage.app, arguments)
    assert result.exit_code == 1 and not result.stdout, result.output
    assert written() == before and not list(Path.cwd().rglob("ran"))
    return " ".join(result.stderr.split())


def note(folder):
    """SHA256SUMS of what is in the folder, as fetching leaves it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{digests.sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / reading.SUMS).write_text("".join(lines))


def alter(file, place=-40):
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def cut(file):
    file.write_bytes(file.read_bytes()[:-20])


@pytest.fixture(params=[projection, capability], ids=["projection", "capability"])
def stage(request):
    return request.param


# --- LSeg --------------------------------------------------------------------------------------------


@pytest.fixture
def lseg(weightless, monkeypatch):
    """A checkpoint that would be loaded, were it not for what a test does to it."""
    monkeypatch.setattr("anyscene.text.load_text_encoder", lambda section: small_lseg.Text())
    file = weightless / "weights/lseg/demo_e200.ckpt"
    file.parent.mkdir()
    torch.save({"state_dict": {f"net.{name}": value for name, value in small_lseg.state().items()}}, file)
    note(file.parent)
    return file


def test_lseg_is_missing(weightless, stage):
    said = refused(stage, "lseg")
    assert "weights/lseg/demo_e200.ckpt: no LSeg weights" in said and "isl-org/lang-seg" in said
    assert "take `lseg` out of segmenters.names" in said


def test_lseg_is_cut(lseg, stage):
    cut(lseg)
    said = refused(stage, "lseg")
    assert "demo_e200.ckpt: damaged weights" in said and "get the file again from https" in said


def test_lseg_is_altered(lseg, stage):
    alter(lseg, lseg.stat().st_size // 2)
    assert "demo_e200.ckpt: damaged or not what was published" in refused(stage, "lseg")


def test_lseg_holds_code(lseg, stage):
    torch.save({"state_dict": small_lseg.state(), "callbacks": Code(Path("ran").resolve())}, lseg)
    said = refused(stage, "lseg")
    assert "demo_e200.ckpt: holds more than tensors" in said and "nothing of it ran" in said
    assert "weights_only" not in said


# --- models of transformers --------------------------------------------------------------------------

WRITE = {
    "mask2former": lambda folder: small_universal.write("mask2former", folder),
    "oneformer": lambda folder: small_universal.write("oneformer", folder),
    "grounded": small_grounded.write,
    "sam3": small_sam3.write,
    "blip": small_blip.write,
}


@pytest.fixture(scope="module")
def small_weights(tmp_path_factory):
    """Folder of a small model by its name; written once."""
    root = tmp_path_factory.mktemp("weights")

    @functools.cache
    def small(name):
        with small_grounded.small_sam():
            return WRITE[name](root / name)

    return small


@pytest.fixture(
    params=[(projection, name) for name in WRITE] + [(capability, "sam3")], ids=lambda one: one[1]
)
def asked(request, weightless, small_weights):
    """(what the stage says of it, folder of a model's weights); BLIP captions for the demo's mask model."""
    stage, name = request.param
    folder = Path(shutil.copytree(small_weights(name), weightless / "weights" / name))
    if name == "blip":
        shutil.copytree(REPOSITORY / "models/demo/mask", weightless / "weights/mask")
    model = "mask" if name == "blip" else name
    change(model, captioner="blip" if name == "blip" else "colour")
    return lambda: refused(stage, model), folder


def test_a_model_is_missing_cut_altered_or_a_pickle(asked):
    said, folder = asked
    note(folder)
    file = folder / "model.safetensors"
    content = file.read_bytes()
    alter(file)
    assert "model.safetensors: damaged or not what was published" in said()
    (folder / reading.SUMS).unlink()
    file.write_bytes(content[:-20])
    assert f"{folder.name}: damaged weights" in said()
    torch.save(Code(Path("ran").resolve()), file)
    assert f"{folder.name}: damaged weights" in said()
    torch.save({"a": Code(Path("ran").resolve())}, folder / "pytorch_model.bin")
    file.unlink()
    message = said()
    assert "model.safetensors: no such weights" in message
    assert f"`anyscene weights fetch {folder.name}`" in message


def test_code_beside_a_model_does_not_run(asked):
    """transformers takes classes from Python files beside the weights, if it is let."""
    said, folder = asked
    (folder / "evil.py").write_text(f"open({str(Path('ran').resolve())!r}, 'w')\nclass Evil: pass\n")
    for file in (
        folder / "config.json",
        folder / "tokenizer_config.json",
        folder / "preprocessor_config.json",
    ):
        if file.is_file():
            content = json.loads(file.read_text()) | {
                "auto_map": dict.fromkeys(("AutoConfig", "AutoTokenizer", "AutoImageProcessor"), "evil.Evil"),
                "model_type": "evil" if file.name == "config.json" else None,
            }
            file.write_text(json.dumps(content))
    assert "describes a 'evil' model" in said()
    config = folder / "config.json"
    kind = {"grounded": "grounding-dino"}.get(folder.name, folder.name)
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": kind}))
    (folder / "model.safetensors").write_bytes(b"")  # whatever else was read, this is not
    said()


def test_of_the_sam_beside_grounding_dino_nothing_runs(weightless, small_weights):
    change("grounded")
    folder = Path(shutil.copytree(small_weights("grounded"), weightless / "weights/grounded"))
    (file,) = folder.glob("sam_vit_*.pth")
    content = file.read_bytes()
    file.write_bytes(content[:-20])
    assert f"{file.name}: damaged weights" in refused(projection, "grounded")
    torch.save({"a": Code(Path("ran").resolve())}, file)
    assert f"{file.name}: holds more than tensors" in refused(projection, "grounded")
    file.unlink()
    assert "no checkpoint of SAM" in refused(projection, "grounded")


def test_tap_is_missing_cut_or_a_pickle_of_code(weightless):
    shutil.copytree(REPOSITORY / "models/demo/mask", weightless / "weights/mask")
    change("mask", captioner="tap")
    said = refused(projection, "mask")
    assert "tap_vit_h_v1_1.pkl: no such weights" in said and "`anyscene weights fetch tap`" in said
    folder = small_tap.write(weightless / "weights/tap")
    file = folder / "models/tap_vit_h_v1_1.pkl"
    assert "weights of another architecture: image_encoder" in refused(projection, "mask")
    content = file.read_bytes()
    file.write_bytes(content[:-20])
    assert f"{file.name}: damaged" in refused(projection, "mask")
    file.write_bytes(pickle.dumps({"a": Code(Path("ran").resolve())}))
    said = refused(projection, "mask")
    assert f"{file.name}: damaged, or holds more than tensors; nothing of it ran" in said
    file.write_bytes(content)
    (folder / "text_tokenizer.model").unlink()
    assert "text_tokenizer.model: no such weights" in refused(projection, "mask")


# --- answers of models that ran elsewhere ------------------------------------------------------------


def test_answers_are_missing_or_their_description_is_damaged(weightless, stage):
    change("odise")
    assert "no 2D model is called 'odise'" in refused(stage, "odise")
    file = weightless / "weights/odise/precomputed.json"
    file.parent.mkdir()
    for content in ("", "{", "[]", '{"format": 1, "kind": "masks", "labels": [1]}'):
        file.write_text(content)
        assert "precomputed.json: " in refused(stage, "odise")


# --- CLIP --------------------------------------------------------------------------------------------


def test_clip_is_missing_cut_or_altered(weightless, stage):
    change("maskclip", f"open_clip:ViT-B-32-quickgelu:{CLIP}.safetensors")
    said = refused(stage, "maskclip")
    assert f"{CLIP}.safetensors: no such weights" in said and "`anyscene weights fetch clip-vit-b32`" in said
    Path(CLIP).parent.mkdir()
    save_file({"a": torch.zeros(5)}, f"{CLIP}.safetensors")
    said = refused(stage, "maskclip")
    assert "bytes, the published file has 605,143,284; get it again (`anyscene weights fetch clip-" in said


def test_clip_of_the_right_size_is_another(weightless, stage, monkeypatch):
    change("dense", f"open_clip:ViT-B-32-quickgelu:{CLIP}.safetensors")
    Path(CLIP).parent.mkdir()
    save_file({"a": torch.zeros(5)}, f"{CLIP}.safetensors")
    size = Path(f"{CLIP}.safetensors").stat().st_size
    file = File("open_clip_model.safetensors", "0" * 64, size)
    entry = PublishedWeights(
        "clip-vit-b32", "", "https://there", "MIT", "clip-vit-b32", (file,), repository="a/b"
    )
    monkeypatch.setattr(catalogue, "CATALOGUE", (entry,))
    assert "damaged or not what was published" in refused(stage, "dense")


def test_a_file_of_clip_holds_code(weightless, stage):
    change("dense", f"open_clip:ViT-B-32-quickgelu:{CLIP}.pt")
    Path(CLIP).parent.mkdir()
    torch.save({"a": torch.zeros(5), "b": Code(Path("ran").resolve())}, f"{CLIP}.pt")
    assert f"{CLIP}.pt: holds more than tensors" in refused(stage, "dense")


def test_clip_by_its_tag_without_a_network(weightless, monkeypatch, tmp_path_factory):
    def unreachable(*_, **__):
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr("socket.getaddrinfo", unreachable)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("cache")))
    change("dense", "open_clip:ViT-B-32:openai")
    said = refused(capability, "dense")
    assert "cannot load text encoder open_clip:ViT-B-32:openai" in said
    assert "without a network the path of a checkpoint in `text.encoder`" in said


# --- Stable Diffusion --------------------------------------------------------------------------------


@pytest.fixture
def diffusion(weightless):
    folder = weightless / "weights/diffusion"
    shutil.copytree(REPOSITORY / "models/demo/diffusion", folder)
    change(diffusion="weights/diffusion")
    return folder


def test_diffusion_is_missing(weightless):
    change(diffusion="weights/stable-diffusion-v1-5")
    said = refused(synthesis)
    assert "weights/stable-diffusion-v1-5: no weights here" in said
    assert "`anyscene weights fetch stable-diffusion-v1-5`" in said


def test_diffusion_is_cut_altered_or_a_pickle(diffusion):
    file = diffusion / "unet/diffusion_pytorch_model.safetensors"
    note(diffusion)
    alter(file)
    assert f"{file.relative_to(Path.cwd())}: damaged or not what was published" in refused(synthesis)
    (diffusion / reading.SUMS).unlink()
    cut(file)
    assert "weights/diffusion: cannot load this text-to-image pipeline" in refused(synthesis)
    file.unlink()
    torch.save(Code(Path("ran").resolve()), file.with_suffix(".bin"))
    assert "weights/diffusion/unet: no *.safetensors here" in refused(synthesis)


def test_code_beside_the_weights_does_not_run(diffusion):
    """diffusers takes classes from Python files in a pipeline's folder, older versions unasked."""
    (diffusion / "condition.json").unlink()
    (diffusion / "unet/evil.py").write_text(f"open({str(Path('ran').resolve())!r}, 'w')\nclass Evil: pass\n")
    index = json.loads((diffusion / "model_index.json").read_text())
    (diffusion / "model_index.json").write_text(json.dumps(index | {"unet": ["evil", "Evil"]}))
    assert "weights/diffusion/unet/evil.py: code among weights; nothing of it ran" in refused(synthesis)


# --- SAM ---------------------------------------------------------------------------------------------


SAM = "weights/sam/sam_vit_b_01ec64.pth"


@pytest.fixture
def sam(weightless, monkeypatch):
    """A file under the name of a published one, and as if it were that."""
    change(sam=SAM)
    file = weightless / SAM
    file.parent.mkdir()
    torch.save({"a": torch.zeros(100)}, file)
    listed = File(file.name, hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_size)
    entry = PublishedWeights(
        "sam_vit_b", "", "https://there", "Apache-2.0", "sam", (listed,), url="https://there"
    )
    monkeypatch.setattr(catalogue, "CATALOGUE", (entry,))
    return file


def test_sam_is_missing(weightless):
    change(sam=SAM)
    said = refused(synthesis)
    assert f"{SAM}: no weights here" in said and "`anyscene weights fetch sam_vit_b`" in said


def test_sam_is_cut_altered_or_holds_code(sam):
    content = sam.read_bytes()
    alter(sam, sam.read_bytes().index(b"\x00" * 100))
    assert f"{SAM}: damaged or not what was published" in refused(synthesis)
    sam.write_bytes(content[:-20])
    wanted = f"{SAM}: {len(content) - 20:,} bytes, the published file has {len(content):,}"
    assert wanted in refused(synthesis)
    mine = sam.with_name("mine_vit_b.pth")
    torch.save({"a": torch.zeros(1), "b": Code(Path("ran").resolve())}, mine)
    change(sam=str(mine))
    said = refused(synthesis)
    assert "mine_vit_b.pth: holds more than tensors" in said and "weights_only" not in said
    torch.save({"a": torch.zeros(1)}, mine)
    cut(mine)
    assert "mine_vit_b.pth: damaged weights" in refused(synthesis)


# --- anyscene weights --------------------------------------------------------------------------------


def test_list(weightless):
    result = CliRunner().invoke(weights.app, ["list"])
    assert result.exit_code == 0
    for entry in catalogue.CATALOGUE:
        assert all(said in result.stdout for said in (entry.name, entry.source, entry.licence))
    assert "weights/sam/sam_vit_h_4b8939.pth  sha256 a7bf3b02" in result.stdout and "2.56 GB" in result.stdout


def test_verify(sam):
    found = CliRunner().invoke(weights.app, ["verify"])
    assert found.exit_code == 0 and "fine" in found.stdout and "sam_vit_b_01ec64.pth" in found.stdout
    alter(sam, sam.read_bytes().index(b"\x00" * 100))
    found = CliRunner().invoke(weights.app, ["verify", "sam_vit_b"])
    assert (
        found.exit_code == 1
        and "damaged" in found.stdout
        and "1 of 1 files are missing or damaged" in found.stderr
    )
    sam.unlink()
    found = CliRunner().invoke(weights.app, ["verify", "sam_vit_b"])
    assert found.exit_code == 1 and "missing" in found.stdout
    found = CliRunner().invoke(weights.app, ["verify"])
    assert found.exit_code == 1 and "no published weights are there" in found.stderr
    found = CliRunner().invoke(weights.app, ["verify", "sam"])
    assert found.exit_code == 1 and "no published weights are called 'sam'" in found.stderr


def test_verify_as_json(sam):
    found = CliRunner().invoke(weights.app, ["verify", "--json"])
    (record,) = json.loads(found.stdout)
    assert found.exit_code == 0 and record["file"] == SAM and record["state"] == "fine"
    sam.unlink()
    found = CliRunner().invoke(weights.app, ["verify", "sam_vit_b", "--json"])
    (record,) = json.loads(found.stdout)
    assert found.exit_code == 1 and record["state"] == "missing" and "1 of 1 files" in found.stderr


def test_fetch_without_a_network(weightless, monkeypatch):
    def unreachable(*_, **__):
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr("socket.getaddrinfo", unreachable)
    for name in ("sam_vit_b", "blip"):
        found = CliRunner().invoke(weights.app, ["fetch", name])
        said = " ".join(found.stderr.split())
        assert found.exit_code == 1 and "cannot be fetched" in said and "Network is unreachable" in said
    assert not [path for path in (weightless / "weights").rglob("*") if path.is_file()]


def test_fetch_without_names_takes_what_the_parameters_name(weightless, monkeypatch):
    from anyscene.weights import fetching

    asked = []
    monkeypatch.setattr(fetching, "fetch", lambda entry, root, tell: asked.append((entry.name, root)))
    change(encoder=f"open_clip:ViT-B-32-quickgelu:{CLIP}.safetensors", captioner="blip")
    result = CliRunner().invoke(weights.app, ["fetch"])
    assert result.exit_code == 0, result.output
    assert asked == [("blip", Path("weights")), ("clip-vit-b32", Path("weights"))]
    assert "lseg: by hand from https://github.com/isl-org/lang-seg" in result.stdout


def test_fetch_as_json_says_what_is_there_and_tells_the_rest_on_stderr(weightless, monkeypatch):
    from anyscene.weights import fetching

    monkeypatch.setattr(fetching, "fetch", lambda entry, root, tell: tell(f"{root}: arrived"))
    change(captioner="blip")
    result = CliRunner().invoke(weights.app, ["fetch", "--json"])
    assert result.exit_code == 0, result.output
    found = {one["name"]: one for one in json.loads(result.stdout)}
    assert list(found) == ["lseg", "blip"] and not found["lseg"]["there"]
    assert found["lseg"]["remedy"].startswith("by hand from https://github.com/isl-org/lang-seg")
    assert "weights: arrived" in result.stderr and "lseg: by hand" in result.stderr


def test_fetch_for_a_preset_puts_files_where_it_will_look(weightless, monkeypatch):
    from anyscene.weights import fetching

    asked = []
    monkeypatch.setattr(fetching, "fetch", lambda entry, root, tell: asked.append((entry.name, root)))
    change(model="mask2former")
    Project(weightless).change(segmenters={"weights": "models/demo"})
    before = (weightless / "params.yaml").read_bytes()
    for names in (["sam_vit_h"], []):
        result = CliRunner().invoke(weights.app, ["fetch", *names, "--preset", "scannet"])
        assert result.exit_code == 0, result.output
    found = ["sam_vit_h", "seem", "tap", "clip-vit-b32", "stable-diffusion-v1-5", "sam_vit_h"]
    assert asked == [(name, Path("weights")) for name in found]
    assert (weightless / "params.yaml").read_bytes() == before
    listed = json.loads(CliRunner().invoke(weights.app, ["list", "--preset", "scannet", "--json"]).stdout)
    assert {one["files"][0]["path"].split("/")[0] for one in listed} == {"weights"}
    result = CliRunner().invoke(weights.app, ["fetch", "--preset", "none"])
    assert result.exit_code == 1 and "no preset is called 'none'" in result.stderr


def test_fetch_without_names_where_nothing_published_is_named(weightless):
    change(model="dense")
    result = CliRunner().invoke(weights.app, ["fetch"])
    assert result.exit_code == 1 and "names no published weights" in result.stderr


def test_weights_as_json():
    records = json.loads(CliRunner().invoke(main.app, ["weights", "list", "--json"]).stdout)
    lseg = next(one for one in records if one["name"] == "lseg")
    assert lseg["there"] is False and lseg["files"][0]["path"].endswith("lseg/demo_e200.ckpt")
