from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpnviz.core import presets
from rpnviz.core.deltas import decode, encode
from rpnviz.core.params import CoderParams

RULES = presets.load("torchvision").conventions
PLAIN = CoderParams(weights=(1, 1, 1, 1), dwh_clip=math.log(1000 / 16))
coordinate = st.floats(-500, 1500, width=32)
side = st.floats(1, 800, width=32)


def test_a_known_pair():
    anchor, box = np.float32([[0, 0, 10, 10]]), np.float32([[5, 0, 15, 20]])
    np.testing.assert_allclose(encode(anchor, box, PLAIN, RULES), [[0.5, 0.5, 0, math.log(2)]], rtol=1e-6)
    np.testing.assert_allclose(decode(anchor, encode(anchor, box, PLAIN, RULES), PLAIN, RULES), box, atol=1e-5)


@given(coordinate, coordinate, side, side, coordinate, coordinate, side, side, st.sampled_from([1.0, 10.0]))
def test_decode_inverts_encode(x, y, w, h, gx, gy, gw, gh, weight):
    params = CoderParams(weights=(weight, weight, weight / 2, weight / 2), dwh_clip=-1)
    anchor, box = np.float32([[x, y, x + w, y + h]]), np.float32([[gx, gy, gx + gw, gy + gh]])
    back = decode(anchor, encode(anchor, box, params, RULES), params, RULES)
    reach = max(abs(anchor).max(), abs(box).max())
    np.testing.assert_allclose(back, box, atol=4e-6 * reach)


@pytest.mark.parametrize("name", presets.names())
@given(coordinate, coordinate, side, side, coordinate, coordinate, side, side)
def test_decode_inverts_encode_within_the_frameworks_own_error(name, x, y, w, h, gx, gy, gw, gh):
    preset = presets.load(name)
    params = dataclasses.replace(preset.params.coder, dwh_clip=-1)
    anchor, box = np.float32([[x, y, x + w, y + h]]), np.float32([[gx, gy, gx + gw, gy + gh]])
    moves = encode(anchor, box, params, preset.conventions).astype(np.float32)
    back = decode(anchor, moves, params, preset.conventions)
    if name == "py-faster-rcnn":
        box[:, 2:] += 1  # its decoding does not take the inclusive pixel back
    reach = max(abs(anchor).max(), abs(box).max())
    np.testing.assert_allclose(back, box, atol=6e-6 * reach)


def test_the_clip_is_one_sided_and_can_be_off():
    anchor = np.float32([[0, 0, 32, 32]])
    grown = decode(anchor, np.float32([[0, 0, 9, -9]]), PLAIN, RULES)[0]
    np.testing.assert_allclose(grown[2] - grown[0], 32 * 62.5, rtol=1e-6)  # exp(log(1000 / 16)) = 62.5
    np.testing.assert_allclose(grown[3] - grown[1], 32 * math.exp(-9), rtol=1e-2)
    free = decode(anchor, np.float32([[0, 0, 9, 0]]), CoderParams(weights=(1, 1, 1, 1), dwh_clip=-1), RULES)[0]
    np.testing.assert_allclose(free[2] - free[0], 32 * math.exp(9), rtol=1e-5)


def test_undefined_deltas_stay_undefined():
    assert np.isnan(decode(np.float32([[0, 0, 8, 8]]), np.float32([[np.nan, 0, 0, 0]]), PLAIN, RULES)[0, 0])
