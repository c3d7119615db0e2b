"""The errors that a person running the pipeline can act on."""


class PipelineError(Exception):
    """Something is wrong with the input, the configuration or an artefact; the message says what to do."""


class ConfigError(PipelineError):
    """params.yaml has an unknown, missing or ill-typed key."""


class DataError(PipelineError):
    """A raw scan, a frame or a label set cannot be used as it is."""


class StoreError(PipelineError):
    """An artefact is missing, incomplete or of another format."""


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


class DeviceMemoryError(PipelineError):
    """A GPU whose memory does not suffice, however little is asked of it at a time."""


class TrainingError(PipelineError):
    """Training that cannot start or go on."""


class SynthesisError(PipelineError):
    """A text-to-image model or SAM that is missing, broken or cannot be asked for this."""


class ProjectionError(PipelineError):
    """Frames that do not belong together, or that see nothing."""
