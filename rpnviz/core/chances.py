"""How often a ground-truth box is seen in training: the chance in one step, and a count over many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.conventions import DrawRule
from rpnviz.core.pipeline import Result
from rpnviz.core.sampling import draw_positives


@dataclass(frozen=True)
class Chance:
    """One ground-truth box and the mini-batch of one step.

    Attributes:
        drawn: its positives in the mini-batch of the present seed.
        expected: its positives in a mini-batch, on average over all draws.
        missed: probability that none of its positives is drawn.
    """

    drawn: int
    expected: float
    missed: float

    @property
    def seen(self) -> float:
        """Probability that at least one of its positives is drawn."""
        return 1.0 - self.missed


def chance_of(result: Result, gt: int) -> Chance:
    """What the mini-batch means for one box.

    Convention:
        Every draw rule takes each set of so many positives with the same probability, so the number of a box's own is
        hypergeometric: 128 of 130 positives drawn, 1 of them its own: expected 128/130, missed with 2/130. Without a
        mini-batch (focal loss) all are trained on in every step.
    """
    match, sample = result.match, result.sample
    mine, total, drawn = int(match.gt_positives[gt]), len(match.positives), len(sample.positive)
    own = match.positives_of(gt)
    here = int(np.count_nonzero(np.isin(own, sample.positive, assume_unique=True)))
    return Chance(here, mine * drawn / total if mine else 0.0, missed_by_all(total, mine, drawn))


def chances_of(result: Result) -> tuple[Chance, ...]:
    """The same for every box; faster than one by one."""
    match, sample = result.match, result.sample
    total, drawn = len(match.positives), len(sample.positive)
    here = np.bincount(match.matched_gt[sample.positive], minlength=len(match.ranks)).tolist()
    return tuple(
        Chance(taken, mine * drawn / total if mine else 0.0, missed_by_all(total, mine, drawn))
        for taken, mine in zip(here, match.gt_positives.tolist(), strict=False)
    )


def missed_by_all(total: int, mine: int, drawn: int) -> float:
    """Probability that none of ``mine`` is among ``drawn`` of ``total``, all draws being equally likely.

    It is C(total - mine, drawn) / C(total, drawn), the same with ``mine`` and ``drawn`` exchanged: a product over the
    smaller of the two.
    """
    fewer, more = min(mine, drawn), max(mine, drawn)
    if more > total - fewer:
        return 0.0
    step = np.arange(fewer)
    return float(np.prod((total - more - step) / (total - step)))


@dataclass(frozen=True, eq=False)
class Steps:
    """Many mini-batches of one image, each with a seed of its own.

    Attributes:
        steps: how many.
        seen: (M,) steps in which at least one positive of the box was drawn.
        drawn: (M,) positives of the box drawn in all steps together.
    """

    steps: int
    seen: NDArray[np.int64]
    drawn: NDArray[np.int64]


def simulate_steps(result: Result, steps: int, check: Callable[[], None] = lambda: None) -> Steps:
    """Draw mini-batches with the trainer's own generator, at the seeds that follow the present one.

    Args:
        result: of the image.
        steps: how many; the first has the seed of the parameters.
        check: called before every step; what it raises ends the simulation.
    """
    match, params = result.match, result.params.sample
    boxes = len(match.ranks)
    owner = match.matched_gt[match.positives]
    if result.conventions.draw is DrawRule.NONE:
        return Steps(steps, steps * (match.gt_positives > 0), steps * match.gt_positives)
    seen, drawn = np.zeros(boxes, np.int64), np.zeros(boxes, np.int64)
    for step in range(steps):
        check()
        rows = draw_positives(len(owner), params, result.conventions, params.seed + step)
        counts = np.bincount(owner[rows], minlength=boxes)[:boxes]
        seen += counts > 0
        drawn += counts
    return Steps(steps, seen, drawn)
