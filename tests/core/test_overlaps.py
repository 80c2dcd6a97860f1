"""The compiled loops and NumPy are the same to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpnviz.core import compiled, overlaps, presets
from rpnviz.core.anchors import make_anchors


@pytest.fixture(scope="module")
def kernels():
    found = compiled.kernels()
    if found is None:
        pytest.skip("numba is an extra and is not installed")
    return found


@settings(max_examples=80)
@given(
    st.sampled_from(presets.names()),
    st.integers(1, 700),
    st.integers(1, 700),
    st.integers(1, 60),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_both_ways_agree(kernels, name, height, width, count, seed, some_barred):
    preset = presets.load(name)
    rng = np.random.default_rng(seed)
    anchors = make_anchors((height, width), preset.params.anchors, preset.conventions)
    corner = rng.uniform(-100, 700, (count, 2))
    boxes = np.concatenate([corner, corner + np.exp(rng.uniform(-2, 7, (count, 2)))], axis=1)
    snapped = rng.random(count) < 0.5
    boxes[snapped] = np.round(boxes[snapped] / 16) * 16  # on the grid, where ties are
    boxes = boxes.astype(anchors.boxes.dtype)
    boxes[0, 2] = boxes[0, 0]
    allowed = rng.random(len(anchors)) < 0.7 if some_barred else None
    fast = overlaps._compiled_overlaps(anchors, boxes, preset.conventions, allowed, kernels)
    plain = overlaps._plain_overlaps(anchors, boxes, preset.conventions, allowed)
    np.testing.assert_array_equal(fast.best_iou, plain.best_iou)
    np.testing.assert_array_equal(fast.best_gt, plain.best_gt)
    np.testing.assert_array_equal(fast.gt_best_iou, plain.gt_best_iou)
    for mine, theirs in zip(fast.gt_best_anchors, plain.gt_best_anchors, strict=True):
        if theirs is None:
            assert mine is None
        else:
            np.testing.assert_array_equal(mine, theirs)


def test_more_ties_than_the_first_room_for_them(kernels):
    preset = presets.load("torchvision")
    anchors = make_anchors((1024, 1024), preset.params.anchors, preset.conventions)
    boxes = np.float32([[-2000, -2000, 3000, 3000], [10, 10, 60, 70]])  # every large anchor inside ties
    fast = overlaps._compiled_overlaps(anchors, boxes, preset.conventions, None, kernels)
    plain = overlaps._plain_overlaps(anchors, boxes, preset.conventions, None)
    np.testing.assert_array_equal(fast.gt_best_anchors[0], plain.gt_best_anchors[0])
    tiny = np.float32([[400, 400, 400.5, 400.5]] * 90)
    np.testing.assert_array_equal(
        np.concatenate(overlaps._compiled_overlaps(anchors, tiny, preset.conventions, None, kernels).gt_best_anchors),
        np.concatenate(overlaps._plain_overlaps(anchors, tiny, preset.conventions, None).gt_best_anchors),
    )


def test_numba_is_not_imported_with_the_pipeline():
    import subprocess
    import sys

    code = "import rpnviz.core.pipeline, sys; print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
