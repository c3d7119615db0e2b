"""Compiles and calls superpoints.cpp."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).with_suffix(".cpp")


def has_compiler() -> bool:
    return shutil.which("g++") is not None


class Compiled:
    """The C++ restatement, built in `folder` with -O3."""

    def __init__(self, folder: Path) -> None:
        library = Path(folder) / "superpoints.so"
        # a fused multiply-add, where the processor has it, would round differently from the reference
        flags = ["-O3", "-std=c++17", "-ffp-contract=off", "-shared", "-fPIC"]
        subprocess.run(["g++", *flags, "-o", library, SOURCE], check=True)
        self._library = ctypes.CDLL(str(library))
        self._library.segment.restype = ctypes.c_double

    def segment(
        self, xyz: np.ndarray, face: np.ndarray, k: float, min_vertices: int
    ) -> tuple[np.ndarray, float]:
        """(i4[N], seconds). The first gives for each vertex a vertex of its superpoint."""
        xyz, face = np.ascontiguousarray(xyz, np.float32), np.ascontiguousarray(face, np.int32)
        root = np.empty(len(xyz), np.int32)
        seconds = self._library.segment(
            _pointer(xyz),
            _pointer(face),
            ctypes.c_int64(len(xyz)),
            ctypes.c_int64(len(face)),
            ctypes.c_float(k),
            ctypes.c_int32(min_vertices),
            _pointer(root),
        )
        return root, seconds

    def sort_order(self, key: np.ndarray) -> np.ndarray:
        """i4[E]: the order in which std::sort puts `key` f4[E]."""
        key, order = np.ascontiguousarray(key, np.float32), np.empty(len(key), np.int32)
        self._library.sort_order(_pointer(key), ctypes.c_int64(len(key)), _pointer(order))
        return order


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)
