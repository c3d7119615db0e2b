"""What networks were trained on, beside the scenes on which they are scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from anyscene.datasets import raw_files
from anyscene.networks.checkpoint import noted_scenes
from anyscene.networks.trained import Description
from anyscene.study import rows


def shown(network: Description, networks: Sequence[Description]) -> frozenset[str]:
    """The scenes that a network was trained on, with those of the networks that it began from. They lie in
    its weights, too. What is not noted is not among them."""
    noted = (noted_scenes(one.folder) or () for one in _chain(network, networks))
    return frozenset(scene for scenes in noted for scene in scenes)


def _chain(network: Description, networks: Sequence[Description]) -> Iterator[Description]:
    """Yield a network, then the one that it began from, and so on."""
    by_name, passed = {one.name: one for one in networks}, set[str]()
    step: Description | None = network
    while step is not None and step.name not in passed:
        yield step
        passed.add(step.name)
        step = by_name.get(step.start or "")


def official(scenes: Collection[str]) -> str | None:
    """The official list whose scenes, and no others, these are: "scannet_train"; None where they are those of
    none. HOUSE_regionN is a region of a listed house, DRIVE_NN a keyframe of a listed drive."""
    for file in sorted(raw_files.SPLITS.glob("*.txt")):
        names = set(raw_files.lines(file))
        if scenes and {_in_list(scene, names) for scene in scenes} == names:
            return file.stem
    return None


def listed(scenes: Collection[str], name: str) -> bool:
    """Whether any of the scenes is on the official list `name`."""
    names = set(raw_files.lines(raw_files.SPLITS / f"{name}.txt"))
    return any(_in_list(scene, names) in names for scene in scenes)


def _in_list(scene: str, names: Collection[str]) -> str:
    """What stands for a scene in an official list: the scene itself, or its house or drive."""
    return scene if scene in names else scene.rpartition("_")[0]


def marked(title: str, scored: Collection[str], seen: Collection[str]) -> str:
    """The title of a network in tables of the scenes `scored`: it says so where `seen`, those on which the
    network was trained, are among them."""
    both = len(set(scored) & set(seen))
    if not both:
        return title
    return f"{title} (trained on {'' if both == len(scored) else f'{both} of '}these scenes)"


def section(
    networks: Mapping[str, Description], scored: Iterable[str], splits: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """The section `trained_on` of metrics.json. networks: by their rows; splits: of each scene that there is.

    Of each network it says what network.json says, how many of its scenes are in each split now, and under
    "scored" which of the scenes that are scored it was trained on."""
    every, scored, found = tuple(networks.values()), sorted(scored), {}
    for row, network in networks.items():
        own = noted_scenes(network.folder)
        seen = shown(network, every)
        found[row] = {
            **network.trained_on,
            "from": network.start,
            "splits": dict(sorted(Counter(splits.get(scene, "unknown") for scene in own or ()).items())),
            "scored": [scene for scene in scored if scene in seen],
            "official": None if own is None else official(own),
            "variant": network.variant,
            "input": network.inputs,
            "voxel": network.voxel,
        }
    return found


def said(metrics: Mapping[str, Any]) -> list[str]:
    """A sentence on each network that was measured: what it sees, what it began from, what it was trained on,
    and its difference from the row before, whose interval may hold zero."""
    found, titles = [], {row.name: row.plain_title for row in rows.of(metrics)}
    for row in rows.measured(metrics):
        trained = metrics.get("trained_on", {}).get(row.name)
        if trained is None:
            continue
        facts = [f"sees {'the colour of voxels' if trained['input'] == 'colour' else 'places alone'}"]
        facts.append(f"began from {titles.get(row.start or '', trained['from'] or 'random weights')}")
        if "scenes" in trained:
            facts.append(f"was trained on {trained['scenes']} scenes of {trained['dataset']}")
        for other in row.against[:1]:
            if pair := metrics["bootstrap"].get("difference", {}).get(f"{row.name} - {other}"):
                reach = f"{pair['low']:+.1f} to {pair['high']:+.1f}"
                facts.append(f"{pair['value']:+.1f} over {titles.get(other, other)} ({reach})")
        found.append(f"{row.plain_title}: {', '.join(facts)}")
    return found
