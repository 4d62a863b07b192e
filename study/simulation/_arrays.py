"""Names of array types."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]  # what the light and the electronics work with, for speed
Floats = NDArray[np.floating[Any]]  # either precision
Flags = NDArray[np.bool_]
Integers = NDArray[np.integer[Any]]
Index = NDArray[np.intp]
