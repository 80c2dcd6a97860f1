"""The band of logged positives, and the sentence about a log."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rpnviz.core.log_band import Counts, expected_band, judge


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
    assert np.array_equal(expected_band(counts, 16).drawn, narrow.drawn)


def test_the_mean_of_many_numbers_varies_less_than_one():
    counts = np.tile([8, 128], 100)
    band = expected_band(counts)
    logged = [21.0] * 40
    assert all(band.low <= value <= band.high for value in logged), "each of them is an ordinary one"
    verdict = judge(band, logged)
    assert not verdict.inside
    assert "mean of 40 logged numbers, lie below the" in verdict.text
    # A spread of 60 over the root of 40, 2.576 times, and 5 percent of 68.
    assert verdict.low == pytest.approx(68 - 2.576 * 60 / 40**0.5 - 3.4, abs=1.5)
    assert judge(band, [8.0, 128.0] * 20).inside
    many = judge(band, [68.0] * 5000)
    assert (many.low, many.high) == pytest.approx((62.4, 73.6), abs=0.3)


def test_logs_drawn_from_the_images_are_rarely_outside():
    random = np.random.default_rng(5)
    counts = random.integers(0, 128, 300)
    band = expected_band(counts, 2, 20)
    logs = [np.median(random.choice(counts, (30, 20, 2)).mean(axis=2), axis=1) for _ in range(200)]
    assert sum(not judge(band, log.tolist()).inside for log in logs) <= 4


def test_numbers_that_share_steps_count_for_fewer():
    band = expected_band(np.tile([8, 128], 100), 1, 20)
    close, apart = judge(band, [60.0] * 40, range(40)), judge(band, [60.0] * 40, range(0, 800, 20))
    assert close.high - close.low > 3 * (apart.high - apart.low) / 2
    assert close.high - close.low == judge(band, [60.0] * 2).high - judge(band, [60.0] * 2).low


def test_what_was_not_run_widens_the_band():
    numbers = tuple([8, 128] * 50)
    whole, part = (expected_band(Counts(numbers, 100, complete)).mean_over(10_000) for complete in (True, False))
    assert part[1] - part[0] > 2 * (whole[1] - whole[0])


@pytest.mark.parametrize(
    ("logged", "inside", "words"),
    [
        (
            [3.1, 3.0, 3.2],
            False,
            "3.1 positives per image, mean of 3 logged numbers, lie below the 9.5–10.5 expected here",
        ),
        ([10.0, math.nan], True, "lie within the 9.5–10.5 expected here (mean 10.0, 4 images)."),
        ([99.0], False, "lie above the 9.5–10.5 expected here"),
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
