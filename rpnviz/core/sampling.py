"""The balanced mini-batch of anchors, drawn as the framework's own generator would draw it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.conventions import Conventions, DrawRule
from rpnviz.core.inputs import frozen
from rpnviz.core.params import SampleParams


@dataclass(frozen=True, eq=False)
class SampleResult:
    """The anchors that enter the loss.

    Attributes:
        positive, negative: ascending anchor indices.
    """

    positive: NDArray[np.int64]
    negative: NDArray[np.int64]

    def has(self, index: int) -> bool:
        """Whether an anchor enters the loss."""
        return bool(np.any(self.positive == index) or np.any(self.negative == index))


class TorchGenerator:
    """The CPU generator of ``torch.manual_seed(seed)``, as far as ``torch.randperm`` uses it.

    Draws that nobody looks at are owed until somebody looks at a later one.

    Source: ATen ``native/TensorFactories.cpp: randperm_cpu`` (Fisher-Yates over 32-bit MT19937 draws).
    """

    def __init__(self, seed: int) -> None:
        self._bits = np.random.RandomState(seed & 0xFFFFFFFF)
        self._owed = 0

    def permutation_head(self, n: int, k: int) -> NDArray[np.int64]:
        """The first k numbers of ``torch.randperm(n)``; consumes the draws of the whole permutation."""
        if n < 1:
            return np.zeros(0, np.int64)
        if self._owed:
            self._draw(self._owed)
        looked_at = max(0, min(k, n - 1))
        draws = self._draw(looked_at)
        self._owed = n - 1 - looked_at
        moved: dict[int, int] = {}
        head = []
        for i in range(min(k, n)):
            j = i + int(draws[i]) % (n - i) if i < n - 1 else i
            head.append(moved.get(j, j))
            moved[j] = moved.get(i, i)
        return np.array(head, np.int64)

    def _draw(self, number: int) -> NDArray[np.uint32]:
        return self._bits.randint(0, 2**32, size=number, dtype=np.uint32)


def sample_anchors(labels: NDArray[np.int8], params: SampleParams, conventions: Conventions) -> SampleResult:
    """Draw the mini-batch from the labels (A,).

    Convention:
        At most ``int(batch_size_per_image * positive_fraction)`` positives; negatives fill the rest; too few
        negatives make a smaller batch. Without a mini-batch (focal loss) all positives and negatives train.

    Source: torchvision ``models/detection/_utils.py: BalancedPositiveNegativeSampler``; detectron2
    ``modeling/sampling.py``; mmdet ``random_sampler.py``; Matterport ``build_rpn_targets``; py-faster-rcnn
    ``anchor_target_layer.py``.
    """
    positive, negative = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    if conventions.draw is DrawRule.NONE:
        return SampleResult(frozen(positive), frozen(negative))
    num_positive = _most_positives(len(positive), params)
    num_negative = min(len(negative), params.batch_size_per_image - num_positive)
    draw = _drawer(params.seed, conventions)
    positive = draw(positive, num_positive)
    negative = draw(negative, num_negative)
    return SampleResult(frozen(np.sort(positive)), frozen(np.sort(negative)))


def draw_positives(positives: int, params: SampleParams, conventions: Conventions, seed: int) -> NDArray[np.int64]:
    """Which of so many positives, in ascending order of the anchors, a mini-batch of this seed takes.

    All generators draw positives first: they are those of :func:`sample_anchors`, whatever the negatives.
    """
    every = np.arange(positives)
    if conventions.draw is DrawRule.NONE:
        return every
    return np.sort(_drawer(seed, conventions)(every, _most_positives(positives, params)))


def _most_positives(positives: int, params: SampleParams) -> int:
    """How many of so many positives a mini-batch takes."""
    return min(positives, int(params.batch_size_per_image * params.positive_fraction))


_Draw = Callable[[NDArray[np.int64], int], NDArray[np.int64]]
"""Draws so many of some indices; the first call is about the positives."""


def _drawer(seed: int, conventions: Conventions) -> _Draw:
    """The framework's generator at one seed."""
    if conventions.draw is DrawRule.NUMPY_DROPS:
        legacy = np.random.RandomState(seed & 0xFFFFFFFF)
        return lambda index, keep: _drop(index, keep, legacy)
    generator = TorchGenerator(seed)
    always = conventions.draw is DrawRule.TORCH_ALWAYS

    def draw(index: NDArray[np.int64], keep: int) -> NDArray[np.int64]:
        if always or len(index) > keep:
            return index[generator.permutation_head(len(index), keep)]
        return index

    return draw


def _drop(index: NDArray[np.int64], keep: int, legacy: np.random.RandomState) -> NDArray[np.int64]:
    """Drop a random choice of the surplus, as ``numpy.random.choice(index, surplus, replace=False)`` draws it."""
    surplus = len(index) - keep
    if surplus <= 0:
        return index
    return np.setdiff1d(index, legacy.choice(index, surplus, replace=False), assume_unique=True)
