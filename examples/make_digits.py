"""Write scikit-learn's handwritten digits to HDF5: 1,797 real scans of 8×8 pixels with values 0 to 16.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository (1998).

    python examples/make_digits.py examples/digits.h5
"""

import sys

import h5py
import numpy as np
from sklearn.datasets import load_digits


def main(path: str) -> None:
    """Write `images` (1797, 8, 8) float32 from 0 to 1 and `digit` (1797,) int64."""
    digits = load_digits()
    with h5py.File(path, "w") as file:
        file["images"] = (digits.images / 16).astype(np.float32)
        file["digit"] = digits.target.astype(np.int64)
    print(f"wrote {len(digits.target)} scans to {path}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "examples/digits.h5")
