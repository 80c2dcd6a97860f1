"""The band of logged positives, and the sentence about a log."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rpnviz.core.log_band import expected_band, judge


def test_the_band_of_single_images_is_that_of_the_counts():
    band = expected_band(np.arange(101))
    assert (band.low, band.high, band.mean, band.images) == (5.0, 95.0, 50.0, 101)


def test_means_over_a_batch_vary_less():
    counts = np.arange(101)
    wide, narrow = expected_band(counts), expected_band(counts, 16)
    # A uniform spread of 29.2 over 16 images: 7.3, and 1.645 of it on each side.
    assert narrow.low == pytest.approx(50 - 1.645 * 29.15 / 4, abs=1.5)
    assert narrow.high == pytest.approx(50 + 1.645 * 29.15 / 4, abs=1.5)
    assert narrow.high - narrow.low < (wide.high - wide.low) / 3
    assert expected_band(counts, 16) == narrow


@pytest.mark.parametrize(
    ("logged", "inside", "words"),
    [
        ([3.1, 3.0, 3.2], False, "The log's 3.1 positives per image lie below the 10–10 expected here"),
        ([10.0, math.nan], True, "lie within the 10–10 expected here (mean 10.0, 4 images)."),
        ([99.0], False, "lie above the 10–10 expected here"),
    ],
)
def test_the_sentence(logged, inside, words):
    verdict = judge(expected_band([10] * 4), logged)
    assert verdict.inside == inside
    assert words in verdict.text
    assert verdict.outside_fraction == (0.0 if inside else 1.0)


def test_nothing_to_judge():
    with pytest.raises(ValueError, match="no image"):
        expected_band([])
    with pytest.raises(ValueError, match="no finite number"):
        judge(expected_band([1]), [math.nan])
