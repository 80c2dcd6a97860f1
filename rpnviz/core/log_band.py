"""How many positives a log of a training should show for a data set, and what it shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_DRAWS = 4000
"""Batches that are drawn to learn how far the mean over a batch varies."""
_LOW, _HIGH = 5, 95
"""Percentiles that bound the band."""


@dataclass(frozen=True)
class Band:
    """What is expected of one logged number: the sampled positives per image, mean over the images of a batch.

    Attributes:
        low, high: 5 and 95 percent of all batches lie below.
        mean: over all images.
        images: how many were run.
        batch: images that the logged number is the mean of.
    """

    low: float
    high: float
    mean: float
    images: int
    batch: int


def expected_band(counts: ArrayLike, batch: int = 1) -> Band:
    """The band of means over ``batch`` images drawn at random from ``counts`` (N,), sampled positives per image.

    Raises:
        ValueError: there are no counts.
    """
    numbers = np.asarray(counts, np.float64)
    if not len(numbers):
        raise ValueError("no image was run")
    means: NDArray[np.float64] = numbers
    if batch > 1:
        draw = np.random.default_rng(0).integers(0, len(numbers), (_DRAWS, batch))
        means = numbers[draw].mean(axis=1)
    low, high = np.percentile(means, [_LOW, _HIGH])
    return Band(float(low), float(high), float(numbers.mean()), len(numbers), batch)


@dataclass(frozen=True)
class Verdict:
    """A log against its band.

    Attributes:
        band: what is expected.
        median: of the logged numbers.
        outside_fraction: share of the logged numbers outside the band.
        inside: whether the median lies inside.
        text: one sentence.
    """

    band: Band
    median: float
    outside_fraction: float
    inside: bool
    text: str


def judge(band: Band, logged: Sequence[float]) -> Verdict:
    """What a log says, one number per logged step; those that are not finite are left out.

    Raises:
        ValueError: there is no finite number.
    """
    values = np.array([value for value in logged if math.isfinite(value)])
    if not len(values):
        raise ValueError("the log holds no finite number of positives")
    median = float(np.median(values))
    outside = float(((values < band.low) | (values > band.high)).mean())
    inside = band.low <= median <= band.high
    place = "within" if inside else "below" if median < band.low else "above"
    of = "per image" if band.batch == 1 else f"per image (mean over {band.batch})"
    expected = f"the {band.low:.0f}–{band.high:.0f} expected here (mean {band.mean:.1f}, {band.images:,} images)"
    text = f"The log's {median:.1f} positives {of} lie {place} {expected}"
    if inside:
        return Verdict(band, median, outside, True, f"{text}.")
    why = (
        "fewer anchors match at the trainer than the data set and these parameters give: look at the anchors' sizes, "
        "the input size and the boxes that its loader hands over"
        if place == "below"
        else "more anchors match at the trainer than the data set and these parameters give: look at thresholds, "
        "duplicated or empty boxes, and the boxes that its loader hands over"
    )
    return Verdict(band, median, outside, False, f"{text}: {why}.")
