from __future__ import annotations

import numpy as np
import pytest
from dense import greedy_nms
from hypothesis import given, settings
from hypothesis import strategies as st

from rpnviz.core import nms, presets
from rpnviz.core.boxes import box_iou

RULES = presets.load("torchvision").conventions


def random_boxes(count, seed):
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 60, (count, 2)).astype(np.float32)
    size = rng.integers(1, 40, (count, 2)).astype(np.float32)
    return np.concatenate([corner, corner + size], axis=1), rng.integers(0, 30, count).astype(np.float32) / 30


@pytest.mark.parametrize(
    ("most", "warm"), [(8_000_000, True), (8_000_000, False), (-1, False)], ids=["compiled", "pairs", "rows"]
)
@settings(max_examples=60)
@given(count=st.integers(0, 120), seed=st.integers(0, 10**6), threshold=st.floats(0, 1))
def test_kept_boxes_equal_a_plain_greedy_loop(most, warm, count, seed, threshold):
    boxes, scores = random_boxes(count, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nms, "_MAX_PAIRS", most)
        patch.setattr(nms, "is_warm", lambda: warm)
        groups = nms.make_groups(boxes, scores, np.zeros(count, np.uint8), RULES)
    result = nms.suppress(groups, count, threshold, RULES)
    assert np.flatnonzero(result.kept).tolist() == sorted(greedy_nms(boxes, scores, threshold))
    for gone in np.flatnonzero(~result.kept):
        by = result.suppressor[gone]
        assert result.kept[by]
        assert scores[by] >= scores[gone]
        iou = box_iou(boxes[[by]], boxes[[gone]])[0, 0]
        assert iou == result.suppressor_iou[gone]
        assert float(iou) > threshold
    assert (result.suppressor[result.kept] == -1).all()


def test_groups_do_not_meet():
    boxes, scores = np.float32([[0, 0, 10, 10]] * 4), np.float32([0.9, 0.8, 0.7, 0.6])
    result = nms.suppress(nms.make_groups(boxes, scores, np.array([0, 1, 0, 1]), RULES), 4, 0.5, RULES)
    assert result.kept.tolist() == [True, True, False, False]
    assert result.suppressor.tolist() == [-1, -1, 0, 1]


@pytest.mark.parametrize(("threshold", "kept"), [(0.6, 1), (0.7, 2), (0.5, 1)])
def test_exactly_on_the_threshold(threshold, kept):
    # float32(0.6) is 0.6000000238 > 0.6; float32(0.7) is 0.699999988 < 0.7
    height = {0.6: 60, 0.7: 70, 0.5: 51}[threshold]
    boxes = np.float32([[0, 0, 100, 100], [0, 0, 100, height]])
    groups = nms.make_groups(boxes, np.float32([0.9, 0.8]), np.zeros(2, np.uint8), RULES)
    assert np.count_nonzero(nms.suppress(groups, 2, threshold, RULES).kept) == kept


@pytest.mark.parametrize("name", [name for name in presets.names() if name != "keras-retinanet"])
@settings(max_examples=25)
@given(count=st.integers(1, 80), seed=st.integers(0, 10**6), threshold=st.floats(0.05, 0.95))
def test_every_framework_keeps_no_two_boxes_beyond_its_threshold(name, count, seed, threshold):
    rules = presets.load(name).conventions
    boxes, scores = random_boxes(count, seed)
    result = nms.suppress(nms.make_groups(boxes, scores, np.zeros(count, np.uint8), rules), count, threshold, rules)
    one = np.float32(1 if rules.nms_pixels == "inclusive" else 0)
    stretched = boxes + np.array([0, 0, one, one], np.float32)  # inclusive pixels as exclusive ones
    iou = box_iou(stretched, stretched)
    kept = np.flatnonzero(result.kept)
    among = iou[np.ix_(kept, kept)][~np.eye(len(kept), dtype=bool)]
    assert (among <= np.float32(threshold) + 1e-6).all()
    for gone in np.flatnonzero(~result.kept):
        by = result.suppressor[gone]
        assert result.kept[by]
        assert scores[by] >= scores[gone]
        assert iou[by, gone] >= np.float32(threshold) - 1e-6
