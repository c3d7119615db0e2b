"""Frames of a scan that cannot be used: they are left out, counted and named, and the others are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from anyscene.errors import FrameError
from anyscene.scene import LeftOut

NO_POSE, NO_DEPTH, NO_IMAGE, NO_CAMERA = "no pose", "no depth", "no image", "no intrinsics"
BAD_CAMERA = "camera not readable"
MISSING = (NO_POSE, NO_DEPTH, NO_IMAGE, NO_CAMERA)  # what recordings often lack for most of their frames
NAMED = 3  # frames of each fault that a summary names

Item = TypeVar("Item")
Result = TypeVar("Result")
Sorted = tuple[tuple[Result, ...], tuple[LeftOut, ...]]  # what can be used of a scan, and what is left out


def usable(items: Iterable[tuple[str, Item]], read: Callable[[Item], Result]) -> Sorted[Result]:
    """What `read` makes of the items, each with the id of its frame, and the frames for which it raises
    FrameError.

    Raises the first of these errors where no frame is left, and where as many are damaged as are whole: then
    something is wrong with all of them. Frames that lack something are not damaged.
    """
    kept: list[Result] = []
    errors: list[tuple[str, FrameError]] = []
    for id, item in items:
        try:
            kept.append(read(item))
        except FrameError as error:
            errors.append((id, error))
    damaged = [error for _, error in errors if error.why not in MISSING]
    if errors and len(damaged) >= len(kept):
        first = damaged[0] if damaged else errors[0][1]
        same = sum(error.why == first.why for _, error in errors)
        more = f" (as {same} of {len(kept) + len(errors)} frames)" if same > 1 else ""
        raise FrameError(f"{first}{more}", first.why) from first
    return tuple(kept), tuple(LeftOut(id, error.why) for id, error in errors)


def summary(left_out: Sequence[LeftOut], total: int) -> str:
    """One line on the frames that were left out of `total`: how many, why, and the first of each fault."""
    named: dict[str, list[str]] = {}
    for frame in left_out:
        named.setdefault(frame.why, []).append(frame.id)
    faults = [
        f"{len(ids)} {why} ({', '.join(ids[:NAMED])}{', ...' if len(ids) > NAMED else ''})"
        for why, ids in sorted(named.items(), key=lambda fault: -len(fault[1]))
    ]
    return f"left out {len(left_out)} of {total} frames: {'; '.join(faults)}"
