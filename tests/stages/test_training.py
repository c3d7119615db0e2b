"""The training stage and what its networks are used for, on a world of three small rooms."""

import dataclasses
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from plyfile import PlyData
from typer.testing import CliRunner

from anyscene import networks
from anyscene.cli import adopt, predict, query
from anyscene.errors import OutputError
from anyscene.learning.engine import curve
from anyscene.learning.engine.checkpoint import Checkpoints
from anyscene.learning.engine.curve import Curve
from anyscene.networks import checkpoint
from anyscene.project import parameters, store
from anyscene.project.parameters import OBJECTIVES
from stages import training
from tests.builders import REPOSITORY, miniature, objectives, training_rooms
from tests.builders.capture import write_scan

pytestmark = pytest.mark.integration

TEXT_WIDTH = 384


def run(app, *arguments: str):
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def write(folder, params):
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def link(data, folder):
    """A folder with the artefacts in `data`, but for what training writes there."""
    folder.mkdir()
    for artefact in data.iterdir():
        if artefact.name != "networks":
            (folder / artefact.name).symlink_to(artefact)


def changed(trained, folder, monkeypatch, name, **changes):
    """A project in `folder` with the data of `trained` and other keys of a network."""
    params = parameters.read(trained / "params.yaml")
    params["training"][name] |= changes
    write(folder, params)
    link(trained / "data", folder / "data")
    monkeypatch.chdir(folder)
    return params


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project folder with a network of every objective."""
    folder = tmp_path_factory.mktemp("project")
    params = parameters.read(REPOSITORY / "params.yaml")
    params["network"] |= {"variant": "14A", "width": 0.25, "voxel": 0.15}
    networks = params["training"]
    networks["distilled"] |= {"from": "random", "batch_norm": "own", "steps": 3, "batch": 2, "warmup": 1}
    networks["ensembled"] |= {"steps": 2, "batch": 2}
    networks["pixels"] = networks["distilled"] | {"kind": "pixel", "title": "by pixels"}
    write(folder, params)
    _, _, fusion = training_rooms.write(folder / "data", range(3))
    for scene in store.scene_ids(fusion):  # features as wide as the text encoder's
        group = store.open_scene(store.scene_path(fusion, scene))
        arrays = {
            name: group[name][:] for name in ("feature", "valid", "superpoint_feature", "superpoint_valid")
        }
        shutil.rmtree(store.scene_path(fusion, scene))
        group = store.create(store.scene_path(fusion, scene), "key")
        for name, array in arrays.items():
            wide = np.pad(array, ((0, 0), (0, TEXT_WIDTH - array.shape[1]))) if array.ndim == 2 else array
            store.write(group, name, wide)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("distilled", "ensembled", "pixels"):
            assert run(training.app, name).exit_code == 0
    return folder


def test_networks_are_written_with_their_curves(trained):
    for place, (name, kind, start) in enumerate(
        (
            ("distilled", "superpoint", None),
            ("ensembled", "ensembling", "distilled"),
            ("pixels", "pixel", None),
        )
    ):
        folder = trained / "models" / name
        names = {"model.safetensors", "network.json", "scenes.txt", "curves"}
        assert {path.name for path in folder.iterdir()} == names
        assert (folder / "scenes.txt").read_text().split() == store.scene_ids(trained / "data/scenes")
        meta = json.loads((folder / "network.json").read_text())
        assert (meta["kind"], meta["start"], meta["place"]) == (kind, start, place)
        assert (meta["voxel"], meta["backend"], meta["supervised"]) == (0.15, "torch", False)
        # whoever fused the features of this test did not note how
        assert meta["trained_on"] == {"dataset": "demo", "scenes": 3, "fusion": None}
        known = json.loads((trained / f"data/networks/{name}.json").read_text())
        assert known == {key: value for key, value in meta.items() if key not in ("made", "digest")}
        assert {"sha256", "curve"} <= known.keys()
        steps, losses = curve.read(folder)
        assert steps.tolist() == list(range(2 if name == "ensembled" else 3))
        assert (losses > 0).all()
    assert not list((trained / ".cache" / "training").rglob("*.*"))  # finished: no checkpoints
    found = networks.described(trained / "models")
    assert [network.name for network in found] == ["distilled", "pixels", "ensembled"]
    assert [network.title for network in found] == [
        "superpoint distillation", "by pixels", "+ temporal ensembling",
    ]  # fmt: skip


def test_a_network_that_is_trained_is_not_trained_again(trained, monkeypatch, tmp_path):
    """Until a value that enters changes, or a file is not whole. Another title is no such value."""
    shutil.copytree(trained, tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(tmp_path / "copy")
    weights = Path("models/distilled/model.safetensors")
    before, written = weights.read_bytes(), weights.stat().st_mtime_ns

    def train(**changes):
        params = parameters.read()
        params["training"]["distilled"] |= changes
        Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        result = run(training.app, "distilled")
        assert result.exit_code == 0, result.output
        return "unchanged" in result.stderr

    assert train() and train(title="another name")
    assert weights.stat().st_mtime_ns == written
    assert json.loads(Path("models/distilled/network.json").read_text())["title"] == "another name"
    whole = files(Path("models/distilled"))

    def altered(old, new):
        path = Path("models/distilled/network.json")
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    for old, new in (('"voxel": 0.15', '"voxel": 0.5'), ('"torch"', '"tor"'), ('"seed"', '"sead"')):
        altered(old, new)
        assert train() and files(Path("models/distilled")) == whole  # it is written again, nothing is trained
    damaged = bytearray(before)
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    assert not train() and files(Path("models/distilled")) == whole
    for file in sorted(Path("models/distilled/curves").rglob("*.*")):
        file.write_bytes(file.read_bytes()[:-1])
        assert not train() and files(Path("models/distilled")) == whole
    altered('"by": "', '"by": "0')
    assert not train() and files(Path("models/distilled")) == whole
    assert not train(learning_rate=1e-3) and weights.read_bytes() != before


@pytest.fixture
def own(trained, monkeypatch, tmp_path):
    """A project that trains an objective of another package, whose code a test may edit; in its folder."""
    site = tmp_path / "site"
    site.mkdir()
    code = site / f"other_code{next(NUMBERS)}.py"  # a module that was looked up once stays where it was
    code.write_text(CODE.format(name=code.stem))
    information = site / "other_code-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: other-code\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[anyscene.objectives]\nother = {code.stem}:ENTRY\n")
    monkeypatch.syspath_prepend(str(site))
    folder = tmp_path / "project"
    folder.mkdir()
    params = changed(trained, folder, monkeypatch, "distilled", kind="other", steps=8)
    params["runtime"]["checkpoint_seconds"] = 0.0
    write(folder, params)
    (folder / "stages").symlink_to(REPOSITORY / "stages")
    return code


NUMBERS = itertools.count()
CODE = """from anyscene.learning.entry import Entry
from anyscene.learning.objectives.superpoint import Settings
from anyscene.learning.objectives.superpoint.objective import SuperpointDistillation


class Other(SuperpointDistillation):
    def before_step(self, done):
        self.factor = 1  # of the loss


ENTRY = Entry("other", Settings, "{name}:Other")
"""


class Stopped(BaseException):
    """As a signal would."""


def stop(monkeypatch, after):
    """Stop the next training after so many steps, when its checkpoint is written."""
    save = Checkpoints.save

    def stopping(self, fingerprint, rows, *rest):
        save(self, fingerprint, rows, *rest)
        if len(rows) == after:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", stopping)
        with pytest.raises(Stopped):
            run(training.app, "distilled")


def edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def begun_at(monkeypatch):
    """The step that the training begins at, or None where it does not train."""
    steps = []
    with monkeypatch.context() as patch:
        patch.setattr(Curve, "add", lambda self, row: None)
        add = Curve.replay
        patch.setattr(Curve, "replay", lambda self, rows: steps.append(len(rows)) or add(self, rows))
        result = run(training.app, "distilled")
    assert result.exit_code == 0, result.output
    return steps[0] if steps else None


def test_a_comment_clears_no_checkpoint_and_a_formula_does(own, monkeypatch):
    stop(monkeypatch, 3)
    edit(own, "# of the loss", "# of what is minimised")
    stop(monkeypatch, 5)  # which it only reaches from there
    assert [path.name for path in Path(".cache/training/distilled").glob("step-*")] == ["step-5"]
    edit(own, "self.factor = 1", "self.factor = 1 + 0")
    assert begun_at(monkeypatch) == 0


def halve(key):
    params = parameters.read()
    params["training"]["distilled"][key] /= 2
    write(Path.cwd(), params)


def test_a_training_that_stops_keeps_the_network_of_before(own, monkeypatch):
    run(training.app, "distilled")
    params, before = parameters.read(), files(Path("models/distilled"))
    halve("learning_rate")
    stop(monkeypatch, 3)
    assert files(Path("models/distilled")) == before
    write(Path.cwd(), params)
    assert begun_at(monkeypatch) is None and files(Path("models/distilled")) == before


def test_a_network_that_cannot_be_saved_leaves_its_checkpoint_and_the_network_of_before(own, monkeypatch):
    run(training.app, "distilled")
    before = files(Path("models/distilled"))
    halve("learning_rate")

    def fail(network, folder, meta):
        raise OutputError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("anyscene.learning.train.save", fail)
        assert "the disk is full" in run(training.app, "distilled").stderr
    assert files(Path("models/distilled")) == before
    assert [path.name for path in Path(".cache/training/distilled").glob("step-*")] == ["step-7"]
    assert begun_at(monkeypatch) == 7 and not Path(".cache/training/distilled").exists()
    assert not Path(".cache/curves/distilled").exists()


def test_a_stopped_training_is_adopted_and_goes_on(own, monkeypatch):
    stop(monkeypatch, 5)
    kept = files(Path(".cache/training/distilled"))
    edit(own, "self.factor = 1", "self.factor = 1 + 0")
    assert adopted("--check", "4").endswith("training distilled: 4 steps compared, checkpoint adopted")
    now = files(Path(".cache/training/distilled"))
    assert {name for name in kept if kept[name] != now[name]} == {"step-5/state.json"}
    assert kept.keys() == now.keys() and not list(Path(".cache/training").glob(".*"))
    assert begun_at(monkeypatch) == 5


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def adopted(*options, code=0):
    """What `anyscene adopt training distilled` says."""
    result = run(adopt.app, "training", "distilled", *options)
    assert result.exit_code == code, result.output + result.stderr
    return " ".join(result.stderr.split())


def test_a_trained_network_is_adopted_where_its_first_steps_are_the_same(own, monkeypatch):
    run(training.app, "distilled")
    folder = Path("models/distilled")
    known = Path("data/networks/distilled.json").read_bytes()
    whole, weights = files(folder), (folder / "model.safetensors").stat().st_mtime_ns
    assert "nothing to adopt" in adopted(code=1)  # today's code made it
    edit(own, "self.factor = 1", "self.factor = 1 + 0")
    for check in ("3", "100"):
        assert f"{min(int(check), 8)} steps compared, network adopted" in adopted("--check", check)
        assert begun_at(monkeypatch) is None and (folder / "model.safetensors").stat().st_mtime_ns == weights
        edit(own, "1 + 0", "1 + 0 + 0")
    assert {name for name in whole if files(folder)[name] != whole[name]} == {"network.json"}
    assert Path("data/networks/distilled.json").read_bytes() == known  # so that nothing after it runs
    taken = json.loads((folder / "network.json").read_text())["adopted"]
    assert [one["compared"] for one in taken] == [3, 8] and len({one["from"] for one in taken}) == 2


@pytest.mark.parametrize("name", ["loss", "learning_rate"])
def test_a_network_with_another_curve_is_not_adopted(own, monkeypatch, name):
    """By one digit, in the last of the steps that are compared."""
    run(training.app, "distilled")
    before = Path("models/distilled/network.json").read_bytes()
    edit(own, "self.factor = 1", "self.factor = 1 + 0")
    file = Path(f"models/distilled/curves/plots/metrics/{name}.tsv")
    lines = file.read_text().splitlines()
    step, value = lines[3].split("\t")
    lines[3] = f"{step}\t{np.nextafter(float(value), 1)!r}".replace("np.float64(", "").rstrip(")")
    file.write_text("\n".join(lines) + "\n")
    assert f"step 2 has {name}" in adopted("--check", "3", code=1)
    assert Path("models/distilled/network.json").read_bytes() == before
    assert "2 steps compared" in adopted("--check", "2")


def test_a_network_of_other_parameters_or_damaged_is_not_adopted(own, monkeypatch):
    run(training.app, "distilled")
    edit(own, "self.factor = 1", "self.factor = 1 + 0")
    params = parameters.read()
    params["training"]["distilled"]["learning_rate"] /= 2
    write(Path.cwd(), params)
    assert "nothing to adopt" in adopted(code=1)
    params["training"]["distilled"]["learning_rate"] *= 2
    write(Path.cwd(), params)
    weights = Path("models/distilled/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    assert "nothing to adopt" in adopted(code=1)


def test_training_goes_on_from_given_weights(trained, monkeypatch, tmp_path):
    """With a learning rate of zero the network stays the one it started from."""
    shutil.copytree(trained / "models" / "distilled", tmp_path / "models" / "mine" / "best")
    changed(
        trained, tmp_path, monkeypatch, "distilled", steps=1, warmup=0, learning_rate=0.0,
        final_learning_rate=0.0, **{"from": "mine/best"},
    )  # fmt: skip
    assert run(training.app, "distilled").exit_code == 0
    before, _ = networks.load(trained / "models" / "distilled")
    after, meta = networks.load(tmp_path / "models" / "distilled")
    assert meta["start"] == "mine/best"
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        assert torch.equal(old, new), name


def test_whether_the_last_layer_has_a_bias_is_what_its_weights_say(trained, monkeypatch, tmp_path):
    """The weights of OpenScene and SAS have none, whatever `network.bias` says of random ones."""
    network, _ = networks.load(trained / "models/distilled")
    state = {f"module.net3d.{name}": tensor for name, tensor in network.state_dict().items()}
    del state["module.net3d.final.bias"]
    changed(
        trained, tmp_path, monkeypatch, "distilled", steps=1, warmup=0, learning_rate=0.0,
        final_learning_rate=0.0, **{"from": "theirs.pth.tar"},
    )  # fmt: skip
    (tmp_path / "models").mkdir()
    torch.save({"state_dict": state}, tmp_path / "models/theirs.pth.tar")
    assert run(training.app, "distilled").exit_code == 0
    after, _ = networks.load(tmp_path / "models" / "distilled")
    assert after.final.bias is None and after.settings["bias"] is False
    for (name, old), new in zip(state.items(), after.state_dict().values(), strict=True):
        assert torch.equal(old, new) or "running" in name or "num_batches" in name, name


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("demo/student/model.safetensors", "`from: random` in an entry of `training`"),
        ("none", "training.distilled.from: models/none is not there"),
        ("known", "was trained with network.voxel 0.3, not 0.15"),
        ("broken", "broken/network.json: not the description of a network"),
        ("flipped", "flipped/model.safetensors: not the weights that network.json"),
    ],
)
def test_weights_that_do_not_fit_are_refused(trained, monkeypatch, tmp_path, start, message):
    changed(trained, tmp_path, monkeypatch, "distilled", **{"from": start})
    models = tmp_path / "models"
    for name in ("known", "broken", "flipped"):
        shutil.copytree(trained / "models/distilled", models / name)
    (models / "demo").symlink_to(REPOSITORY / "models" / "demo")
    checkpoint.describe(models / "known", {"voxel": 0.3})
    (models / "broken" / "network.json").write_text("{")
    content = bytearray((models / "flipped" / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (models / "flipped" / "model.safetensors").write_bytes(content)
    result = run(training.app, "distilled")
    assert result.exit_code == 1
    assert message in " ".join((result.output + result.stderr).split())


@pytest.mark.parametrize("name", ["distilled", "ensembled"])
def test_two_processes_give_the_curve_of_one(trained, tmp_path, name):
    """The same command under torchrun, over gloo, half the batch each."""
    params = parameters.read(trained / "params.yaml")
    params["network"] |= {"precision": "float32"}
    # gently: in float32 Adam makes whole steps of rounding errors (those of the engine have none)
    params["training"]["distilled"] |= {"batch_norm": "shared", "steps": 6, "learning_rate": 5e-4}
    params["training"]["ensembled"] |= {"batch_norm": "shared", "steps": 6, "start": "code"}
    curves = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        write(folder, params)
        link(trained / "data", folder / "data")
        shutil.copytree(trained / "models", folder / "models")
        launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
        subprocess.run(
            [sys.executable, "-m", *(launcher if processes > 1 else ()), "stages.training", name],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
            check=True,
        )
        curves.append(curve.read(folder / "models" / name)[1])
        assert (folder / "models" / name / "model.safetensors").is_file()
    assert len(curves[0]) == 6
    assert np.abs(curves[0] / curves[1] - 1).max() < 1e-4


def test_an_unknown_network_is_refused(trained, monkeypatch):
    monkeypatch.chdir(trained)
    result = run(training.app, "voxel")
    assert result.exit_code == 1
    assert "no 'voxel' there; there are distilled, ensembled, pixels" in " ".join(
        (result.output + result.stderr).split()
    )


@pytest.fixture
def probed(trained, monkeypatch, tmp_path):
    """A project in which another package's objectives are two more entries of `training`."""
    monkeypatch.syspath_prepend(str(objectives.install(tmp_path / "site")))
    folder = tmp_path / "project"
    folder.mkdir()
    params = changed(trained, folder, monkeypatch, "distilled")
    own = {field.name for field in dataclasses.fields(OBJECTIVES.get("superpoint").settings)}
    common = {key: value for key, value in params["training"]["distilled"].items() if key not in own}
    common |= {"from": "ensembled"}
    params["training"]["masked"] = common | {
        "kind": "masked", "target": "scenes", "masked": 0.3, "momentum": 0.9, "sharpness": 2.0,
        "optimiser": "adamw", "weight_decay": 0.05, "schedule": "one_cycle", "clip": 1.0, "ema": 0.5,
    }  # fmt: skip
    params["training"]["probe"] = common | {"kind": "probe", "target": "labels", "temperature": 0.1}
    write(folder, params)
    shutil.copytree(trained / "models", folder / "models")
    return folder


def test_objectives_of_another_package_are_entries_like_others(probed):
    assert run(training.app, "masked").exit_code == 0
    assert not list((probed / "data").rglob("labels")), "what declares nothing trains without labels"
    found = networks.described(probed / "models")[-1]
    assert (found.name, found.kind, found.start, found.supervised) == ("masked", "masked", "ensembled", False)


def test_labels_reach_an_objective_only_if_it_declares_it(probed, trained, monkeypatch):
    result = run(training.app, "probe")
    assert result.exit_code == 1
    assert "data/labels/room0.zarr: no artefact here" in " ".join((result.output + result.stderr).split())
    data = probed / "data"
    shutil.rmtree(data)
    shutil.copytree(trained / "data", data)
    training_rooms.write_labels(data, range(3))
    read = []
    reader = store.open_scene
    monkeypatch.setattr(store, "open_scene", lambda path: read.append(path.parent.name) or reader(path))
    for name, sees in (("masked", False), ("distilled", False), ("ensembled", False), ("probe", True)):
        read.clear()
        assert run(training.app, name).exit_code == 0
        assert ("labels" in read) == sees, name
    found = {network.name: network.supervised for network in networks.described(probed / "models")}
    assert [name for name, supervised in found.items() if supervised] == ["probe"]


def test_a_supervised_objective_may_learn_from_fused_features_too(probed, trained):
    data = probed / "data"
    shutil.rmtree(data)
    shutil.copytree(trained / "data", data)
    training_rooms.write_labels(data, range(3))
    params = parameters.read(probed / "params.yaml")
    params["training"]["probe"] |= {"target": "fusion", "beside": "labels"}
    write(probed, params)
    assert "unchanged" not in run(training.app, "probe").stderr
    assert "unchanged" in run(training.app, "probe").stderr
    for folder in ("fusion", "labels"):  # both count
        path = store.scene_path(data / folder, "room0")
        arrays = {name: store.open_scene(path)[name][:] for name in store.open_scene(path)}
        shutil.rmtree(path)
        group = store.create(path, "another key")
        for name, array in arrays.items():
            store.write(group, name, array)
        assert "unchanged" not in run(training.app, "probe").stderr, folder


def test_a_capture_is_labelled(trained, monkeypatch, tmp_path):
    monkeypatch.chdir(trained)
    scan = write_scan(tmp_path / "captures", "my_room")
    model = ("--model", str(trained / "models" / "ensembled"))
    result = run(predict.app, str(scan), *model, "--out", str(tmp_path / "labels.ply"))
    assert result.exit_code == 0, result.output
    mesh = PlyData.read(tmp_path / "labels.ply")
    source = PlyData.read(scan / "mesh.ply")
    assert np.array_equal(mesh["vertex"]["x"], source["vertex"]["x"])
    assert len(mesh["face"].data) == len(source["face"].data)
    assert set(mesh["vertex"]["label"]) <= set(range(20))
    assert f"{len(source['vertex'].data)} points" in result.output
    again = run(
        predict.app, str(scan), *model, "--out", str(tmp_path / "again.ply"), "--labels",
        str(miniature.doubled(tmp_path / "several.csv")),
    )  # fmt: skip
    assert again.exit_code == 0, again.output
    assert np.array_equal(PlyData.read(tmp_path / "again.ply")["vertex"]["label"], mesh["vertex"]["label"])


def test_a_text_is_found(trained, monkeypatch, tmp_path):
    monkeypatch.chdir(trained)
    result = run(query.app, "room0", "somewhere to sit", "--out", str(tmp_path / "heat.ply"))
    assert result.exit_code == 0, result.output
    similarity = PlyData.read(tmp_path / "heat.ply")["vertex"]["similarity"]
    assert len(similarity) == len(training_rooms.room(0)[0].xyz)
    assert -1 <= similarity.min() < similarity.max() <= 1
