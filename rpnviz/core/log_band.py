"""How many positives a log of a training should show for a data set, and what it shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rpnviz.core.inputs import frozen

_DRAWS = 4000
"""Logged numbers that are drawn to learn how far they vary."""
_MOST_DRAWN = 8_000_000
"""Images drawn for them, at most."""
_LOW, _HIGH = 5, 95
"""Percentiles that bound the band of a single logged number."""
_MEAN_LOW, _MEAN_HIGH = 0.5, 99.5
"""Percentiles that bound the mean of a whole log: one log in a hundred lies outside by chance."""
_MANY = 400
"""Logged numbers from which on their mean is taken as normally distributed."""
_NORMAL = 2.576
"""Standard deviations of 99 percent."""
SLACK_FRACTION = 0.05
"""A log may be off by this share of the expected mean: loaders repeat, group and drop images at their will."""


@dataclass(frozen=True)
class Counts:
    """Sampled positives of the images of a data set, under the views that training draws.

    Attributes:
        numbers: one for every image and view that was run.
        images: how many images that were.
        complete: whether every view of every image of the data set was run.
    """

    numbers: tuple[int, ...]
    images: int
    complete: bool = True


@dataclass(frozen=True, eq=False)
class Band:
    """What is expected of one logged number: the sampled positives per image, mean over the images of a batch.

    Attributes:
        low, high: 5 and 95 percent of all logged numbers lie below.
        mean: over all images.
        images: how many were run.
        batch: images of a step.
        window: steps of which a logged number is the median.
        drawn: (D,) logged numbers drawn from the images.
        error: standard error of ``mean``; 0 where nothing was left out.
    """

    low: float
    high: float
    mean: float
    images: int
    batch: int
    window: int
    drawn: NDArray[np.float64]
    error: float

    def mean_over(self, logged: int) -> tuple[float, float]:
        """Bounds of the mean over that many independent logged numbers, in positives per image."""
        centre, spread = float(self.drawn.mean()), float(self.drawn.std())
        if logged < _MANY:
            random = np.random.default_rng(1)
            means = random.choice(self.drawn, (_DRAWS, logged)).mean(axis=1) + random.normal(0, self.error, _DRAWS)
            low, high = np.percentile(means, [_MEAN_LOW, _MEAN_HIGH]).tolist()
        else:
            half = _NORMAL * math.hypot(spread / math.sqrt(logged), self.error)
            low, high = centre - half, centre + half
        slack = SLACK_FRACTION * self.mean
        return max(low - slack, 0.0), high + slack


def expected_band(counts: Counts | ArrayLike, batch: int = 1, window: int = 1) -> Band:
    """What a log shows of images drawn at random from ``counts``, or (N,) sampled positives of a whole data set.

    Args:
        counts: of the images.
        batch: images of a step, whose mean is logged.
        window: steps of which the median is logged.

    Raises:
        ValueError: there are no counts.
    """
    if not isinstance(counts, Counts):
        given = np.asarray(counts)
        counts = Counts(tuple(given.tolist()), len(given))
    numbers = np.asarray(counts.numbers, np.float64)
    if not len(numbers):
        raise ValueError("no image was run")
    drawn: NDArray[np.float64] = numbers
    if batch * window > 1:
        draws = max(min(_DRAWS, _MOST_DRAWN // (batch * window)), 200)
        random = np.random.default_rng(0)
        steps = np.empty((draws, window))
        for step in range(window):
            steps[:, step] = numbers[random.integers(0, len(numbers), (draws, batch))].mean(axis=1)
        drawn = np.median(steps, axis=1)
    low, high = np.percentile(drawn, [_LOW, _HIGH])
    error = 0.0 if counts.complete else float(numbers.std() / math.sqrt(len(numbers)))
    return Band(float(low), float(high), float(numbers.mean()), counts.images, batch, window, frozen(drawn), error)


@dataclass(frozen=True)
class Verdict:
    """A log against its band.

    Attributes:
        band: what is expected.
        mean: of the logged numbers.
        low, high: bounds of that mean.
        outside_fraction: share of the logged numbers outside the band of single ones.
        inside: whether the mean lies inside its bounds.
        text: one sentence.
    """

    band: Band
    mean: float
    low: float
    high: float
    outside_fraction: float
    inside: bool
    text: str


def judge(band: Band, logged: Sequence[float], steps: Sequence[int] = ()) -> Verdict:
    """What a log says; numbers that are not finite are left out.

    Args:
        band: what is expected of one number.
        logged: one number per logged step.
        steps: of the training, one per number; where they lie closer than ``band.window``, numbers share steps and
            count for fewer.

    Raises:
        ValueError: there is no finite number.
    """
    values = np.array([value for value in logged if math.isfinite(value)])
    if not len(values):
        raise ValueError("the log holds no finite number of positives")
    independent = len(values)
    if band.window > 1 and len(steps) > 1:
        independent = max(min(independent, abs(steps[-1] - steps[0]) // band.window + 1), 1)
    mean = float(values.mean())
    low, high = band.mean_over(independent)
    outside = float(((values < band.low) | (values > band.high)).mean())
    inside = low <= mean <= high
    place = "within" if inside else "below" if mean < low else "above"
    of = "per image" if band.batch == 1 else f"per image (mean over {band.batch})"
    over = f", mean of {len(values):,} logged numbers," if len(values) > 1 else ""
    expected = f"the {low:.1f}–{high:.1f} expected here (mean {band.mean:.1f}, {band.images:,} images)"
    text = f"The log's {mean:.1f} positives {of}{over} lie {place} {expected}"
    if inside:
        return Verdict(band, mean, low, high, outside, True, f"{text}.")
    why = (
        "fewer anchors match at the trainer than the data set and these parameters give: look at the anchors' sizes, "
        "the input size and the boxes that its loader hands over"
        if place == "below"
        else "more anchors match at the trainer than the data set and these parameters give: look at thresholds, "
        "duplicated or empty boxes, and the boxes that its loader hands over"
    )
    return Verdict(band, mean, low, high, outside, False, f"{text}: {why}.")
