"""Where a network's boxes stand: whether they gather in one place, and how many objects they find.

N boxes, M trained ground-truth boxes; lengths are px of the original image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.boxes import best_cover
from rpnviz.core.nms import by_falling_score
from rpnviz.core.pipeline import Result

BEST = 300
"""Boxes, by falling score, that count as the best ones: what inference keeps in most detectors."""
FOUND_BY = 100
"""Proposals, by falling score, that may find an object, as in the recall AR@100."""
COVERED_AT = 0.5
"""IoU from which a box counts as lying on an object."""


@dataclass(frozen=True)
class Gathering:
    """One image under one state of a network.

    Attributes:
        spread: of the centres of all boxes: root mean square distance from their mean, per axis.
        best_spread: the same of the :data:`BEST` best-scored, before NMS.
        shift: mean distance of those centres from the centres of their anchors.
        gt_spread: the same of the trained ground-truth boxes; NaN without one.
        on_object: share of the best-scored that lie on a ground-truth box; NaN without one.
        found: trained ground-truth boxes on which one of the best :data:`FOUND_BY` kept proposals lies.
        trained: how many there are.
    """

    spread: float
    best_spread: float
    gt_spread: float
    shift: float
    on_object: float
    found: int
    trained: int


def gathering(result: Result) -> Gathering:
    """Measure a result with proposals; boxes that are not finite are left out.

    Raises:
        ValueError: the result was computed without a network.
    """
    decoded, proposals = result.decoded, result.proposals
    if decoded is None or proposals is None:
        raise ValueError("the result has no proposals to measure")
    boxes = result.frame.to_original(decoded.boxes_input)
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(boxes).all(axis=1))
    best = by_falling_score(decoded.rank, result.conventions)
    best = best[finite[best]][:BEST]
    centres = _centres(boxes[best])
    away = centres - _centres(result.frame.to_original(result.anchors.boxes[best]))
    trained = result.gt.boxes[result.gt.trained].astype(np.float32)
    on_object, gt_spread, found = float("nan"), float("nan"), 0
    if len(trained):
        ious = best_cover(decoded.boxes_input[best], trained)[0]
        on_object = float(np.mean(ious >= COVERED_AT)) if len(best) else 0.0
        gt_spread = _spread(_centres(result.frame.to_original(trained)))
        kept = proposals.boxes[by_falling_score(proposals.scores, result.conventions)[:FOUND_BY]]
        found = int(np.count_nonzero(best_cover(trained, kept)[0] >= COVERED_AT))
    return Gathering(
        _spread(_centres(boxes[finite])),
        _spread(centres),
        gt_spread,
        float(np.hypot(*away.T).mean()) if len(best) else 0.0,
        on_object,
        found,
        len(trained),
    )


def _centres(boxes: NDArray) -> NDArray[np.float64]:
    """(N, 2) x, y."""
    corners = boxes.astype(np.float64)
    return (corners[:, :2] + corners[:, 2:]) / 2


def _spread(centres: NDArray[np.float64]) -> float:
    return float(np.sqrt(centres.var(axis=0).mean())) if len(centres) else 0.0
