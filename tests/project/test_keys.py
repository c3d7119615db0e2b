"""Every key and fingerprint changes with each of its parts, and with nothing else."""

import ast
import copy
import dataclasses
import functools
import typing
from pathlib import Path

import numpy as np
import pytest
import torch

from anyscene.errors import PipelineError
from anyscene.fusion import fuse_scenes
from anyscene.learning import train
from anyscene.learning.engine.checkpoint import Checkpoints
from anyscene.project import layout, parameters, per_scene, store
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import OBJECTIVES, Augmentation, Dataset, Recipe, Segmenters, Training
from anyscene.project.stages import Stage, declared
from anyscene.segmenters.precomputed import image_index
from tests.builders import REPOSITORY, miniature, training_rooms
from tests.builders.nested import leaves

PACKAGE = REPOSITORY / "pipeline/anyscene"
HASHING = {"sha256", "sha1", "blake2b", "file_digest", "content_key", "_hash"}
HERE, NOT_A_VALUE = "project/test_keys.py", ""
FINGERPRINT = f"{HERE}::test_a_fingerprint_changes_with_each_of_its_parts"
# A function that hashes -> its parts: arguments, their attributes, constants of the module -> the test that
# changes it. A part that is no value says only where something lies, or what a message calls it.
PARTS = {
    "datasets/import_labels.py _label_key": {
        "truth": "datasets/test_rgbd.py::test_key_changes_with_every_file_read_but_not_with_annotation",
        "cloud": "stages/test_scenes.py::test_labels_are_of_the_cloud_that_they_were_made_for",
        "scene": NOT_A_VALUE,
    },
    "datasets/raw_files.py _key": {
        "content_of": "datasets/test_rgbd.py::test_key_changes_with_every_file_read_but_not_with_annotation",
        "extra": "datasets/test_rgbd.py::test_key_depends_on_the_split",
    },
    "learning/engine/checkpoint.py fingerprint": {
        **dict.fromkeys(("how.augmentation", "how.inputs", "how.voxel", "objective.identity"), FINGERPRINT),
        **dict.fromkeys(("network.backend", "network.precision", "network.settings"), FINGERPRINT),
        **dict.fromkeys(("part.state_dict", "self.data", "self.given"), FINGERPRINT),
        "objective.context": NOT_A_VALUE,
        "recipe": f"{HERE}::test_a_fingerprint_changes_with_each_key_of_the_recipe",
    },
    "learning/engine/history.py checksum": {
        "content.data": "learning/engine/test_history.py::test_missing_and_damaged_files_are_named",
    },
    "project/index.py _values": {"artefact": "project/test_index.py::test_another_value_is_another_name"},
    "networks/checkpoint.py save": {
        "network": "networks/test_trained.py::test_a_flipped_bit_is_refused_by_name",
        "meta": "networks/test_trained.py::test_an_altered_description_is_refused_by_name",
        "folder": NOT_A_VALUE,
        "WEIGHTS": NOT_A_VALUE,
    },
    "networks/checkpoint.py digest": {
        "network": "stages/test_training.py::test_a_network_of_other_parameters_or_damaged_is_not_adopted",
    },
    "networks/checkpoint.py _digest": {
        "content": "networks/test_trained.py::test_an_altered_description_is_refused_by_name",
        "DIGEST": NOT_A_VALUE,
    },
    "project/caches.py folder": {
        "usual.name": "project/test_caches.py::test_else_each_has_a_place_of_its_own_below_the_temporary_one",
    },
    "project/digests.py content_hash": {
        "file": "project/test_digests.py::test_depends_on_names_and_contents_of_what_is_wanted",
    },
    "project/digests.py of_files": {
        "files": "project/test_digests.py::test_depends_on_names_and_contents_of_what_is_wanted",
        "folder": NOT_A_VALUE,
        **dict.fromkeys(("ours", "growing"), NOT_A_VALUE),  # what is remembered
    },
    "project/freshness.py _rule": {},
    "project/freshness.py _parsed": {
        "file.name": "project/test_freshness.py::test_relative_imports_are_followed",
        "name": "project/test_freshness.py::test_relative_imports_are_followed",
    },
    "project/freshness.py _hash": {"value": f"{HERE}::test_freshness_says_what_changed"},
    "project/freshness.py made_by": {
        **dict.fromkeys(("self.code", "self.packages"), f"{HERE}::test_freshness_says_what_changed")
    },
    "project/freshness.py given": {
        **dict.fromkeys(("self.files", "self.settings"), f"{HERE}::test_freshness_says_what_changed")
    },
    "project/freshness.py digest": {
        "modules": "project/test_freshness.py::test_a_module_that_is_reached_from_now_on_counts",
        **dict.fromkeys(
            ("self.content", "self.data"),
            "project/test_freshness.py::test_a_data_file_that_a_module_names_beside_itself_is_code",
        ),
    },
    "project/per_scene.py run": {
        "keys": "project/test_per_scene.py::test_a_changed_input_costs_its_scene",
        **dict.fromkeys(
            ("parameters", "fresh.given", "fresh.made_by"),
            "project/test_per_scene.py::test_whatever_enters_the_values_costs_all_scenes",
        ),
        "fresh.check": NOT_A_VALUE,
        **dict.fromkeys(("compute", "output", "workers", "failures", "label"), NOT_A_VALUE),
    },
    "project/per_scene.py content_key": {"parts": "project/test_per_scene.py::test_content_key_is_fixed"},
    "project/per_scene.py join": {"upstream": "project/test_per_scene.py::test_join"},
    "project/per_scene.py __call__": {
        **dict.fromkeys(
            ("given", "self.made_by"),
            "project/test_per_scene.py::test_whatever_enters_the_values_costs_all_scenes",
        ),
        **dict.fromkeys(("scene", "self.compute", "self.output", "self.workspace"), NOT_A_VALUE),
    },
    "text/__init__.py refuse_altered": {
        "folder": "text/test_text.py::test_weights_that_were_altered_since_they_were_installed_are_refused",
        "MINILM": NOT_A_VALUE,
    },
    "project/store.py _digest": {
        "attributes": "project/test_store.py::test_altered_attributes_are_refused_by_whoever_reads_them",
        "NOTED": NOT_A_VALUE,
    },
    "project/store.py write_scene": {
        **dict.fromkeys(
            ("scene.xyz", "scene.normal", "scene.face"),
            "project/test_store.py::test_the_geometry_key_is_of_points_normals_and_faces",
        ),
        **dict.fromkeys(("group.attrs", "root", "scene.dataset", "scene.frames", "scene.lost"), NOT_A_VALUE),
        **dict.fromkeys(("scene.remarks", "scene.rgb", "scene.split", "scene.world"), NOT_A_VALUE),
    },
    "segmenters/precomputed/image_index.py image_key": {
        "image.shape": f"{HERE}::test_an_image_is_known_by_its_shape_and_its_pixels",
    },
    "text/kept.py identity": {
        **dict.fromkeys(
            ("encoder", "weights", "PACKAGES"),
            "text/test_kept.py::test_the_identity_has_all_that_embeddings_depend_on",
        ),
    },
}


def parts_of_keys(source: str) -> dict[str, set[str]]:
    """What each function that hashes is given: attributes of its arguments and of what they are called by,
    whole arguments where no attribute is asked for, and constants of the module."""
    tree, found = ast.parse(source), {}
    given = {"self"} | {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        inside = [node for node in ast.walk(function) if node is not function]
        if not any(isinstance(node, ast.Call) and called(node) in HASHING for node in inside):
            continue
        of = function.args
        arguments = {each.arg for each in (*of.posonlyargs, *of.args, *of.kwonlyargs)} - {"self"}
        arguments |= {each.arg for each in (of.vararg, of.kwarg) if each is not None}
        iterated = {
            name.id
            for node in inside
            if isinstance(node, ast.For)
            and arguments & {one.id for one in ast.walk(node.iter) if isinstance(one, ast.Name)}
            for name in ast.walk(node.target)
            if isinstance(name, ast.Name)
        }
        methods = {id(node.func) for node in inside if isinstance(node, ast.Call)}
        asked = {
            (node.value.id, node.attr)
            for node in inside
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and (id(node) not in methods or node.attr == "state_dict" or node.value.id == "self")
            and not (node.value.id == "self" and node.attr.startswith("_"))
        }
        known = {(name, attribute) for name, attribute in asked if name in arguments | iterated | given}
        whole = arguments - {name for name, _ in known}
        constants = {node.id for node in inside if isinstance(node, ast.Name) and node.id.isupper()}
        found[function.name] = {f"{name}.{attribute}" for name, attribute in known} | whole | constants
    return found


def called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def test_each_part_of_each_key_has_a_test():
    """Of weights/ only what is fetched is compared with what was published: these are no keys."""
    found = {
        f"{path.relative_to(PACKAGE).as_posix()} {name}": parts
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.parent.name != "weights"
        for name, parts in parts_of_keys(path.read_text()).items()
    }
    assert found == {name: set(parts) for name, parts in PARTS.items()}
    for test in {test for parts in PARTS.values() for test in parts.values()} - {NOT_A_VALUE}:
        path, _, name = test.partition("::")
        assert f"def {name}(" in (REPOSITORY / "tests" / path).read_text(), test


def test_parts_of_keys_are_noticed():
    code = (
        "def key(self, a, b, c=1):\n    for d in (b,):\n        use(d.deep)\n"
        "    return sha256(f'{self.e}{a.f}{c}{LIST}{a.method()}')\ndef none(a): return a"
    )
    assert parts_of_keys(code) == {"key": {"self.e", "a.f", "b", "c", "d.deep", "LIST"}}


# ---- what a stage writes for each scene -----------------------------------------------------------------


class Stop(Exception):
    pass


def another(value, kind=None):
    """A value that the same key could have."""
    if typing.get_origin(kind) is typing.Literal:
        return next(one for one in typing.get_args(kind) if one != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 2
    if isinstance(value, float):
        return value / 2 or 0.5
    if isinstance(value, list):
        return value[::-1]
    return f"other {value}"


CHOICES = {  # keys whose text is one of some -> another one; the rest of their kind comes from their types
    "dataset.label_set": "scannet200",
    "dataset.reader": "scannet",
    "text.encoder": "open_clip:ViT-B-32:openai",
    "text.template": "the {}",
    "synthesis.prompt": "a {}",
    "segmenters.lseg.crop": 320,
    "training.distilled.kind": "pixel",
    "vocabulary": [*miniature.VOCABULARY, "lamp"],
    "training.distilled.from": "random",
    "evaluation.label_sets": ["nyu40"],
    "training.distilled.superpoint_mean": "voxels",
}


def kinds() -> dict[str, object]:
    """The type of each key of params.yaml, with those that entries declare."""
    sections: dict[str, type] = dict(typing.get_type_hints(parameters.Params))
    for section, entries in (("dataset", Dataset.ENTRIES), ("segmenters", Segmenters.ENTRIES)):
        for name in entries.names():
            sections[f"{section}.{name}"] = getattr(entries.get(name), "settings", None)
    sections["training.distilled"] = Training
    return {
        f"{section}.{field}": kind
        for section, of in sections.items()
        if dataclasses.is_dataclass(of)
        for field, kind in typing.get_type_hints(of).items()
    }


KINDS = kinds()


def changed(values, key):
    """A copy of params.yaml in which `key` has another value."""
    copied = copy.deepcopy(values)
    *sections, name = key.split(".")
    section = functools.reduce(dict.__getitem__, sections, copied)
    section[name] = CHOICES.get(key) or another(section[name], KINDS.get(key))
    return copied


def within(key, declared_keys):
    return any(key == one or key.startswith(f"{one}.") for one in declared_keys)


STAGES = declared(REPOSITORY / "stages")
BY_SCENE = sorted(stage.name for stage in STAGES.values() if stage.by_scene)
ELSEWHERE = ("dataset.root", "dataset.reader", "runtime.device")  # another one finds no scene, or no device
UNSEEN = {  # (stage, a parameter that it declares) that changes no key -> why
    (
        "projection",
        "text.template",
    ): "captions are encoded as they are; a package's own 2D model may ask for it",
    ("projection", "vocabulary"): "captions of masks say it only where segmenters.nouns does",
}


@pytest.fixture
def keys_of(rooms, tmp_path, monkeypatch):
    """The content keys that a stage would give its scenes in a finished project, by parameters."""
    miniature.copy(rooms, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")

    def run(compute, keys, output, *, parameters, fresh, **_):
        said = {scene: per_scene.content_key(key, parameters, fresh.given) for scene, key in keys.items()}
        found.append(said)
        raise Stop

    found: list[dict[str, str]] = []
    monkeypatch.setattr(per_scene, "run", run)
    monkeypatch.setattr(fuse_scenes.measured, "read", lambda folder, model, names: np.full(len(names), 0.5))

    def keys(stage: Stage, values) -> list[dict[str, str]]:
        params = parameters.parse(values, "here")
        found.clear()
        for item in stage.items(params):
            files = {str(path): "content" for path in stage.files(params, item)}  # which alone counts
            fresh = Freshness("code", {}, files, settings=tuple(stage.settings(params, item)))
            module = __import__(f"stages.{stage.name}", fromlist=[stage.name])
            try:
                getattr(module, stage.name)(*([] if item is None else [item]), params, fresh)
            except Stop:
                continue
        return sorted((dict(said) for said in found), key=str)

    return keys


@pytest.mark.parametrize("name", BY_SCENE)
def test_a_scene_has_another_key_where_a_parameter_of_its_stage_is_another(keys_of, name):
    """And no other parameter changes it: DVC would not run the stage."""
    stage, values = STAGES[name], parameters.read("params.yaml")
    before = keys_of(stage, values)
    assert before and all(before)
    wrong = []
    for key in [".".join(keys) for keys, _ in leaves(values)]:
        if key.startswith("training.") or key in ELSEWHERE:
            continue
        try:
            differs = keys_of(stage, changed(values, key)) != before
        except PipelineError as error:
            differs = f"refused: {error}"
        if differs != within(key, stage.parameters) and (name, key) not in UNSEEN:
            wrong.append((key, differs))
    assert wrong == []


@pytest.mark.parametrize("name", [name for name in BY_SCENE if name not in ("scenes", "synthesis")])
def test_a_scene_has_another_key_where_what_its_stage_reads_is_another(keys_of, name):
    stage, values = STAGES[name], parameters.read("params.yaml")
    before = keys_of(stage, values)
    folders = [Path(folder) for folder in stage.reads if Path(folder).is_relative_to(layout.DATA)]
    for folder in folders:
        for path in sorted(folder.rglob("*.zarr")):
            noted = store.open_scene(path).attrs
            store.note(path, key="another", **({"geometry": "another"} if "geometry" in noted else {}))
        after = keys_of(stage, values)
        read = any(folder.rglob("*.zarr"))
        assert [one != other for one, other in zip(before, after, strict=True)] == [read] * len(before), (
            folder
        )
        before = after


# ---- what a training is known by ------------------------------------------------------------------------


def fingerprint(folder, part="", recipe=None):
    """That of a training in which `part` is another."""
    network = training_rooms.network(1 if part == "weights" else 0)
    changes = {
        "voxel": {"voxel": 0.2},
        "inputs": {"inputs": "geometry"},
        "turn": {"augmentation": Augmentation("quarter", 0.5)},
        "elastic": {"augmentation": Augmentation("free", 0.25)},
        "mirror": {"augmentation": Augmentation("free", 0.5, mirror=0.5)},
        "shift": {"augmentation": Augmentation("free", 0.5, shift=100)},
        "enabled": {"augmentation": Augmentation("free", 0.5, enabled=False)},
    }
    where = {"augmentation": Augmentation("free", 0.5)} | changes.get(part, {})
    context = training_rooms.context(network, folder, **where)
    objective = training_rooms.objective("ensembling" if part == "objective" else "superpoint", context)
    if part == "parameters of the objective":
        objective.more = torch.nn.Parameter(torch.ones(1))
    if part in ("backend", "precision"):
        setattr(network, part, "another")
    if part == "settings":
        network.settings["width"] = 2.0
    kept = {"by": "code", "given": "files", "data": {"room": ["one", "two"]}}
    kept |= {"given": {"given": "others"}, "data": {"data": {"room": ["two", "one"]}}}.get(part, {})
    checkpoints = Checkpoints(folder, 60, **kept)
    return checkpoints.fingerprint(network, objective, recipe or training_rooms.recipe(3))


@pytest.mark.parametrize(
    "part",
    [
        *("weights", "settings", "backend", "precision", "voxel", "inputs", "turn", "elastic"),
        *("mirror", "shift", "enabled"),
        *("objective", "parameters of the objective", "given", "data"),
    ],
)
def test_a_fingerprint_changes_with_each_of_its_parts(tmp_path, part):
    assert fingerprint(tmp_path) == fingerprint(tmp_path)
    assert fingerprint(tmp_path) != fingerprint(tmp_path, part)


@pytest.mark.parametrize("key", [field.name for field in dataclasses.fields(Recipe)])
def test_a_fingerprint_changes_with_each_key_of_the_recipe(tmp_path, key):
    before = training_rooms.recipe(3, optimiser="adamw", weight_decay=0.1)
    if key == "optimiser":
        before = dataclasses.replace(before, weight_decay=0.0)
    value = another(getattr(before, key), typing.get_type_hints(Recipe)[key])
    after = dataclasses.replace(before, **{key: value})
    assert fingerprint(tmp_path, recipe=before) != fingerprint(tmp_path, recipe=after)


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (kind, field.name)
        for kind in OBJECTIVES.names()
        for field in dataclasses.fields(OBJECTIVES.get(kind).settings)
    ],
)
def test_the_identity_of_an_objective_changes_with_each_of_its_settings(tmp_path, kind, key):
    def identity(**settings):
        context = training_rooms.context(training_rooms.network(), tmp_path)
        return training_rooms.objective(kind, context, **settings).identity

    hint = typing.get_type_hints(OBJECTIVES.get(kind).settings)[key]
    assert identity() != identity(**{key: another(training_rooms.SETTINGS[key], hint)})


NETWORK = {"variant": "14A", "width": 0.25, "voxel": 0.2, "input": "geometry", "precision": "float32"}
ALIKE = {  # parameters of a training after which its network is the same -> why
    "training.distilled.title": "it is written anew",
}


@pytest.fixture
def made(rooms, tmp_path, monkeypatch):
    """What a training in a finished project would be made from, by parameters."""
    miniature.copy(rooms, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    for path in sorted(Path("data").glob("*/*.zarr")):
        store.note(path, key=f"of {path.parent.name}")
    found: list[str] = []

    def is_trained(folder, made, label):
        found.append(made["given"])
        raise Stop

    monkeypatch.setattr(train, "is_trained", is_trained)

    def given(values):
        params = parameters.parse(values, "here")
        fresh = Freshness("code", settings=tuple(STAGES["training"].settings(params, "distilled")))
        with pytest.raises(Stop):
            train.train_network("distilled", params, layout.Artefacts(), fresh)
        return found.pop()

    return given


def trainable():
    values = parameters.read("params.yaml")
    values["network"] |= NETWORK
    values["runtime"] |= {"device": "cpu"}
    recipe = {"from": "pixelwise", "optimiser": "adamw", "weight_decay": 0.1, "batch_norm": "own"}
    values["training"]["distilled"] |= recipe
    return values


def test_a_training_begins_again_where_a_parameter_is_another(made):
    """And only then: DVC would not run the stage."""
    values = trainable()
    before, wrong = made(values), []
    declares = [key.replace("${key}", "distilled") for key in STAGES["training"].parameters]
    # another network or data of another form fit with no other parameter, so they are tried by themselves
    apart = ("network.variant", "network.width", "network.voxel", "network.input", "network.bias")
    apart += tuple(f"training.distilled.{key}" for key in ("target", "beside", "optimiser"))
    for key in [".".join(keys) for keys, _ in leaves(values)]:
        if key in apart or not within(key, [*declares, "text", "fusion", "evaluation"]):
            continue
        if (made(changed(values, key)) != before) != (within(key, declares) and key not in ALIKE):
            wrong.append(key)
    assert wrong == []


@pytest.mark.parametrize(
    "network",
    [
        *({"variant": "18A"}, {"width": 0.5}, {"voxel": 0.3}, {"input": "colour"}, {"bias": False}),
        {"precision": "bfloat16"},
    ],
)
def test_a_training_begins_again_with_another_network(made, network):
    values = trainable()
    values["training"]["distilled"]["from"] = "random"
    before = made(values)
    values["network"] |= network
    assert made(values) != before


def test_a_training_begins_again_where_it_learns_from_other_folders(made, monkeypatch):
    """Also where the two change places, or one is given twice."""
    monkeypatch.setattr(OBJECTIVES.get("superpoint").load(), "initialise", lambda *of: None)
    values, found = trainable(), set()
    pairs = [("fusion", "scenes"), ("fusion", "fusion"), ("scenes", "fusion"), ("scenes", "scenes")]
    for target, beside in pairs:
        values["training"]["distilled"] |= {"from": "random", "target": target, "beside": beside}
        found.add(made(values))
    assert len(found) == len(pairs)


# ---- the others -----------------------------------------------------------------------------------------


def test_freshness_says_what_changed():
    plain = Freshness("code", {"torch": "2"}, {"table": "a"}, settings=(1,))
    for change in ({"code": "other"}, {"packages": {"torch": "3"}}, {"packages": {"numpy": "2"}}):
        other = dataclasses.replace(plain, **change)
        assert other.made_by != plain.made_by and other.given == plain.given
    for change in ({"files": {"table": "b"}}, {"settings": (2,)}):
        other = dataclasses.replace(plain, **change)
        assert other.made_by == plain.made_by and other.given != plain.given
    for change in ({"scene_files": {"answers": "b"}}, {"check": 1}, {"seed": 1}, {"files": {"moved": "a"}}):
        other = dataclasses.replace(plain, **change)
        assert (other.made_by, other.given) == (plain.made_by, plain.given)


def test_each_field_of_freshness_is_tried():
    tried = {"code", "packages", "files", "settings", "scene_files", "check", "seed"}
    assert {field.name for field in dataclasses.fields(Freshness)} == tried


def test_an_image_is_known_by_its_shape_and_its_pixels():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    key = image_index.image_key(image)
    assert key == image_index.image_key(image.copy(order="F")) and len(key) == 32
    other = image.copy()
    other[1, 3, 2] += 1
    assert key not in (image_index.image_key(other), image_index.image_key(image.reshape(4, 2, 3)))


def test_the_state_of_images_is_their_artefacts_and_how_they_are_resized():
    said = [image_index.state("a" * 20), image_index.state("b" * 20)]
    for width, height, resize in ((4, 3, "antialiased"), (5, 3, "antialiased"), (4, 2, "antialiased"),
                                  (4, 3, "nearest"), (4, 3, "bilinear")):  # fmt: skip
        frames = parameters.Projection(width, height, resize, 0.1, 0, "float16")
        said.append(image_index.state("a" * 20, frames))
    assert len(set(said)) == len(said)
    assert said[2] == "a" * 16 + " 4x3"  # as before there were other ways
