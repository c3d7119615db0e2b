"""Scans whose depth maps contradict each other, or their surface: refused, with the reading under which they
agree."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from anyscene.arrays import Floats
from anyscene.datasets.agreement import Agreement, Sample, in_words, points_of, sample
from anyscene.datasets.protocol import Correctable, Dataset
from anyscene.datasets.readings import Change, Reading, others
from anyscene.errors import DataError
from anyscene.scene import Frame, Scene, inverse, moved

# docs/notes/readings.md has the measurements behind these numbers.
DOUBTFUL = 0.18  # a contradiction above which a scan is looked into and warned of; right ones stay below
ROUGH = 0.25  # the same of a mesh, which has holes and smooth edges
REFUSED = 0.35  # one that cannot be right
LITTLE = 0.5  # a scan of which a smaller share is confirmed is looked into too: the rest may be hidden
FEW = 0.03  # of what is asked: where less is covered, frames hardly overlap
ENOUGH = 200  # points that nothing hides; of fewer nothing can be said
CLEARLY = 2.0  # by so many times the right reading is better
COARSE = 4  # of so many pixels one is taken to compare readings
EQUAL = 0.03  # readings that differ by less are equally good
USUAL = 2.0  # metres, the median depth of a room
PLAUSIBLE = (0.15, 25.0)  # metres, of median depths to which a reading may lead
SMALLEST = 0.3  # times the spread of what was measured: a surface is at least as large, or a part of it
UNITS = (1.0, 0.001, 0.01, 0.1, 10.0, 100.0, 1000.0)  # metres, of a surface

REGISTERED = (
    "is depth registered to colour, each pose that of its image, and the unit of depth another one "
    "(--depth-unit of an export, depth_scale of capture.json)?"
)
TURNS = [  # the first of them none; the turns that take axes to axes
    turn
    for order in itertools.permutations(np.eye(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
    if np.linalg.det(turn := np.array(order) * np.array(signs)[:, None]) > 0
]


@dataclass(frozen=True)
class Findings:
    """How far a scan agrees with itself."""

    frames: Agreement | None = None  # depth with depth; None where fewer than two frames have depth
    surface: Agreement | None = None  # the surface with depth
    warning: str = ""  # what a person should look into

    def record(self) -> dict[str, Any]:
        """As JSON-like values for a store."""
        found = {"frames": self.frames, "surface": self.surface}
        record: dict[str, Any] = {name: one.shares() for name, one in found.items() if one is not None}
        return record | ({"warning": self.warning} if self.warning else {})

    def __str__(self) -> str:
        return "\n".join([*lines(self.record()), *([self.warning] if self.warning else [])])


def lines(record: Mapping[str, Any]) -> list[str]:
    """The numbers of `Findings.record`, as a person reads them."""
    named = {"frames": "depth against depth", "surface": "surface against depth"}
    return [f"{words}: {in_words(record[name])}" for name, words in named.items() if name in record]


@dataclass(frozen=True)
class Judge:
    """Says how far a scan agrees with itself, and raises DataError where it cannot be right."""

    where: str  # begins messages
    reading: Reading  # how its numbers were taken
    correction: Callable[[Mapping[str, Any]], str]  # fields of a reading -> what makes them so
    refuse: bool = True  # or warn of what would be refused

    def frames(self, taken: Sample | None) -> Findings:
        """Of the depth maps, with each other."""
        if taken is None:
            return Findings()
        found = taken.frames()
        findings, said = Findings(found), f"its depth maps contradict each other ({found})"
        if found.covered >= FEW * found.asked and _is_fine(found, DOUBTFUL):
            return findings
        if (other := _explained(taken, self.reading, found)) is not None:
            words, changed = self.reading.in_words(other[0]), self.reading.different(other[0])
            said = f"{said}; with {words} they do not ({other[1]}): {self.correction(changed)}"
            return self._wrong(findings, said)
        if found.open < ENOUGH:
            said = f"its frames hardly see the same things ({found}), so depth and poses are not checked"
            return self._doubtful(findings, said)
        if found.contradiction > REFUSED:
            said += ", and would in all units that are known here, with inverse poses and with other axes"
            return self._wrong(findings, f"{said}; {REGISTERED}")
        if found.contradiction > DOUBTFUL:
            return self._doubtful(findings, f"{said}; {REGISTERED}")
        return findings

    def surface(self, taken: Sample | None, points: Floats, findings: Findings) -> Findings:
        """Of points [N, 3] of the scan's surface (`points_of`), with the depth maps. findings: of these."""
        if taken is None or not len(points):
            return findings
        found = taken.surface(points)
        findings, said = replace(findings, surface=found), f"its mesh contradicts its depth maps ({found})"
        whole = _enlarged(taken, points) <= 1
        if findings.warning or (_is_fine(found, ROUGH) and whole):
            return findings
        if (other := _placed(taken, points, found)) is not None:
            return self._wrong(findings, f"{said}; as {other[0]} it does not ({other[1]}): write it so")
        if found.open < ENOUGH:
            seen = found.covered >= FEW * found.asked and _agrees(found, ROUGH)
            said = f"its depth maps hardly see its mesh ({found})"
            return findings if seen and whole else self._doubtful(findings, said)
        if found.contradiction > REFUSED:
            said = f"{said}; export it in the world of the poses, unaligned and unscaled"
            return self._wrong(findings, said)
        return self._doubtful(findings, said) if found.contradiction > ROUGH else findings

    def _wrong(self, findings: Findings, said: str) -> Findings:
        if self.refuse:
            raise DataError(f"{self.where}: {said}")
        return self._doubtful(findings, said)

    def _doubtful(self, findings: Findings, said: str) -> Findings:
        return replace(findings, warning=f"{self.where}: {said}")


def read(dataset: Dataset, scene: str, refuse: bool = True) -> tuple[Scene, Findings]:
    """A scene, and how far it agrees with itself. Raises DataError as the reader does, and where the scene
    contradicts itself and is to be refused."""
    where = str(dataset.root / scene)
    if not isinstance(dataset, Correctable):
        found = dataset.read(scene)
        judge = Judge(where, _of_format(found.frames), in_files, refuse)
        taken = sample(found.frames)
        return found, judge.surface(taken, points_of(found.xyz, found.face), judge.frames(taken))
    reading = dataset.reading(scene)
    judge = Judge(where, reading, functools.partial(dataset.correction, scene), refuse)
    frames, lost = dataset.frames(scene)
    metres = np.diag([reading.scale, reading.scale, reading.scale, 1.0])
    in_metres = [frame.moved(metres) for frame in frames]
    taken = sample(in_metres)
    findings = judge.frames(taken)  # before points are made of depth, which takes minutes
    found = dataset.read(scene, (frames, lost))
    if taken is None:
        return found, findings
    # to the axes of the files, of which messages speak
    back = in_metres[0].camera.pose @ inverse(found.frames[0].camera.pose)
    return found, judge.surface(taken, moved(points_of(found.xyz, found.face), back), findings)


def _of_format(frames: Sequence[Frame]) -> Reading:
    return Reading(frames[0].depth_scale) if frames else Reading()


def in_files(changed: Mapping[str, Any]) -> str:
    """What a person has to do where nothing but the files says how they are meant."""
    return "correct its files"


def _explained(taken: Sample, now: Reading, found: Agreement) -> tuple[Reading, Agreement] | None:
    """The reading under which the depth maps agree, and how far; None where there is none, or it is no better
    than that by which they were read."""
    readings: dict[Change, list[Reading]] = {}
    for reading in others(now):
        change = now.to(reading)
        if PLAUSIBLE[0] <= taken.median * change.depth <= PLAUSIBLE[1]:
            readings.setdefault(change.rounded(), []).append(reading)
    worth = {change: _worth(taken.frames(change, COARSE)) for change in readings}
    if not worth:
        return None
    best = max(worth.values())
    alike = [one for change in readings if worth[change] >= (1 - EQUAL) * best for one in readings[change]]

    def likely(reading: Reading) -> tuple[int, float]:
        metres = taken.median * now.to(reading).depth
        return len(now.different(reading)), abs(float(np.log(metres / USUAL)))

    reading = min(alike, key=likely)
    better = taken.frames(now.to(reading))
    return (reading, better) if _is_better(better, found, DOUBTFUL) else None


def _placed(taken: Sample, points: Floats, found: Agreement) -> tuple[str, Agreement] | None:
    """In words how points fit the depth maps, and how far; None where none of the known ways does."""
    some = points[::COARSE].astype(np.float64)
    least = _enlarged(taken, some)
    ways = [(unit, turn) for unit in UNITS if unit >= least for turn in range(len(TURNS))]
    if not ways:
        return None
    unit, turn = max(ways, key=lambda way: _worth(taken.surface(way[0] * some @ TURNS[way[1]].T)))
    better = taken.surface(unit * points.astype(np.float64) @ TURNS[turn].T)
    right = _is_fine(better, ROUGH) if least > 1 else _is_better(better, found, ROUGH)
    if (unit, turn) == (1.0, 0) or not right:
        return None
    axes = [f"{'-' if row.sum() < 0 else ''}{'xyz'[np.abs(row).argmax()]}" for row in TURNS[turn]]
    said = [f"({', '.join(axes)})"] if turn else []
    return " ".join([*said, *([f"points whose unit is {unit:g} m"] if unit != 1 else [])]), better


def _enlarged(taken: Sample, points: Floats) -> float:
    """By how much points [N, 3] have to be enlarged to be a surface of what was measured. In a point they fit
    any corner."""
    measured, spread = (float(np.linalg.norm(one.std(0))) for one in (taken.points().reshape(-1, 3), points))
    return SMALLEST * measured / max(spread, 1e-9)


def _worth(found: Agreement) -> int:
    return found.confirmed - found.past


def _is_fine(found: Agreement, doubtful: float) -> bool:
    return found.open >= ENOUGH and _agrees(found, doubtful)


def _agrees(found: Agreement, doubtful: float) -> bool:
    return found.contradiction <= doubtful and found.share >= LITTLE


def _is_better(better: Agreement, found: Agreement, doubtful: float) -> bool:
    """Whether one reading is so much better than another that the other cannot be right."""
    if better.confirmed < max(ENOUGH, found.confirmed) or better.contradiction > doubtful:
        return False
    if found.contradiction > doubtful and CLEARLY * better.contradiction <= found.contradiction:
        return True
    return better.confirmed >= CLEARLY * found.confirmed
