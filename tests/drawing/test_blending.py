"""Blending by tables: one formula, whichever way is taken."""

from __future__ import annotations

import numpy as np
import pytest

from rpnviz.drawing.blending import blend_table

pytestmark = pytest.mark.usefixtures("both_ways")


def test_every_pixel_and_every_opacity():
    """All 65,536 pairs of a pixel and an opacity, with colours that add the most."""
    opacity = np.arange(256, dtype=np.uint8)
    values = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    for colour in ((255, 255, 255), (0, 0, 0), (37, 182, 147)):
        frame = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 256, axis=1).repeat(3, axis=2)
        before = frame.astype(np.int64)
        blend_table(frame, values, opacity, np.tile(np.array(colour), (256, 1)))
        alpha = opacity.astype(np.int64)[None, :, None]
        wanted = (2 * before * (255 - alpha) + 255) // 510 + np.round(alpha / 255 * np.array(colour)).astype(np.int64)
        np.testing.assert_array_equal(frame, wanted)


@pytest.mark.parametrize("corner", [(0, 0), (3, 5), (17, 0)])
def test_only_the_part_changes(corner):
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    before = frame.copy()
    values = rng.integers(0, 256, (20, 30)).astype(np.uint8)
    blend_table(frame, values, np.full(256, 255, np.uint8), np.full((256, 3), 9), corner)
    left, top = corner
    assert (frame[top : top + 20, left : left + 30] == 9).all()
    frame[top : top + 20, left : left + 30] = before[top : top + 20, left : left + 30]
    np.testing.assert_array_equal(frame, before)


def test_no_pixels():
    frame = np.zeros((3, 3, 3), np.uint8)
    blend_table(frame, np.zeros((0, 0), np.uint8), np.zeros(256, np.uint8), np.zeros((256, 3), int), (1, 1))
    assert not frame.any()
