"""One small scan of ScanNet through every stage with the preset `scannet-code`, against a second statement of
SAS's released code in tests/twins, whose functions name the lines that they restate.

BGR is SAM's alone (tests/capability/test_synthesise_classes.py). The 2D models are stand-ins that see
colours, with one noun for each mask. Their features and texts are numbers that half precision holds,
because that code passes them on so. Only what makes the run small differs from the preset.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from anyscene.capability import measure
from anyscene.capability.class_ids import class_id
from anyscene.datasets import label_set
from anyscene.fusion import fuse, fuse_scenes
from anyscene.learning.engine.processes import Processes
from anyscene.learning.objective import Context
from anyscene.learning.views.clouds import read_training_clouds
from anyscene.lifting import project_scenes
from anyscene.lifting.projection import described_frames, project
from anyscene.networks import MinkUNet
from anyscene.networks.batch import as_it_is, join
from anyscene.project import layout, parameters, presets, store
from anyscene.project.parameters import OBJECTIVES
from anyscene.segmenters.named_masks import LabelledMaskModel, NamedMasks
from anyscene.segmenters.protocol import FeatureMap
from anyscene.text import TEMPLATE, embeddings
from stages import capability, fusion, projection, scenes, superpoints
from tests.builders import coloured_room, training_rooms
from tests.builders.miniature import Spelling
from tests.builders.project import Project
from tests.builders.scannet import write_ply
from tests.twins import released_code
from tests.twins.released_code import CLASSES, OTHER

pytestmark = pytest.mark.integration

SCENE, FRAMES, SIZE = "scene0000_00", 4, (640, 480)
LABELS = ("wall", "floor", "cabinet", "door", "window", "table", "sofa", "picture", "pillow", "rug", "mirror")
CLOSE = {"rtol": 1e-5, "atol": 1e-6}
SMALL = {  # in the place of what the preset says
    "scenes": {"frame_stride": 1},
    "network": {"variant": "14A", "width": 0.25, "voxel": 0.3},
    "superpoints": {"min_vertices": 20},
}


class Texts(Spelling):
    def encode(self, texts):
        return super().encode(texts).astype(np.float16).astype(np.float32)


def nearest_of(colours, image):
    """i8[H, W]: which of the colours [K, 3] each pixel [H, W, 3] is closest to."""
    return ((image[..., None, :] - colours) ** 2).sum(-1).argmin(-1)


def colours(names, shift=0):
    """f8[K, 3]: that of each name, shifted. "other" is in the middle of a wall of the room."""
    of = {name: np.random.default_rng([7, *name.encode()]).integers(0, 256, 3) for name in names}
    return np.array(list((of | ({"other": [128, 0, 128]} if "other" in of else {})).values()), float) + shift


LSEG, SEEN = colours(CLASSES), colours(LABELS, 25)


def seen_by_lseg(image):
    """f4[H, W, C]: close to the text of one of the 21 classes, but not the same for any two colours."""
    text = Texts().encode([released_code.prompt(name) for name in CLASSES])
    mix = np.random.default_rng(3).normal(size=(3, Texts.width))
    feature = text[nearest_of(LSEG, image)] + 0.15 * np.sin(image / 40 @ mix)
    return feature.astype(np.float16).astype(np.float32)


def adjective(image, mask):
    """The one that a captioner finds for the pixels of `image` in `mask`."""
    red, green, _ = image[mask].mean(0)
    return "" if abs(red - green) < 20 else "brown" if red > green else "white"


class LSeg:
    name = "lseg"

    def describe(self, images, vocabulary):
        return [FeatureMap(torch.from_numpy(seen_by_lseg(image))) for image in images]

    def label(self, images, vocabulary):
        target = embeddings(Texts(), vocabulary, TEMPLATE)
        return np.stack([(seen_by_lseg(image) @ target.T).argmax(2) for image in images]).astype(np.int16)


@dataclass
class Captions:
    template: str = TEMPLATE

    def modifiers(self, image, masks):
        return [adjective(image, mask) for mask in masks]


@dataclass
class SEEM(LabelledMaskModel):
    name: str = "seem"
    captioner: Captions = field(default_factory=Captions)
    labels: tuple[str, ...] = LABELS

    def labelled(self, images):
        for image in images:
            yield NamedMasks(nearest_of(SEEN, image).astype(np.int32), np.arange(len(LABELS)))

    def closest(self, vocabulary):
        own, text = (embeddings(Texts(), names, TEMPLATE) for names in (LABELS, vocabulary))
        return (own @ text.T).argmax(1)


def write_scan(root):
    """A room and a block in it in the form that SensReader extracts, and its views (pose, depth, colour)."""
    folder = root / SCENE
    for name in ("color", "depth", "pose"):
        (folder / name).mkdir(parents=True)
    xyz, face = coloured_room.mesh(0.25)
    write_ply(folder / f"{SCENE}_vh_clean_2.ply", xyz, coloured_room.colour(xyz), face)
    (folder / f"{SCENE}.txt").write_text("appVersionId = 205\n")
    for index in range(FRAMES):
        pose = coloured_room.camera(index, 3 * FRAMES)  # so that views overlap
        color, depth = coloured_room.rendered(pose, released_code.intrinsics(SIZE), SIZE)
        if index == 0:  # too far by so much that .25 of it sees points here, and the paper's .2 none
            depth[150:330, 200:440] *= 1.29
        Image.fromarray(color).save(folder / "color" / f"{index}.jpg", quality=95)
        Image.fromarray(coloured_room.millimetres(depth)).save(folder / "depth" / f"{index}.png")
        np.savetxt(folder / "pose" / f"{index}.txt", pose)
    return xyz.astype(np.float32)


def write_synthesis(vocabulary):
    """Two images of each class with their masks; returns these by class, u1[2, 24, 32, 3] and b1[2, 24,
    32]."""
    rng, found = np.random.default_rng(0), {}
    layout.SYNTHESIS.mkdir(parents=True)
    for name in vocabulary:
        images = rng.integers(0, 256, (2, 6, 8, 3)).repeat(4, 1).repeat(4, 2).astype(np.uint8)
        images[:, :, :12] = LSEG[CLASSES.index(name)]
        masks = rng.random((2, 24, 32)) < 0.2
        masks[:, 4:, :16] = True
        group = store.create(store.scene_path(layout.SYNTHESIS, class_id(name)), "key")
        store.write(group, "image", images)
        store.write(group, "mask", masks)
        found[name] = images, masks
    return found


@dataclass(frozen=True, eq=False)
class Run:
    params: parameters.Params
    xyz: np.ndarray
    views: list  # (pose, depth in metres, colour) of each frame
    synthesis: dict


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What the stages make of the scan, in the current folder."""
    folder = tmp_path_factory.mktemp("released")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        project = Project.create(folder)
        xyz = write_scan(folder / "scans")
        presets.write("scannet-code", folder / "params.yaml", folder / "scans")
        project.change(**SMALL)
        params = project.params
        models = {"lseg": LSeg(), "seem": SEEM()}
        patch.setattr(project_scenes, "load_segmenter", lambda name, params: models[name])
        patch.setattr(measure, "load_segmenter", lambda name, params, captions: models[name])
        for module in (project_scenes, fuse_scenes):
            patch.setattr(module, "load_text_encoder", lambda section: Texts())
        project_scenes.models.cache_clear()
        synthesis = write_synthesis(params.vocabulary)
        for stage, *model in (
            *((scenes,), (superpoints,), (projection, "lseg"), (projection, "seem")),
            *((capability, "lseg"), (capability, "seem"), (fusion,)),
        ):
            result = CliRunner().invoke(stage.app, model)
            assert result.exit_code == 0, result.output
        size, views = (params.projection.width, params.projection.height), []
        for index in range(FRAMES):
            color, depth = (
                released_code.nearest(np.array(Image.open(f"scans/{SCENE}/{kind}/{index}.{ending}")), size)
                for kind, ending in (("color", "jpg"), ("depth", "png"))
            )
            views.append((np.loadtxt(f"scans/{SCENE}/pose/{index}.txt"), depth / 1000, color))
        yield Run(params, xyz, views, synthesis)
        project_scenes.models.cache_clear()


def captions_of_seem(image):
    """f4[H, W, C]: the text of each pixel's caption."""
    owner = nearest_of(SEEN, image)
    words = [adjective(image, owner == mask) if (owner == mask).any() else "" for mask in range(len(LABELS))]
    return Texts().encode(released_code.sentences(words, list(LABELS)))[owner]


@pytest.fixture(scope="module")
def points(run):
    """{model: (feature f8[N, C], count i8[N])} as the released code finds them."""
    settings = run.params.projection
    camera = released_code.intrinsics((settings.width, settings.height))
    found = {}
    for model, said in (("lseg", seen_by_lseg), ("seem", captions_of_seem)):
        views = [(pose, depth, said(color)) for pose, depth, color in run.views]
        found[model] = released_code.features_of_points(run.xyz, views, camera, 0.25, 10)
    return found


@pytest.mark.parametrize("model", [LSeg(), SEEM()], ids=lambda model: model.name)
def test_features_of_points(run, points, model):
    params, settings = run.params, run.params.projection
    scene = store.read_scene(store.scene_path(layout.SCENES, SCENE), params.dataset.root)
    np.testing.assert_array_equal(scene.xyz, run.xyz)
    size = settings.width, settings.height

    def found(tolerance):
        described = described_frames(scene.frames, model, (), size, 4, settings.resize)
        return next(
            project(scene.xyz, described, Texts().encode, tolerance=tolerance, border=settings.border)
        )

    feature, count = found(settings.tolerance)
    expected, views = points[model.name]
    np.testing.assert_array_equal(count, views)
    np.testing.assert_allclose(feature, expected, **CLOSE)
    assert (found(0.2)[1] < count).sum() > 10  # so that the paper's tolerance is noticed
    assert 200 < (views > 0).sum() < len(views) and (views > 1).sum() > 100
    stored = store.open_scene(store.scene_path(layout.PROJECTION / model.name, SCENE))
    np.testing.assert_array_equal(stored["count"][:], views)
    np.testing.assert_allclose(stored["feature"][:], expected, rtol=2**-6, atol=1e-4)


def test_capability(run):
    text = Texts().encode([released_code.prompt(name) for name in CLASSES])
    own = Texts().encode([released_code.prompt(label) for label in LABELS])
    said = {
        "lseg": lambda image: released_code.closest_text(seen_by_lseg(image), text),
        "seem": lambda image: released_code.closest_text(own[nearest_of(SEEN, image)], text),
    }
    masks = {name: mask for name, (_, mask) in run.synthesis.items()}
    for model, of in said.items():
        labels = {name: np.stack([of(one) for one in images]) for name, (images, _) in run.synthesis.items()}
        expected = released_code.capability(labels, masks)
        places = [CLASSES.index(name) for name in run.params.vocabulary]
        np.testing.assert_allclose(measured(run, model), expected[places], **CLOSE)
        assert expected.max() > 0.2, model
        assert len(set(expected)) > 5


def measured(run, model):
    return fuse_scenes.measured.read(layout.CAPABILITY, model, run.params.vocabulary)


def test_fused_features(run):
    """Of the features that the stage projection has stored, and the capability that was measured."""
    params = run.params
    read = [
        store.open_scene(store.scene_path(layout.PROJECTION / model, SCENE)) for model in ("lseg", "seem")
    ]
    features = [group["feature"][:].astype(np.float32) for group in read]
    seen = read[0]["count"][:] > 0
    known = np.array([measured(run, model) for model in ("lseg", "seem")])
    in_order = np.zeros((2, len(CLASSES)))
    in_order[:, [CLASSES.index(name) for name in params.vocabulary]] = known
    text = Texts().encode([released_code.prompt(name) for name in CLASSES])
    expected, weight = released_code.fused(*(f[seen] for f in features), text, in_order, OTHER)
    texts = embeddings(Texts(), (*params.vocabulary, *params.others), params.text.template)
    settings = params.fusion
    found = fuse(
        features,
        [seen, seen],
        known,
        texts[:-1],
        tau=settings.tau,
        normalise=settings.normalise,
        other=texts[-1],
    )
    np.testing.assert_allclose(found.feature[seen], expected, **CLOSE)
    np.testing.assert_allclose(found.weight[seen], weight, **CLOSE)
    assert (weight == [1, 0]).all(1).any() and (weight[:, 1] > 0.5).any() and (weight[:, 0] > 0.5).any()
    stored = store.open_scene(store.scene_path(layout.FUSION, SCENE))
    np.testing.assert_array_equal(stored["valid"][:], seen)
    np.testing.assert_allclose(stored["weight"][:][seen], weight, atol=1e-3)
    np.testing.assert_allclose(stored["feature"][:][seen], expected, rtol=2**-6, atol=1e-2)


def network(params):
    torch.manual_seed(0)
    section = params.network
    how = {"width": section.width, "bias": section.bias}
    return MinkUNet(section.variant, 3, Texts.width, "torch", **how)


def training(run, name, trained, folder, drawn):
    """(objective, clouds, context) of an entry of `training`, which draws so many voxels of a step; the scene
    has fewer than the preset draws."""
    params = run.params
    entry = params.training[name]
    prompts = label_set(params.dataset.label_set).prompts
    context = Context(
        trained,
        params.network.voxel,
        params.network.input,
        layout.DATA / entry.target,
        folder,
        lambda: embeddings(Texts(), prompts, params.text.template),
        params.augmentation,
    )
    settings = replace(entry.objective, points_per_process=drawn or entry.objective.points_per_process)
    objective = OBJECTIVES.get(entry.kind).load()(settings, context)
    return objective, read_training_clouds(layout.SCENES, layout.SUPERPOINTS), context


def gradients(loss, trained):
    return [one.clone() for one in torch.autograd.grad(loss, list(trained.parameters()))]


def compare(ours, theirs, trained):
    """The losses, and the gradients to 1e-5 of the largest entry of each."""
    found = {name: mean.total / mean.weight for name, mean in ours.items()}
    for name, expected in zip(("point", "superpoint"), theirs, strict=True):
        torch.testing.assert_close(found[name], expected, **CLOSE)
    for one, other in zip(
        gradients(sum(found.values()), trained), gradients(sum(theirs), trained), strict=True
    ):
        assert (one - other).abs().max() <= 1e-5 * other.abs().max()
        assert other.abs().max() > 0


@pytest.mark.parametrize("drawn", [None, 50])
def test_first_step_of_distillation(run, tmp_path, drawn):
    trained = network(run.params)
    objective, clouds, _ = training(run, "distilled", trained, tmp_path, drawn)
    (cloud,) = clouds
    step = join(objective.views(cloud, np.random.default_rng(0)))
    trained.train()
    ours = objective(trained, step)
    stored = store.open_scene(store.scene_path(layout.FUSION, SCENE))
    first = step.views[0].voxels.point
    with_feature = stored["valid"][:][first]
    assert 100 < with_feature.sum() < len(first)
    taken = np.flatnonzero(with_feature)
    if drawn:
        (view,) = step.views
        assert set(view.row) < set(taken)
        taken = np.sort(view.row[np.argsort(view.key, kind="stable")[:drawn]])
        assert len(taken) == drawn
    feature = torch.from_numpy(stored["feature"][:][first][taken].astype(np.float32))
    output = trained(step.maps, step.features)[torch.from_numpy(taken)]
    compare(ours, released_code.distillation(output, feature, cloud.superpoint[first][taken]), trained)


@pytest.mark.parametrize("drawn", [None, 50])
def test_history_after_three_visits(run, tmp_path, drawn):
    trained = network(run.params)
    objective, clouds, context = training(run, "ensembled", trained, tmp_path, drawn)
    (cloud,) = clouds
    objective.begin(trained, clouds, Processes(torch.device("cpu")))
    text = torch.from_numpy(context.prompts())
    whole = as_it_is(cloud, context.voxel, context.inputs)
    trained.eval()
    with torch.no_grad():
        answer = trained(join([whole]).maps, join([whole]).features)[torch.from_numpy(whole.voxels.voxel)]
    history = released_code.first_history(answer, cloud.superpoint)
    began = history @ text.T
    trained.train()
    for visit in range(3):
        step = join(objective.views(cloud, np.random.default_rng(visit)))
        states = {SCENE: step.views[0].random.bit_generator.state}
        ours = objective(trained, step)
        output, voxels = trained(step.maps, step.features), step.views[0].voxels
        history = released_code.next_history(history, output.detach()[torch.from_numpy(voxels.voxel)])
        told = history[torch.from_numpy(voxels.point)]
        taken = np.arange(len(output))
        if drawn:
            taken = np.sort(np.argsort(training_rooms.drawn(step.views, states), kind="stable")[:drawn])
        chosen, owner = torch.from_numpy(taken), cloud.superpoint[voxels.point][taken]
        theirs = released_code.ensembling(output[chosen], told[chosen], owner, text)
        compare(ours, theirs, trained)
        np.testing.assert_allclose(objective.history[SCENE], history @ text.T, **CLOSE)
    assert (history @ text.T - began).abs().max() > 1e-4
