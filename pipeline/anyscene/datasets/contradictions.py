"""Scans whose depth maps contradict each other, or their surface: refused, with the reading under which they
agree."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from anyscene.arrays import F8, I8, Floats
from anyscene.datasets.agreement import (
    Agreement,
    Pairs,
    Sample,
    completed,
    in_words,
    points_of,
    sample,
)
from anyscene.datasets.colour_agreement import AGREES, LITTLE, ColourFrame, Painted, of_images, painted
from anyscene.datasets.protocol import Correctable, Dataset
from anyscene.datasets.readings import AXES, POSES, Change, Reading, others
from anyscene.errors import DataError
from anyscene.scene import Frame, Scene, inverse, moved

# docs/notes/readings.md has the measurements behind these numbers.
DOUBTFUL = 0.18  # a contradiction above which a scan is looked into and warned of; right ones stay below
ROUGH = 0.25  # the same of a mesh, which has holes and smooth edges
REFUSED = 0.35  # one that cannot be right
FAR = 0.5  # by so much more a frame contradicts the others than these each other, and is named
NAMED = 6  # frames, at most
MOVED = 3  # frames whose poses are not one and the same by chance
ROW = 4  # frames in a row, or more, that contradict the rest
JUMP = 0.08  # by so much more than each part itself; in right scans it is up to .03
HALF = 0.5  # a scan of which a smaller share is confirmed is looked into too: the rest may be hidden
FILLED = 0.01  # of the pixels of a depth map that have one and the same largest depth
FEW = 0.03  # of what is asked: where less is covered, frames hardly overlap
SOME = 100  # points of a part of the frames that nothing hides
ENOUGH = 200  # points that nothing hides; of fewer nothing can be said
CLEARLY = 2.0  # by so many times the right reading is better
COARSE = 4  # of so many pixels one is taken to compare readings
EQUAL = 0.03  # readings that differ by less are equally good
# Factors on focal lengths that are tried, for depth that is that of another lens, and their steps
NARROW, LENS_STEP = 2.5, 0.05
# Factors on depth that are tried, for units that no table knows: up to so many times, in steps of this share.
MOST, STEP = 30.0, 0.025
TENTH = (1 / 1.1, 1.1)
# Right scans lose a quarter and more of what they are worth by a tenth; none is worth more than this times as
# much by another factor.
MORE = 1.15
USUAL = 2.0  # metres, the median depth of a room
PLAUSIBLE = (0.15, 25.0)  # metres, of median depths to which a reading may lead
ROOM = 6.0  # metres, the longest side of a room
SMALLEST = 0.3  # times the spread of what was measured: a surface is at least as large, or a part of it
# Correlations of colours. Right scans have .73 and more between images, .83 and more between a mesh and
# images.
UNLIKE = 0.5  # below it a scan is warned of; above AGREES it is right
REST = 0.5  # of what colours lack to agree, so much is left at most by a reading that is better
BETTER = 0.1  # by so much more images agree in the right way than in a wrong one in which they agree too
SEEN = 0.3  # of an image: a mesh that is read rightly fills more
UNITS = (1.0, 0.001, 0.01, 0.1, 10.0, 100.0, 1000.0)  # metres, of a surface

REGISTERED = (
    "is depth registered to colour, each pose that of its image, and the unit of depth another one "
    "(--depth-unit of an export, depth_scale of capture.json)?"
)
HANDS = (
    "change the sign of the second row and of the second column of each pose, and of y of a mesh; or turn "
    "the depth maps over, top to bottom"
)
LENS = "register depth to colour, or correct the intrinsics"
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
    colours: float | None = None  # -1..1, their correlation; None where it is not told

    def record(self) -> dict[str, Any]:
        """As JSON-like values for a store."""
        found = {"frames": self.frames, "surface": self.surface}
        record: dict[str, Any] = {name: one.shares() for name, one in found.items() if one is not None}
        if self.colours is not None:
            record["colours"] = round(self.colours, 4)
        return record | ({"warning": self.warning} if self.warning else {})

    def __str__(self) -> str:
        return "\n".join([*lines(self.record()), *([self.warning] if self.warning else [])])


def lines(record: Mapping[str, Any]) -> list[str]:
    """The numbers of `Findings.record`, as a person reads them."""
    named = {"frames": "depth against depth", "surface": "surface against depth"}
    said = [f"{words}: {in_words(record[name])}" for name, words in named.items() if name in record]
    return said + ([f"colours: correlation {record['colours']:.2f}"] if "colours" in record else [])


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
        if not fine and len(taken.ids) >= MOVED and not np.ptp(taken.poses, axis=0).any():
            said = (
                f"{said}, and all its poses are one and the same: did tracking run? write that of each frame"
            )
            return self._wrong(findings, said)
        if others := _explained(taken, self.reading, found):
            contrast = "they agree better" if fine else "they do not"
            ways = [
                f"with {self._words(one)} {contrast} ({one.agreement}): {self._remedy(one)}" for one in others
            ]
            said = f"{said}; {'; or '.join(ways)}"
            return (self._wrong if others[0].sure else self._doubtful)(findings, said)
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

    def images(self, taken: Sample | None, frames: Sequence[ColourFrame], findings: Findings) -> Findings:
        """Of the images, with each other, where depth maps tell what they see. taken: of these frames;
        findings: of depth; where this is doubtful, colours say nothing."""
        found = None if taken is None or findings.warning else of_images(taken, frames)
        if found is None:
            return findings
        findings = replace(findings, colours=found.value)
        said = f"its images show other colours in the same places (correlation {found.value:.2f})"
        rest = (1 - found.best) / max(1 - found.value, 1e-9)  # of what colours lack to agree
        clearly = found.value < AGREES or (rest <= REST / 2 and found.best - found.value > BETTER)
        if found.best >= AGREES and rest <= REST and clearly:
            said = f"{said}; with images that are {found.way} they do not ({found.best:.2f}): write them so"
            return self._wrong(findings, said)
        if found.value < UNLIKE:
            said = f"{said}; is each image that of its depth map and pose, as it was taken?"
            return self._doubtful(findings, said)
        if rest <= REST:
            said = (
                f"its images agree on colours (correlation {found.value:.3f}), but would better if they were "
                f"{found.way} ({found.best:.3f}); are they in the order of depth maps and poses?"
            )
            return self._doubtful(findings, said)
        return findings

    def painted(self, shown: Painted | None, findings: Findings) -> Findings:
        """Of a mesh with images, where there is no depth."""
        if shown is None or findings.warning:
            return findings
        value, filled = shown.seen()
        findings = replace(findings, colours=value)
        blind = int(np.count_nonzero(filled < LITTLE))
        if 2 * blind <= len(filled) and (value is None or value >= AGREES):
            return findings
        agree = "" if value is None else f", with a correlation of colours of {value:.2f}"
        said = f"its frames do not show its mesh ({len(filled) - blind} of {len(filled)} see it{agree})"
        if (other := self._seen_otherwise(shown, value)) is not None:
            return self._wrong(findings, f"{said}; {other}")
        world = "export both in one world and one unit"
        if blind == len(filled) or 10 * filled.mean() < 1:
            return self._wrong(findings, f"{said}; {world}")
        least = UNLIKE if shown.rgb is None else AGREES
        if 2 * blind > len(filled) or (value is not None and value < least):
            return self._doubtful(findings, f"{said}; {world}")
        return findings

    def _seen_otherwise(self, shown: Painted, value: float | None) -> str | None:
        """In words the reading of poses and mesh under which images show the mesh, with what makes it so;
        None where there is none."""
        now, coarse = self.reading, shown.some()
        ways = [
            (replace(now, poses=poses, axes=axes, scale=now.scale * factor), turn)
            for poses, axes in itertools.product(POSES, AXES)
            for factor in UNITS
            for turn in range(len(TURNS) if (poses, axes) == (now.poses, now.axes) else 1)
        ]

        def worth(way: tuple[Reading, int]) -> float:
            like, filled = coarse.seen(now.to(way[0]), TURNS[way[1]])
            return 0.0 if like is None else like * float(filled.mean())

        reading, turn = max(ways, key=worth)
        like, filled = shown.seen(now.to(reading), TURNS[turn])
        if (reading, turn) == (now, 0) or like is None or like < AGREES or filled.mean() < SEEN:
            return None
        if value is not None and 1 - like > REST * (1 - value):
            return None
        factor, changed = reading.scale / now.scale, now.different(replace(reading, scale=now.scale))
        said, todo = [], []
        if changed:
            said.append(now.in_words(replace(reading, scale=now.scale)))
            todo.append(self.correction(changed))
        if turn:
            said.append(f"a mesh that lies as {_axes(turn)}")
            todo.append("write the mesh so")
        if factor != 1:
            said.append(f"positions of cameras {factor:g} times as large")
            todo.append(_in_one_unit(factor, float(np.ptp(shown.xyz, axis=0).max())))
        return f"with {' and '.join(said)} they do (correlation {like:.2f}): {'; '.join(todo)}"

    def each(self, taken: Sample | None, findings: Findings) -> Findings:
        """Of each frame with the others, and of frames in a row with the rest: those are named that
        contradict them. findings: of the whole."""
        if taken is None:
            return findings
        pairs = taken.pairs()
        odd, among = _odd(pairs.contradictions())
        jump = _jump(pairs, odd)
        if jump is not None:
            findings = self._doubtful(findings, _jump_in_words(taken.ids, *jump))
            odd, among = _odd(pairs.within(*jump[:2]).contradictions())
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

    def apart(self, taken: Sample | None, frames: int, findings: Findings) -> Findings:
        """Of frames that the others neither confirm nor contradict, because their poses lead to where nobody
        else looks. frames: how many have depth: where only some were taken, others may lie between. findings:
        of the whole; where it is doubtful, that may be the cause."""
        if taken is None or findings.warning or len(taken.ids) < max(frames, ROW):
            return findings
        lost = np.flatnonzero(~taken.pairs().part())
        if not len(lost) or 2 * len(lost) > len(taken.ids):
            return findings
        named = ", ".join(taken.ids[k] for k in lost[:NAMED])
        more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
        said = (
            f"none of the other frames sees what {len(lost)} of {len(taken.ids)} see ({named}{more}), so "
            "their poses are not checked; leave them out if these are wrong"
        )
        return self._doubtful(findings, said)

    def filled(self, taken: Sample | None, findings: Findings) -> Findings:
        """Of a depth that most maps have at many of their pixels, and none has more: a number that stands for
        no reading, which would be a wall. findings: of the whole."""
        if taken is None or len(taken.ids) < MOVED:
            return findings
        largest = [float(depth.max()) for depth in taken.depth]
        metres = max(set(largest), key=largest.count)
        alike = [
            depth
            for depth, most in zip(taken.depth, largest, strict=True)
            if most == metres and np.mean(depth == most) >= FILLED
        ]
        if 2 * len(alike) <= len(largest):
            return findings
        share = 100 * float(np.mean([np.mean(depth == metres) for depth in alike]))
        said = (
            f"{len(alike)} of {len(largest)} depth maps that were compared have the same largest depth, "
            f"{metres:.4g} m, at {share:.0f} % of their pixels; if it stands for no reading write 0 there, "
            "or set scenes.farthest below it"
        )
        return self._doubtful(findings, said)

    def _words(self, other: _Explanation) -> str:
        if other.mirrored:
            return (
                "poses of left-handed axes, as Unity's (x right, y up, z forward), or depth maps that are "
                "upside down,"
            )
        if other.focal == 1:
            return self.reading.in_words(other.reading)
        return f"focal lengths of depth {other.focal:.2f} times as long as its intrinsics say"

    def _remedy(self, other: _Explanation) -> str:
        if other.mirrored:
            return HANDS
        return LENS if other.focal != 1 else self.correction(self.reading.different(other.reading))

    def _wrong(self, findings: Findings, said: str) -> Findings:
        doubtful = self._doubtful(findings, said)
        if self.refuse:
            raise DataError(doubtful.warning)  # with what was doubted before, which may be the cause
        return doubtful

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
        if taken is None:
            return found, Findings()
        findings = judge.surface(taken, points_of(found.xyz, found.face), judge.frames(taken))
        whole = completed(taken, found.frames)
        findings = judge.images(taken, found.frames, judge.each(whole, findings))
        return found, judge.filled(taken, judge.apart(whole, len(found.frames), findings))
    reading = dataset.reading(scene)
    judge = Judge(where, reading, functools.partial(dataset.correction, scene), refuse)
    frames, lost = dataset.frames(scene)
    metres = np.diag([reading.scale, reading.scale, reading.scale, 1.0])
    in_metres = [frame.moved(metres) for frame in frames]
    taken = sample(in_metres)
    findings = judge.frames(taken)  # before points are made of depth, which takes minutes
    found = dataset.read(scene, (frames, lost))
    # to the axes of the files, of which messages speak
    back = in_metres[0].camera.pose @ inverse(found.frames[0].camera.pose)
    if taken is None:
        rgb = None if found.rgb_of_frames else found.rgb
        return found, judge.painted(painted(moved(found.xyz, back), found.face, rgb, in_metres), findings)
    findings = judge.surface(taken, moved(points_of(found.xyz, found.face), back), findings)
    whole = completed(taken, in_metres)
    findings = judge.images(taken, in_metres, judge.each(whole, findings))
    return found, judge.filled(taken, judge.apart(whole, len(in_metres), findings))


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
    focal: float = 1.0  # a factor on the focal lengths of depth maps
    mirrored: bool = False  # whether poses have left-handed axes


def _explained(taken: Sample, now: Reading, found: Agreement) -> list[_Explanation]:
    """The reading under which the depth maps agree; none where there is none, or it is no better than that by
    which they were read. Where a unit of depth that no table knows is clearly better than all others, or
    another lens of depth, it is that; or both, where nothing tells between them."""
    readings: dict[Change, list[Reading]] = {}
    for reading in others(now):
        change = now.to(reading)
        if PLAUSIBLE[0] <= taken.median * change.depth <= PLAUSIBLE[1]:
            readings.setdefault(change.rounded(), []).append(reading)
    worth = {change: _worth(taken.frames(change, COARSE)) for change in readings}
    best = max(worth.values(), default=0)
    alike = [one for change in readings if worth[change] >= (1 - EQUAL) * best for one in readings[change]]
    unknown, lens = _in_another_unit(taken, now), _in_another_lens(taken)
    least = MORE * max(best, _worth(found) / COARSE)
    mirror = Change(mirrored=True)
    if _worth(taken.frames(mirror, COARSE)) > max(least, lens[1], 0 if unknown is None else unknown[1]):
        seen = taken.frames(mirror)
        return [_Explanation(now, seen, True, mirrored=True)] if _is_better(seen, found, DOUBTFUL) else []
    far = found.contradiction > REFUSED or 2 * found.share < HALF
    rare = []
    if unknown is not None and unknown[1] > max(least, lens[1] / MORE):
        rare.append((unknown[1], _Explanation(unknown[0], taken.frames(now.to(unknown[0])), far)))
    if lens[1] > max(least, 0 if unknown is None else unknown[1] / MORE):
        seen = taken.frames(Change(focal=lens[0]))
        rare.append((lens[1], _Explanation(now, seen, far, lens[0])))
    if rare:
        in_order = [one for _, one in sorted(rare, key=lambda pair: -pair[0])]
        return [one for one in in_order if _is_worth_more(one.agreement, found)]
    if not alike:
        return []

    def likely(reading: Reading) -> tuple[int, float]:
        metres = taken.median * now.to(reading).depth
        return len(now.different(reading)), abs(float(np.log(metres / USUAL)))

    reading = min(alike, key=likely)
    better = taken.frames(now.to(reading))
    if _is_better(better, found, DOUBTFUL):
        return [_Explanation(reading, better, True)]
    of_unit = set(now.different(reading)) <= {"depth_scale", "scale"}
    return [_Explanation(reading, better, False)] if of_unit and _is_worth_more(better, found) else []


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


def _in_another_lens(taken: Sample) -> tuple[float, int]:
    """(the factor on focal lengths of depth maps with which they agree best, what it is worth in a coarse
    look)."""
    factors = np.exp(np.arange(-np.log(NARROW), np.log(NARROW), LENS_STEP))
    worth = _worths(taken, factors, "focal")
    near = factors[worth.argmax()] * np.exp(LENS_STEP / 4 * np.arange(-4, 5))
    worth = _worths(taken, near, "focal")
    alike = near[worth >= (1 - EQUAL) * worth.max()] if worth.max() > 0 else near
    return float(np.exp(np.log(alike).mean())), int(worth.max())


def _worths(taken: Sample, factors: F8, of: Literal["depth", "focal"] = "depth") -> I8:
    """i8[F]: what depth maps are worth in a coarse look, once depth or focal lengths are multiplied by
    factors f8[F]."""
    depth = of == "depth"
    changes = [Change(depth=float(one)) if depth else Change(focal=float(one)) for one in factors]
    return np.array([_worth(taken.frames(change, COARSE)) for change in changes], np.int64)


def _is_better_by_a_tenth(taken: Sample) -> bool:
    """Whether depth maps agree clearly better if depth, or their focal lengths, are a tenth larger or
    smaller: a look that takes the time of one comparison."""
    tenth = np.array(TENTH)
    found = np.concatenate([_worths(taken, tenth), _worths(taken, tenth, "focal")])
    return bool((found > MORE * _worth(taken.frames(every=COARSE))).any())


def _jump(pairs: Pairs, odd: Iterable[int]) -> tuple[int, int, float, float] | None:
    """As `Pairs.parted`: frames in a row that clearly contradict the rest; None where none do. Where several
    frames are odd, a jump may be why: then all of them are on one side of it. Else it is looked for without
    them."""
    several = set(odd)
    for tried in (pairs, pairs.without(several)) if len(several) > 1 else (pairs.without(several),):
        found = tried.parted(ROW, SOME)
        if found is None or found[2] - found[3] < JUMP or found[2] < CLEARLY * found[3]:
            continue
        inside = several & set(range(*found[:2]))
        if tried is not pairs or inside in (several, set()):
            return found
    return None


def _jump_in_words(ids: Sequence[str], first: int, end: int, across: float, among: float) -> str:
    """That some frames in a row contradict the rest, as where tracking was lost and found again."""
    if first == 0 and 2 * end > len(ids):  # the shorter part is named
        first, end = end, len(ids)
    cut = [f"at frame {ids[first]}"] if first > 0 else []
    cut += [f"{'back ' if cut else ''}before frame {ids[end]}"] if end < len(ids) else []
    return (
        f"frames {ids[first]} to {ids[end - 1]} contradict the others ({100 * across:.0f} %), but each part "
        f"itself by no more than {100 * among:.0f} %: did the poses jump {' and '.join(cut)}, because "
        "tracking was lost? leave out one part, or align it"
    )


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
    said = [_axes(turn)] if turn else []
    return " ".join([*said, *([f"points whose unit is {unit:g} m"] if unit != 1 else [])]), better


def _axes(turn: int) -> str:
    """One of TURNS in words: what x, y and z become."""
    axes = [f"{'-' if row.sum() < 0 else ''}{'xyz'[np.abs(row).argmax()]}" for row in TURNS[turn]]
    return f"({', '.join(axes)})"


def _in_one_unit(factor: float, longest: float) -> str:
    """What to do where the positions of cameras should be `factor` times as large, or the mesh, whose longest
    side is so many metres, that many times smaller. Which is wrong is told by the size of rooms."""
    both = '"scale" in capture.json, or --scale, is for both'
    if abs(np.log(longest / factor / ROOM)) < abs(np.log(longest / ROOM)):
        return f"multiply the mesh by {1 / factor:g}; {both}"
    return f"multiply the positions in the poses by {factor:g}; {both}"


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
    return found.contradiction <= doubtful and found.share >= HALF


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
