"""Coder weights as standard deviations, their inverses."""

from __future__ import annotations

import math


def exact_inverse(value: float) -> float | None:
    """A number whose inverse is exactly ``value``, None if float64 has none."""
    near = 1 / value
    for number in (near, math.nextafter(near, 0), math.nextafter(near, math.inf)):
        if number and 1 / number == value:
            return number
    return None
