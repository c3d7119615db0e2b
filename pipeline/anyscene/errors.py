"""The errors that a user of the pipeline can act on: one tree, in the order in which data flow;
and what is said of paths that cannot be."""

import errno


class PipelineError(Exception):
    """Something is wrong with the input, the configuration or an artefact; the message says what to do."""


# the project


class ConfigError(PipelineError):
    """params.yaml has an unknown, missing or ill-typed key, or names something that is not installed."""


class StoreError(PipelineError):
    """An artefact is missing, incomplete or of another format."""


class OutputError(PipelineError):
    """A file or a folder cannot be written where it should lie."""


class ScenesFailed(PipelineError):
    """Some scenes failed after all were tried; `failures` maps each scene to its cause."""

    def __init__(self, failures: dict[str, str], total: int):
        self.failures = dict(sorted(failures.items()))
        lines = [f"  {scene}: {cause}" for scene, cause in self.failures.items()]
        super().__init__(
            "\n".join(
                [
                    f"{len(failures)} of {total} scenes failed; the others are finished and kept. "
                    "Fix the causes below and run again:",
                    *lines,
                ]
            )
        )


class FailedBefore(PipelineError):
    """A stage before left the scene out, because it failed there."""


class DeviceMemoryError(PipelineError):
    """The memory of a GPU does not suffice even for a single item."""


# weights and data


class WeightsError(PipelineError):
    """Weights are missing, damaged or of another architecture."""


class FetchError(PipelineError):
    """Weights cannot be fetched."""


class DataError(PipelineError):
    """A raw scan, a frame or a label set cannot be used as it is."""


class FrameError(DataError):
    """One frame of a scan cannot be used, which leaves the others as they are; `why` says it in a few
    words."""

    def __init__(self, message: str, why: str = "not usable"):
        super().__init__(message)
        self.why = why


class TextError(PipelineError):
    """A text encoder cannot be loaded, or does not offer what is asked of it."""


class CutText(UserWarning):
    """A text encoder reads only the beginning of a text; the message says what it leaves out."""


# the method


class SuperpointError(PipelineError):
    """The points or faces do not form a graph."""


class ProjectionError(PipelineError):
    """Frames do not belong together, or see no point."""


class SynthesisError(PipelineError):
    """A text-to-image model or SAM is missing, damaged, or cannot do what is asked of it."""


class FusionError(PipelineError):
    """Features, capabilities and texts do not fit together."""


# networks and learning


class CoordinatesError(PipelineError):
    """Voxel coordinates have the wrong shape, type or range."""


class MinkowskiMissing(PipelineError):
    """MinkowskiEngine cannot be imported."""


class CheckpointError(PipelineError):
    """A checkpoint is missing, damaged or of another network."""


class TrainingError(PipelineError):
    """Training cannot start or continue."""


# answers, and how they are shown


class EvaluationError(PipelineError):
    """Labels and predictions cannot be compared."""


class ViewpointError(PipelineError):
    """A scene has nothing to show."""


# paths

PATHS = {  # errors of which a path that was given is the cause -> what to do
    errno.ENAMETOOLONG: "a name of more than 255 bytes, which no file system takes; give a shorter one",
    errno.EACCES: "nothing there may be read or written; ask whose it is, or give another path",
    errno.EPERM: "nothing there may be read or written; ask whose it is, or give another path",
    errno.EROFS: "nothing can be written there; give another path",
    errno.ELOOP: "its links lead in a circle; mend them, or give another path",
}
SHOWN = 120  # characters of a path in a message


def blamed(error: OSError) -> str | None:
    """What a user is told of an error that a path is to blame for; None for any other."""
    if error.errno not in PATHS or error.filename is None:
        return None
    path = str(error.filename)
    shown = path if len(path) <= SHOWN else f"{path[:SHOWN]}..."
    return f"{shown}: {PATHS[error.errno]} ({error.strerror})"
