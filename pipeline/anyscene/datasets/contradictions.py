"""Scans whose depth maps contradict each other, or their surface: refused, with the reading under which they
agree."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from anyscene.arrays import F8, I8, Floats
from anyscene.datasets.agreement import Agreement, Sample, completed, in_words, points_of, sample
from anyscene.datasets.protocol import Correctable, Dataset
from anyscene.datasets.readings import Change, Reading, others
from anyscene.errors import DataError
from anyscene.scene import Frame, Scene, inverse, moved

# docs/notes/readings.md has the measurements behind these numbers.
DOUBTFUL = 0.18  # a contradiction above which a scan is looked into and warned of; right ones stay below
ROUGH = 0.25  # the same of a mesh, which has holes and smooth edges
REFUSED = 0.35  # one that cannot be right
FAR = 0.5  # by so much more a frame contradicts the others than these each other, and is named
NAMED = 6  # frames, at most
LITTLE = 0.5  # a scan of which a smaller share is confirmed is looked into too: the rest may be hidden
FEW = 0.03  # of what is asked: where less is covered, frames hardly overlap
ENOUGH = 200  # points that nothing hides; of fewer nothing can be said
CLEARLY = 2.0  # by so many times the right reading is better
COARSE = 4  # of so many pixels one is taken to compare readings
EQUAL = 0.03  # readings that differ by less are equally good
# Factors on depth that are tried, for units that no table knows: up to so many times, in steps of this share.
MOST, STEP = 30.0, 0.025
TENTH = (1 / 1.1, 1.1)
# Right scans lose a quarter and more of what they are worth by a tenth; none is worth more than this times as
# much by another factor.
MORE = 1.15
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
        fine = found.covered >= FEW * found.asked and _is_fine(found, DOUBTFUL)
        if fine and not _is_better_by_a_tenth(taken):
            return findings
        if (other := _explained(taken, self.reading, found)) is not None:
            words, changed = self.reading.in_words(other.reading), self.reading.different(other.reading)
            contrast = "they agree better" if fine else "they do not"
            said = f"{said}; with {words} {contrast} ({other.agreement}): {self.correction(changed)}"
            return (self._wrong if other.sure else self._doubtful)(findings, said)
        if fine:
            return findings
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
        if _is_fine(found, ROUGH) and whole:
            return findings
        if findings.warning and not (self.refuse and found.contradiction > REFUSED):
            return findings  # one word on what may have one cause
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

    def each(self, taken: Sample | None, findings: Findings) -> Findings:
        """Of each frame with the others: those are named that contradict them. findings: of the whole."""
        if taken is None:
            return findings
        odd, among = _odd(taken.pairs())
        if not odd:
            return findings
        in_order = sorted(odd, key=lambda k: (len(taken.ids[k]), taken.ids[k]))
        named = [f"{taken.ids[k]} ({100 * odd[k]:.0f} %)" for k in in_order]
        if len(named) > NAMED:
            named[NAMED - 1 :] = [f"{len(named) - NAMED + 1} more"]
        if len(odd) == 1:
            who = f"frame {named[0]} contradicts"
            question = "is its depth map or its pose that of another, or its depth broken?"
        else:
            who = f"frames {', '.join(named[:-1])} and {named[-1]} contradict"
            question = "are their depth maps or poses swapped?"
        said = f"{who} the others, which contradict each other by {100 * among:.0f} %; {question}"
        return self._doubtful(findings, said)

    def _wrong(self, findings: Findings, said: str) -> Findings:
        if self.refuse:
            raise DataError(f"{self.where}: {said}")
        return self._doubtful(findings, said)

    def _doubtful(self, findings: Findings, said: str) -> Findings:
        more = f"{findings.warning}; {said}" if findings.warning else f"{self.where}: {said}"
        return replace(findings, warning=more)


def read(dataset: Dataset, scene: str, refuse: bool = True) -> tuple[Scene, Findings]:
    """A scene, and how far it agrees with itself. Raises DataError as the reader does, and where the scene
    contradicts itself and is to be refused."""
    where = str(dataset.root / scene)
    if not isinstance(dataset, Correctable):
        found = dataset.read(scene)
        judge = Judge(where, _of_format(found.frames), in_files, refuse)
        taken = sample(found.frames)
        findings = judge.surface(taken, points_of(found.xyz, found.face), judge.frames(taken))
        return found, findings if taken is None else judge.each(completed(taken, found.frames), findings)
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
    findings = judge.surface(taken, moved(points_of(found.xyz, found.face), back), findings)
    return found, judge.each(completed(taken, in_metres), findings)


def _of_format(frames: Sequence[Frame]) -> Reading:
    return Reading(frames[0].depth_scale) if frames else Reading()


def in_files(changed: Mapping[str, Any]) -> str:
    """What a person has to do where nothing but the files says how they are meant."""
    return "correct its files"


@dataclass(frozen=True)
class _Explanation:
    """A reading under which depth maps agree, and how far."""

    reading: Reading
    agreement: Agreement
    sure: bool  # whether that by which they were read cannot be right


def _explained(taken: Sample, now: Reading, found: Agreement) -> _Explanation | None:
    """The reading under which the depth maps agree; None where there is none, or it is no better than that by
    which they were read. Where a unit of depth that no table knows is clearly better than all others, it is
    that."""
    readings: dict[Change, list[Reading]] = {}
    for reading in others(now):
        change = now.to(reading)
        if PLAUSIBLE[0] <= taken.median * change.depth <= PLAUSIBLE[1]:
            readings.setdefault(change.rounded(), []).append(reading)
    worth = {change: _worth(taken.frames(change, COARSE)) for change in readings}
    best = max(worth.values(), default=0)
    alike = [one for change in readings if worth[change] >= (1 - EQUAL) * best for one in readings[change]]
    unknown = _in_another_unit(taken, now)
    if unknown is not None and unknown[1] > MORE * max(best, _worth(found) / COARSE):
        better = taken.frames(now.to(unknown[0]))
        far = found.contradiction > REFUSED or 2 * found.share < LITTLE
        return _Explanation(unknown[0], better, far) if _is_worth_more(better, found) else None
    if not alike:
        return None

    def likely(reading: Reading) -> tuple[int, float]:
        metres = taken.median * now.to(reading).depth
        return len(now.different(reading)), abs(float(np.log(metres / USUAL)))

    reading = min(alike, key=likely)
    better = taken.frames(now.to(reading))
    if _is_better(better, found, DOUBTFUL):
        return _Explanation(reading, better, True)
    of_unit = set(now.different(reading)) <= {"depth_scale", "scale"}
    return _Explanation(reading, better, False) if of_unit and _is_worth_more(better, found) else None


def _in_another_unit(taken: Sample, now: Reading) -> tuple[Reading, int] | None:
    """(the reading that is another in its unit of depth alone, and under which depth maps agree best, what it
    is worth in a coarse look); None where nothing is worth anything."""
    least, most = np.clip(np.array(PLAUSIBLE) / taken.median, 1 / MOST, MOST)
    factors = np.exp(np.arange(np.log(least), np.log(most), 2 * STEP))
    worth = _worths(taken, factors)
    if not len(worth) or worth.max() <= 0:
        return None
    near = factors[worth.argmax()] * np.exp(STEP * np.arange(-3, 4))
    worth = _worths(taken, near)
    factor = float(np.exp(np.log(near[worth >= (1 - EQUAL) * worth.max()]).mean()))
    return replace(now, depth_scale=_short(now.depth_scale / factor)), int(worth.max())


def _worths(taken: Sample, factors: F8) -> I8:
    """i8[F]: what depth maps are worth in a coarse look, once depth is multiplied by factors f8[F]."""
    found = [_worth(taken.frames(Change(depth=float(factor)), COARSE)) for factor in factors]
    return np.array(found, np.int64)


def _is_better_by_a_tenth(taken: Sample) -> bool:
    """Whether depth maps agree clearly better if depth is a tenth larger or smaller: a look that takes half
    of the time of one comparison."""
    least = MORE * _worth(taken.frames(every=COARSE))
    return bool((_worths(taken, np.array(TENTH)) > least).any())


def _odd(pairs: F8) -> tuple[dict[int, float], float]:
    """(the frames that contradict the others far more than these each other, each with its median over the
    pairs in which it is, of the contradictions f8[K, K] of pairs; the median of the others).

    The worst is taken out first, because it makes those that see the same look worse than they are."""
    pairs = pairs.copy()
    odd: dict[int, float] = {}
    while True:
        share = _medians(pairs)
        known = np.isfinite(pairs).sum(1) >= 2  # of two frames that contradict each other either may be right
        worst = int(np.argmax(np.where(known, share, -1)))
        among = float(_medians(np.delete(share, worst)[None])[0])
        if not known[worst] or not share[worst] - among > FAR:
            return odd, among
        odd[worst] = float(share[worst])
        pairs[worst] = pairs[:, worst] = np.nan


def _medians(values: F8) -> F8:
    """f8[N]: of each row of f8[N, M], without what is NaN; NaN where all is."""
    count, row, ordered = np.isfinite(values).sum(1), np.arange(len(values)), np.sort(values, axis=1)
    middle: F8 = (ordered[row, (count - 1) // 2] + ordered[row, count // 2]) / 2
    return middle


def _short(value: float) -> float:
    """A number with two digits, or where these are not near enough with three."""
    two, three = float(f"{value:.2g}"), float(f"{value:.3g}")
    return two if abs(two / value - 1) < 0.02 else three


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


def _is_worth_more(better: Agreement, found: Agreement) -> bool:
    """Whether another unit is clearly better, if not by so much that the first cannot be right."""
    right = better.confirmed >= ENOUGH and better.contradiction <= DOUBTFUL
    return right and _worth(better) > MORE * max(_worth(found), 0)


def _is_better(better: Agreement, found: Agreement, doubtful: float) -> bool:
    """Whether one reading is so much better than another that the other cannot be right."""
    if better.confirmed < max(ENOUGH, found.confirmed) or better.contradiction > doubtful:
        return False
    if found.contradiction > doubtful and CLEARLY * better.contradiction <= found.contradiction:
        return True
    return better.confirmed >= CLEARLY * found.confirmed
