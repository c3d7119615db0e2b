"""All kinds of files that are read."""

from benchmarks.quality.fuzz import others, projects, scans
from benchmarks.quality.fuzz.kind import by_name

KINDS = by_name((*projects.KINDS, *others.KINDS, *scans.KINDS))
