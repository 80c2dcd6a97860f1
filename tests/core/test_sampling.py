from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rpnviz.core import presets
from rpnviz.core.sampling import TorchGenerator, sample_anchors

PRESET = presets.load("torchvision")


@pytest.mark.parametrize("seed", [0, 1, 7, 12345, 2**31, 2**40 + 3])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 57, 4097])
def test_permutations_are_torchs(seed, n):
    torch = pytest.importorskip("torch")
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    first, second = torch.randperm(n), torch.randperm(9)
    torch.set_rng_state(state)
    generator = TorchGenerator(seed)
    np.testing.assert_array_equal(generator.permutation_head(n, n), first.numpy())
    np.testing.assert_array_equal(generator.permutation_head(9, 4), second.numpy()[:4])
    for looked_at in (0, 1, n // 2):  # a permutation of which only the head is looked at moves the generator as far
        generator = TorchGenerator(seed)
        np.testing.assert_array_equal(generator.permutation_head(n, looked_at), first.numpy()[:looked_at])
        np.testing.assert_array_equal(generator.permutation_head(9, 4), second.numpy()[:4])


@pytest.mark.parametrize(
    ("positives", "negatives", "drawn"),
    [(300, 1000, (128, 128)), (10, 1000, (10, 246)), (300, 20, (128, 20)), (0, 5, (0, 5)), (0, 0, (0, 0))],
)
def test_shares(positives, negatives, drawn):
    labels = np.array([1] * positives + [0] * negatives + [-1] * 50, np.int8)
    sample = sample_anchors(labels, PRESET.params.sample, PRESET.conventions)
    assert (len(sample.positive), len(sample.negative)) == drawn
    assert (labels[sample.positive] == 1).all()
    assert (labels[sample.negative] == 0).all()
    for part in (sample.positive, sample.negative):
        assert (np.diff(part) > 0).all()


def test_the_seed_decides():
    labels = np.array([1] * 300 + [0] * 3000, np.int8)
    draw = lambda seed: sample_anchors(  # noqa: E731
        labels, dataclasses.replace(PRESET.params.sample, seed=seed), PRESET.conventions
    ).positive.tolist()
    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
