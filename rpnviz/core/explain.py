"""Why a ground-truth box fares as it does: a budget of best IoUs, the cause, and what else is worth knowing.

The budget only falls: the best shape standing exactly on the box, the real positions, those that may be positive, and
those that are trained towards the box. Where it falls below what is needed, there is the cause (DESIGN section 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.chances import Chance, chance_of
from rpnviz.core.conventions import MatchOrder, TieRule
from rpnviz.core.ground_truth import NotTrained
from rpnviz.core.matching import Rank
from rpnviz.core.overlaps import overlaps_of, pair_iou
from rpnviz.core.pipeline import Result

TIES_WITHIN = 1e-6
"""IoUs this close to the best are as good, but not equal to the bit: the trainer takes none of them."""


class Cause(StrEnum):
    """Why a box is not matched; the closed list of DESIGN section 7."""

    SHAPE = "shape"
    """No anchor shape fits, even standing exactly on the box."""
    GRID = "grid"
    """A shape would fit, but no position is near enough."""
    LEFT_OUT = "left_out"
    """The anchors that fit may not be positive: border, padding, centre or ignore region."""
    STOLEN = "stolen"
    """The anchors that fit are trained towards another box."""
    INVALID_BOX = "invalid_box"
    """A side is not above 0."""
    OUTSIDE_IMAGE = "outside_image"
    """The trainer drops it, or clips it away."""
    CROWD = "crowd"
    """The trainer's crowd rule removes it."""


class LeftOutBy(StrEnum):
    """The rule that leaves the fitting anchors out."""

    BORDER = "border"
    PADDING = "padding"
    CENTRE = "centre"
    IGNORE = "ignore"


class NoteKind(StrEnum):
    """What is worth knowing besides the cause; a closed list."""

    NOT_SAMPLED = "not_sampled"
    """It has positives, and none was drawn into the mini-batch; the value is the probability of that."""
    LOW_QUALITY_REFUSED = "low_quality_refused"
    """The low-quality rule takes nothing below ``min_pos_iou``; the value is its best IoU."""
    EVERYTHING_POSITIVE = "everything_positive"
    """A box that touches no anchor makes every anchor positive; the value is how many of its own have IoU 0."""
    TIES = "ties"
    """Anchors as good as the best but for rounding, which the trainer does not take; the value is their number."""
    TRAINER_RAISES = "trainer_raises"
    """The trainer stops with an error because of it; no value."""
    OUTSIDE = "outside"
    """It lies outside the image and is trained on all the same; no value."""


@dataclass(frozen=True)
class Note:
    """One note, with the number that its kind asks for."""

    kind: NoteKind
    value: float | None = None


@dataclass(frozen=True)
class Budget:
    """Best IoUs with the box, each at most the one before it.

    Attributes:
        shape: of the best shape, standing exactly on the centre of the box; never below ``grid``.
        grid: over all anchors.
        allowed: over the anchors that may be positive.
        own: over the positives whose target is the box; None without any.
    """

    shape: float
    grid: float
    allowed: float
    own: float | None


@dataclass(frozen=True)
class ShapeFit:
    """The anchor shape that fits a box best, wherever it stands.

    Attributes:
        level: index of its level.
        width, height: input px.
        iou: with the box, standing exactly on its centre.
        off_x, off_y: how far the nearest positions of the level are from the centre of the box, input px.
    """

    level: int
    width: float
    height: float
    iou: float
    off_x: float
    off_y: float


@dataclass(frozen=True)
class Thief:
    """The best anchor that fits the box and is trained towards another.

    Attributes:
        gt: index of that other box.
        anchor: index of the anchor.
        iou: with the other box.
        own_iou: with this one.
        count: anchors that are lost in this way.
    """

    gt: int
    anchor: int
    iou: float
    own_iou: float
    count: int


@dataclass(frozen=True)
class Explanation:
    """Everything about one ground-truth box; numbers of a box that is not trained on are None or 0.

    Attributes:
        gt: its index in ``Inputs``.
        rank: how it fares.
        cause: why it is not matched; None if it is.
        left_out_by: the rule behind the cause ``left_out``.
        notes: what else is worth knowing.
        positives, forced: anchors trained towards it, and those of them whose IoU with it is below ``threshold``.
        positives_at_zero_iou: those that do not even touch it.
        best_iou: over the anchors that the matcher sees; None if it is not trained on.
        budget: None if it is not trained on.
        threshold: ``fg_iou_thresh``.
        needed: IoU that gets it a positive at all; it must be above 0 besides.
        stolen_by: the best lost anchor; None if none is lost.
        shape: what fits it best; None if it is not trained on.
        chance: of being in the mini-batch.
    """

    gt: int
    rank: Rank
    cause: Cause | None
    left_out_by: LeftOutBy | None
    notes: tuple[Note, ...]
    positives: int
    forced: int
    positives_at_zero_iou: int
    best_iou: float | None
    budget: Budget | None
    threshold: float
    needed: float
    stolen_by: Thief | None
    shape: ShapeFit | None
    chance: Chance


_NOT_TRAINED = {
    NotTrained.INVALID_BOX: Cause.INVALID_BOX,
    NotTrained.OUTSIDE_IMAGE: Cause.OUTSIDE_IMAGE,
    NotTrained.CROWD: Cause.CROWD,
}


def explain(result: Result, gt: int) -> Explanation:
    """Explain one ground-truth box.

    Args:
        result: of the image.
        gt: index of the box in ``Inputs``.

    Raises:
        IndexError: there is no such box.
    """
    match, params = result.match, result.params.match
    if not 0 <= gt < len(match.ranks):
        raise IndexError(f"ground-truth box {gt} of {len(match.ranks)}")
    rank, needed = match.ranks[gt], needed_iou(result)
    raises = [Note(NoteKind.TRAINER_RAISES)] if gt in result.gt.raised_by else []
    if rank is Rank.NOT_TRAINED:
        reason = result.gt.not_trained[gt]
        cause = None if reason is None else _NOT_TRAINED[reason]
        return Explanation(
            gt,
            rank,
            cause,
            None,
            tuple(raises),
            0,
            0,
            0,
            None,
            None,
            params.fg_iou_thresh,
            needed,
            None,
            None,
            Chance(0, 0.0, 1.0),
        )
    fits = _Fits(result, gt)
    chance = chance_of(result, gt)
    cause, left_out_by, thief = _cause(fits, rank, needed)
    return Explanation(
        gt,
        rank,
        cause,
        left_out_by,
        tuple(raises + _notes(fits, rank, chance)),
        int(match.gt_positives[gt]),
        int(match.gt_forced[gt]),
        int(np.count_nonzero(fits.own_iou == 0)),
        float(match.gt_best_iou[gt]),
        fits.budget(),
        params.fg_iou_thresh,
        needed,
        thief,
        fits.shape,
        chance,
    )


def needed_iou(result: Result) -> float:
    """IoU from which on a box gets a positive anchor at all, besides being above 0.

    Convention:
        ``fg_iou_thresh`` without the low-quality rule, else ``min_pos_iou``; where negatives are set last they take
        forced positives back, and it is ``bg_iou_thresh`` at least.
    """
    params = result.params.match
    if not params.allow_low_quality_matches:
        return params.fg_iou_thresh
    if result.conventions.match_order is MatchOrder.NEGATIVES_LAST:
        return max(params.min_pos_iou, params.bg_iou_thresh)
    return params.min_pos_iou


class _Fits:
    """The anchors that touch a trained box, and what became of them.

    Attributes:
        index, iou: (N,) anchors that touch it, ascending, and their IoU with it.
        seen: (N,) whether the matcher sees them.
        own, own_iou: the positives whose target is the box, and their IoU with it.
    """

    def __init__(self, result: Result, gt: int) -> None:
        self.result, self.gt = result, gt
        anchors, conventions = result.anchors, result.conventions
        box = result.gt.boxes[gt : gt + 1].astype(anchors.boxes.dtype)
        self._box = box
        self.index, self.iou = overlaps_of(anchors, box[0], conventions)
        allowed = result.barred.allowed
        self.seen = np.ones(len(self.index), bool) if allowed is None else allowed[self.index]
        self.own = result.match.positives_of(gt)
        self.own_iou = pair_iou(anchors.boxes[self.own], np.repeat(box, len(self.own), axis=0), conventions)
        kind = np.dtype(conventions.threshold_dtype.value).type
        self._kind = kind

    def reaches(self, iou: NDArray, threshold: float) -> NDArray[np.bool_]:
        """Whether IoUs reach a threshold, compared as the trainer compares them."""
        return np.asarray(iou >= self._kind(threshold))

    def barred_by(self) -> list[tuple[LeftOutBy, NDArray[np.bool_]]]:
        """(N,) anchors that each rule bars from being positive."""
        barred = self.result.barred
        border = [part for part in (barred.border_before, barred.border_after) if part is not None]
        rules = [(LeftOutBy.BORDER, border[0] if border else None)]
        rules += [(LeftOutBy.PADDING, barred.padding), (LeftOutBy.CENTRE, barred.centre)]
        rules += [(LeftOutBy.IGNORE, barred.ignore)]
        return [(rule, part[self.index]) for rule, part in rules if part is not None]

    @property
    def allowed(self) -> NDArray[np.bool_]:
        """(N,) anchors that may be positive."""
        free = np.ones(len(self.index), bool)
        for _, part in self.barred_by():
            free &= ~part
        return free

    def candidates(self, needed: float) -> NDArray[np.bool_]:
        """(N,) anchors that reach the threshold with the box, or that the low-quality rule gives it."""
        params, conventions = self.result.params.match, self.result.conventions
        found = self.reaches(self.iou, params.fg_iou_thresh)
        if params.allow_low_quality_matches and self.seen.any():
            best = self.iou[self.seen].max()
            if best > 0 and self.reaches(best, needed):
                given = np.flatnonzero(self.seen & (self.iou == best))
                found[given if conventions.tie_rule is TieRule.ALL else given[:1]] = True
        return found

    @cached_property
    def shape(self) -> ShapeFit:
        """The best shape, standing exactly on the centre of the box."""
        x1, y1, x2, y2 = self._box[0]
        half = self._box.dtype.type(0.5)
        x, y = (x1 + x2) * half, (y1 + y2) * half
        boxes = []
        for level in self.result.anchors.lattice:
            wide, high = (level.x2[:, 0] - level.x1[:, 0]) * half, (level.y2[:, 0] - level.y1[:, 0]) * half
            boxes.append(np.stack([x - wide, y - high, x + wide, y + high], axis=1))
        shapes = np.concatenate(boxes)
        iou = pair_iou(shapes, np.repeat(self._box, len(shapes), axis=0), self.result.conventions)
        best = int(np.argmax(np.nan_to_num(iou)))
        number, cell = 0, best
        while cell >= len(boxes[number]):
            cell -= len(boxes[number])
            number += 1
        level, last = self.result.anchors.lattice[number], self.result.conventions.iou_pixels.extra
        off_x, off_y = (
            float(np.abs((low[cell] + high[cell]) * half - middle).min(initial=np.inf))
            for low, high, middle in ((level.x1, level.x2, x), (level.y1, level.y2, y))
        )
        left, top, right, bottom = shapes[best].tolist()
        value = float(np.nan_to_num(iou)[best])
        return ShapeFit(number, right - left + last, bottom - top + last, value, off_x, off_y)

    def best(self, among: NDArray[np.bool_] | None = None) -> float:
        """Best IoU of the anchors that touch the box, 0 without any."""
        return float((self.iou if among is None else self.iou[among]).max(initial=0))

    def budget(self) -> Budget:
        """What is left at each step."""
        grid = self.best()
        own = float(self.own_iou.max()) if len(self.own) else None
        return Budget(max(self.shape.iou, grid), grid, self.best(self.allowed), own)


def _cause(fits: _Fits, rank: Rank, needed: float) -> tuple[Cause | None, LeftOutBy | None, Thief | None]:
    if rank is Rank.MATCHED:
        return None, None, None
    threshold = fits.result.params.match.fg_iou_thresh
    budget, allowed = fits.budget(), fits.allowed
    if rank is Rank.NONE:
        wanted = fits.candidates(needed)
        if wanted.any():
            if (wanted & allowed).any():
                return Cause.STOLEN, None, _thief(fits, wanted & allowed)
            return Cause.LEFT_OUT, _rule(fits, wanted), None
        threshold = needed

    def below(iou: float) -> bool:
        return iou <= 0 or not bool(fits.reaches(np.asarray(iou, fits.iou.dtype), threshold))

    if below(budget.shape):
        return Cause.SHAPE, None, None
    if below(budget.grid):
        return Cause.GRID, None, None
    wanted = fits.reaches(fits.iou, threshold) & (fits.iou > 0)
    if below(budget.allowed):
        return Cause.LEFT_OUT, _rule(fits, wanted), None
    return Cause.STOLEN, None, _thief(fits, wanted & allowed)


def _rule(fits: _Fits, wanted: NDArray[np.bool_]) -> LeftOutBy | None:
    """The first rule after which none of the wanted anchors is left."""
    left = wanted.copy()
    for rule, part in fits.barred_by():
        left &= ~part
        if not left.any():
            return rule
    return None


def _thief(fits: _Fits, lost: NDArray[np.bool_]) -> Thief | None:
    """Who has the best of the lost anchors; the lower index of equals."""
    result = fits.result
    places = np.flatnonzero(lost & (result.match.matched_gt[fits.index] != fits.gt))
    if not len(places):
        return None
    best = int(places[np.argmax(fits.iou[places])])
    anchor = int(fits.index[best])
    thief = int(result.match.matched_gt[anchor])
    box = result.gt.boxes[thief : thief + 1]
    iou = pair_iou(result.anchors.boxes[anchor : anchor + 1], box, result.conventions)
    return Thief(thief, anchor, float(iou[0]), float(fits.iou[best]), len(places))


def _notes(fits: _Fits, rank: Rank, chance: Chance) -> list[Note]:
    result, gt = fits.result, fits.gt
    match, params = result.match, result.params.match
    notes = []
    if len(fits.own) and not chance.drawn:
        notes.append(Note(NoteKind.NOT_SAMPLED, chance.missed))
    best = float(match.gt_best_iou[gt])
    if params.allow_low_quality_matches and rank is Rank.NONE and 0 < best < params.min_pos_iou:
        notes.append(Note(NoteKind.LOW_QUALITY_REFUSED, best))
    at_zero = int(np.count_nonzero(fits.own_iou == 0))
    if gt in match.everything_positive or at_zero:
        notes.append(Note(NoteKind.EVERYTHING_POSITIVE, at_zero))
    seen = fits.iou[fits.seen]
    near = int(np.count_nonzero((seen >= seen.max(initial=0) - TIES_WITHIN) & (seen < seen.max(initial=0))))
    if near:
        notes.append(Note(NoteKind.TIES, near))
    (top, left), (height, width) = result.frame.offset, result.frame.resized_size
    x1, y1, x2, y2 = result.gt.boxes[gt].tolist()
    if x2 <= left or y2 <= top or x1 >= left + width or y1 >= top + height:
        notes.append(Note(NoteKind.OUTSIDE))
    return notes
