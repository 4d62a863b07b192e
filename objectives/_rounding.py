"""Dividing each of several classes in the same proportions, in whole events."""

import numpy as np
import numpy.typing as npt

_Counts = npt.NDArray[np.int64]


def controlled_rounding(sizes: _Counts, totals: _Counts) -> _Counts:
    """Whole numbers near sizes[i] × totals[j] / sum(totals), with exact sums over rows and columns.

    Every number is within one of its exact value. Each row's missing units go to the columns that miss most
    (then to the largest remainder); by the Gale–Ryser theorem this always comes out even.

    Args:
        sizes: (rows,) what each row adds up to.
        totals: (columns,) what each column adds up to; its sum is that of `sizes`.

    Returns:
        int64 (rows, columns).
    """
    # Python's integers cannot overflow, whatever the number of events.
    exact = np.multiply.outer(sizes.astype(object), totals.astype(object))
    count = max(int(totals.sum()), 1)
    counts: _Counts = (exact // count).astype(np.int64)
    remainders = (exact % count).astype(np.int64)
    missing = totals - counts.sum(axis=0)
    for row, units in enumerate(sizes - counts.sum(axis=1)):
        columns = np.lexsort((-remainders[row], -missing))[:units]
        counts[row, columns] += 1
        missing[columns] -= 1
    return counts
