"""What a number means under the trainer's conventions, in the words and signs of screen and picture."""

from __future__ import annotations

from dataclasses import dataclass

from rpnviz.core.conventions import (
    Codec,
    Conventions,
    DrawRule,
    NegativeTest,
    NmsCompare,
    RatioMeaning,
    SmallBoxRule,
    TopKScope,
)


@dataclass(frozen=True)
class Comparison:
    """How a value is held against its limit, in words and as a sign."""

    words: str
    sign: str


_BELOW, _AT_MOST = Comparison("below", "<"), Comparison("at most", "≤")
_ABOVE, _AT_LEAST = Comparison("above", ">"), Comparison("at least", "≥")

_SMALL_BOX = {
    SmallBoxRule.AT_LEAST: _AT_LEAST,
    SmallBoxRule.ABOVE: _ABOVE,
    SmallBoxRule.INCLUSIVE_SCALED_FIRST: _AT_LEAST,
}


@dataclass(frozen=True)
class Terms:
    """The terms of one set of conventions.

    Attributes:
        negative: how the best IoU of a negative stands to ``bg_iou_thresh``.
        ratio: what an aspect ratio divides.
        targets: names of the four deltas.
        draws: False where no mini-batch is drawn: all positives and negatives train.
        pre_nms_scope: what ``pre_nms_top_n`` counts.
        side: how the sides of a kept box stand to ``min_size``; None where no box is too small.
        side_frame: whose pixels ``min_size`` counts.
        nms: how the IoU of a suppressed box stands to ``nms_thresh``.
    """

    negative: Comparison
    ratio: str
    targets: tuple[str, str, str, str]
    draws: bool
    pre_nms_scope: str
    side: Comparison | None
    side_frame: str
    nms: Comparison


def terms(conventions: Conventions) -> Terms:
    """The terms that screen and picture use under these conventions."""
    inclusive_nms = conventions.nms_compare is NmsCompare.AT_LEAST_FLOAT64_THRESH
    return Terms(
        negative=_AT_MOST if conventions.negative_test is NegativeTest.AT_MOST else _BELOW,
        ratio="w/h" if conventions.ratio_meaning is RatioMeaning.WIDTH_OVER_HEIGHT else "h/w",
        targets=("dx1", "dy1", "dx2", "dy2") if conventions.codec is Codec.CORNERS else ("dx", "dy", "dw", "dh"),
        draws=conventions.draw is not DrawRule.NONE,
        pre_nms_scope="per image" if conventions.top_k is TopKScope.JOINT else "per level",
        side=_SMALL_BOX.get(conventions.small_box),
        side_frame="image" if conventions.small_box is SmallBoxRule.INCLUSIVE_SCALED_FIRST else "input",
        nms=_AT_LEAST if inclusive_nms else _ABOVE,
    )
