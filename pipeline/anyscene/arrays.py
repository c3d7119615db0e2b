"""The types of arrays: numpy's short name of a dtype in capitals, so that `F4` is an array of float32.

A type says what the values are. The docstring beside it says the shape and the unit: `f4[N, 3]`, metres.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

F2 = NDArray[np.float16]
F4 = NDArray[np.float32]
F8 = NDArray[np.float64]
U1 = NDArray[np.uint8]
U2 = NDArray[np.uint16]
U4 = NDArray[np.uint32]
I2 = NDArray[np.int16]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
B1 = NDArray[np.bool_]

Floats = NDArray[np.floating[Any]]  # of any precision
Integers = NDArray[np.integer[Any]]  # of any width, with or without a sign
Array = NDArray[Any]  # of any type
