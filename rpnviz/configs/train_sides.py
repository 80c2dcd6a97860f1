"""The short sides of training, as a configuration is told them."""

from __future__ import annotations

from rpnviz.core.params import Params


def training_sides(params: Params) -> tuple[int, ...]:
    """Short sides in px; those of the views where the image is shown at the first of them, else its own."""
    sides = params.views.min_sizes if params.views is not None else -1
    own = params.resize.min_size
    return sides if isinstance(sides, tuple) and sides[0] == own else (own,)
