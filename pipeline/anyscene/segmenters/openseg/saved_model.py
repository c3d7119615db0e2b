"""OpenSeg's SavedModel, through TensorFlow: an image to features.

A SavedModel is a program that TensorFlow runs. One with an operation that reads or writes other files, runs
Python or speaks to other machines is refused before it is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from anyscene.arrays import Array
from anyscene.errors import WeightsError
from anyscene.segmenters.openseg import FILES, SOURCE
from anyscene.segmenters.openseg.answer import FEATURE, INFO
from anyscene.weights import reading

SIGNATURE = "serving_default"
IMAGE, TEXT = "inp_image_bytes", "inp_text_emb"  # of its inputs
# Operations that reach beyond the graph, by the beginnings of their names. RestoreV2 reads the variables.
REACHING = tuple(
    """
    PyFunc EagerPyFunc ReadFile WriteFile MatchingFiles WholeFileReader FixedLengthRecord TFRecord TextLine
    LMDB Sql RemoteCall RemoteFusedGraph RpcCall Send _Send HostSend _HostSend Recv _Recv HostRecv _HostRecv
    CollectiveBcast DataService DebugIdentity DebugNanCount DebugNumericSummary PrintV2 Save CreateSummary
    WriteSummary LoadLibrary LookupTableExport InitializeTableFromTextFile
    """.split()
)
SAVING = "SaveV2"  # of the function that would write its variables again


class SavedModel:
    """images to the answers FEATURE and INFO."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        """folder: holds FILES. Raises WeightsError where it cannot be loaded, or is of another signature."""
        for file in FILES:
            reading.intact(folder / file)
        self._tensorflow = _tensorflow(device)
        _require_closed(folder / FILES[0])
        try:
            self._loaded = self._tensorflow.saved_model.load(str(folder), tags=["serve"])
            self._answer = self._loaded.signatures[SIGNATURE]
            named = self._answer.structured_input_signature[1]
            self.width = int(named[TEXT].shape[-1])
            answers = set(self._answer.structured_outputs)
        except Exception as error:  # TensorFlow raises many kinds
            raise WeightsError(
                f"{folder}: damaged SavedModel ({error}); get it again from {SOURCE}"
            ) from error
        if IMAGE not in named or not answers >= {FEATURE, INFO}:
            raise WeightsError(
                f"{folder}: a SavedModel of {', '.join(sorted(named))} to {', '.join(sorted(answers))}; "
                f"wanted {IMAGE}, {TEXT} to {FEATURE}, {INFO}; get it from {SOURCE}"
            )
        # the features of pixels do not depend on texts: OpenScene gives zeros
        self._text = self._tensorflow.zeros([1, 1, self.width])

    def __call__(self, image: bytes) -> tuple[Array, Array]:
        """(FEATURE f4[1, h, w, C], INFO f4[4, 2]) of an encoded image."""
        found = self._answer(**{IMAGE: self._tensorflow.constant(image), TEXT: self._text})
        return found[FEATURE].numpy(), found[INFO].numpy()


def _tensorflow(device: torch.device) -> Any:
    """The package, so set that it takes no more than its part of this machine."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # else it tells about itself on the terminal
    import tensorflow

    gpus = tensorflow.config.list_physical_devices("GPU")
    chosen = gpus[device.index or 0 : (device.index or 0) + 1] if device.type == "cuda" else []
    try:
        tensorflow.config.set_visible_devices(chosen, "GPU")
        for gpu in chosen:
            tensorflow.config.experimental.set_memory_growth(gpu, True)
        tensorflow.config.threading.set_intra_op_parallelism_threads(torch.get_num_threads())
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        pass  # it runs in this process already
    return tensorflow


def _require_closed(file: Path) -> None:
    """Raise WeightsError where a SavedModel reaches beyond its graph."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel as Message

    message = Message()
    try:
        message.ParseFromString(file.read_bytes())
    except Exception as error:  # protobuf's DecodeError
        raise WeightsError(f"{file}: damaged SavedModel ({error}); get it again from {SOURCE}") from error
    strange = {
        operation
        for operation in _operations(message)
        if operation.startswith(REACHING) and operation != SAVING
    }
    if strange:
        raise WeightsError(
            f"{file}: would do more than compute ({', '.join(sorted(strange))}); nothing of it ran; get it "
            f"again from {SOURCE}"
        )


def _operations(message: Any) -> Iterator[str]:
    for graph in message.meta_graphs:
        yield from (node.op for node in graph.graph_def.node)
        for function in graph.graph_def.library.function:
            yield from (node.op for node in function.node_def)
