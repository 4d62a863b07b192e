"""Intervals of measured fractions."""

import math

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


def wilson(fraction: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a fraction measured on `count` independent events.

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
    """
    if count < 1 or not 0 <= fraction <= 1:
        raise ValueError(f"a fraction of {fraction} of {count} events has no interval; give 0 … 1 of at least 1")
    scale = 1 + Z_95**2 / count
    centre = (fraction + Z_95**2 / (2 * count)) / scale
    half = Z_95 / scale * math.sqrt(fraction * (1 - fraction) / count + Z_95**2 / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)
