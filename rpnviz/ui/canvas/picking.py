"""What of the drawn layers lies at a point or in a rectangle, ranked; no Qt.

Boxes are looked up in the arrays of the result, so that a layer drawn as density is picked like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rpnviz.app.viewing import Many
from rpnviz.core.matching import AnchorState
from rpnviz.core.picking import BoxIndex, index_of, outline_distance
from rpnviz.core.pipeline import Result
from rpnviz.drawing.scene import Layer, LayerKey, World
from rpnviz.palette import Role

Box = tuple[float, float, float, float]
"""(x1, y1, x2, y2), original pixels."""

_STEPS = 3
"""Outlines whose distances fall into the same third of the reach count as equally near."""
_MOST = 2000
"""Hits that are ranked and held; the others are only counted."""
_HIDDEN = 255

_Part = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]
"""Kinds, ids, boxes (N, 4) and outline distances of what was found; original pixels."""


class Kind(IntEnum):
    """What a box is; the order is that in which boxes at one point are named."""

    GT_PROBLEM = 0
    GT = 1
    FORCED = 2
    POSITIVE = 3
    KEPT = 4
    SUPPRESSED = 5
    CANDIDATE = 6
    NEUTRAL = 7
    NEGATIVE = 8
    DECODED = 9
    """Any decoded box of the Model world, before every cut."""
    LEFT_OUT = 10
    DROPPED = 11
    """Neither kept nor suppressed."""

    @property
    def is_gt(self) -> bool:
        """Whether it is ground truth, the index then being that of a ground-truth box."""
        return self in (Kind.GT_PROBLEM, Kind.GT)


LOOKS: dict[Kind, tuple[str, Role]] = {
    Kind.GT_PROBLEM: ("Ground truth with a problem", Role.GT_PROBLEM),
    Kind.GT: ("Ground truth", Role.GT),
    Kind.FORCED: ("Forced positive", Role.FORCED),
    Kind.POSITIVE: ("Positive", Role.POSITIVE),
    Kind.KEPT: ("Kept after NMS", Role.PROPOSAL),
    Kind.SUPPRESSED: ("Suppressed by NMS", Role.SUPPRESSED),
    Kind.CANDIDATE: ("Before NMS", Role.PROPOSAL),
    Kind.NEUTRAL: ("Neutral (not trained on)", Role.NEUTRAL),
    Kind.NEGATIVE: ("Negative", Role.NEGATIVE),
    Kind.DECODED: ("Decoded boxes", Role.NEGATIVE),
    Kind.LEFT_OUT: ("Left out", Role.LEFT_OUT),
    Kind.DROPPED: ("Dropped (size, score, top-n)", Role.LEFT_OUT),
}
"""Title and role of every kind."""

_KIND_OF_STATE = np.zeros(len(AnchorState), np.uint8)
for _state, _kind in {
    AnchorState.POSITIVE: Kind.POSITIVE,
    AnchorState.FORCED: Kind.FORCED,
    AnchorState.NEGATIVE: Kind.NEGATIVE,
    AnchorState.NEUTRAL: Kind.NEUTRAL,
    AnchorState.LEFT_OUT_BORDER: Kind.LEFT_OUT,
    AnchorState.LEFT_OUT_IGNORE: Kind.LEFT_OUT,
}.items():
    _KIND_OF_STATE[_state] = _kind

_KIND_OF_KEY = {
    LayerKey.FORCED: Kind.FORCED,
    LayerKey.POSITIVE: Kind.POSITIVE,
    LayerKey.NEUTRAL: Kind.NEUTRAL,
    LayerKey.NEGATIVE: Kind.NEGATIVE,
    LayerKey.LEFT_OUT: Kind.LEFT_OUT,
    LayerKey.CANDIDATES: Kind.CANDIDATE,
    LayerKey.SUPPRESSED: Kind.SUPPRESSED,
    LayerKey.DROPPED: Kind.DROPPED,
    LayerKey.KEPT: Kind.KEPT,
}


@dataclass(frozen=True)
class Hit:
    """A box at the pointer.

    Attributes:
        kind: what it is.
        index: ground-truth index or anchor index.
        box: as drawn, original pixels.
    """

    kind: Kind
    index: int
    box: Box


class Hits:
    """Boxes at a point, best first; made one by one, because a point can lie in thousands.

    Attributes:
        counts: how many there are of each kind; of them all, the 2,000 best are held.
    """

    def __init__(self, kinds: NDArray[np.uint8], ids: NDArray[np.int64], boxes: NDArray, counts: NDArray) -> None:
        self._kinds, self._ids, self._boxes = kinds, ids, boxes
        self.counts = {kind: int(number) for kind, number in zip(Kind, counts.tolist(), strict=True) if number}

    @property
    def total(self) -> int:
        """How many there are, those that are not held included."""
        return sum(self.counts.values())

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, number: int) -> Hit:
        x1, y1, x2, y2 = self._boxes[number].tolist()
        return Hit(Kind(self._kinds[number]), int(self._ids[number]), (x1, y1, x2, y2))

    def __iter__(self) -> Iterator[Hit]:
        return (self[number] for number in range(len(self)))

    def first(self, kind: Kind, most: int) -> list[Hit]:
        """The best of one kind."""
        return [self[number] for number in np.flatnonzero(self._kinds == kind)[:most].tolist()]


@dataclass(frozen=True, eq=False)
class _Source:
    """N boxes of a result.

    Attributes:
        index: for questions, input pixels.
        boxes: (N, 4) input pixels.
        ids: (N,) their anchors; None: the row is the anchor.
        kinds: (N,) uint8 of :class:`Kind`, 255 where the box is not drawn.
    """

    index: BoxIndex
    boxes: NDArray
    ids: NDArray[np.int64] | None
    kinds: NDArray[np.uint8]


class Picker:
    """Answers for one set of layers; what it needs of them is made at the first question."""

    def __init__(self, layers: tuple[Layer, ...], result: Result | None, world: World) -> None:
        """``layers`` as drawn, the ``result`` they were made from (None: ground truth alone) and its ``world``."""
        self.layers = layers
        self._result = result
        self._world = world

    def at(self, x: float, y: float, reach: float, *, inside: bool = False, anything: bool = False) -> Hits:
        """Boxes at a point.

        Args:
            x, y: original pixels.
            reach: how far an outline may be, original pixels.
            inside: every box that contains the point counts, by kind, distance and area. Otherwise only those with
                an outline near it, then the ground truth that contains it; negatives not, though their layer is shown.
            anything: all anchors (or decoded boxes) are looked through, drawn or not, negatives too.

        Order: kind; distance in thirds of the reach; area, smaller first; distance; index.
        """
        parts = [self._gt_at(x, y, reach)]
        seen = np.zeros(0, np.int64)
        for source in self._everything if anything else self._shown:
            part = self._boxes_at(source, x, y, reach, inside, inside or anything)
            fresh = ~np.isin(part[1], seen) if len(seen) else slice(None)  # a candidate's clipped box stands for it
            seen = part[1]
            parts.append((part[0][fresh], part[1][fresh], part[2][fresh], part[3][fresh]))
        kinds, ids, boxes, distance = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        counts = np.bincount(kinds, minlength=len(Kind))
        with np.errstate(over="ignore"):
            area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
            step = np.floor(distance * (_STEPS / reach)) if reach > 0 else distance
        late = np.zeros(len(kinds), bool) if inside else distance > reach
        if len(kinds) > _MOST:
            # Sorting a quarter of a million by five keys takes longer than an answer may: one rough key goes first.
            with np.errstate(over="ignore"):
                rough = (late * 16.0 + kinds) * 1e6 + np.minimum(step, 1e5) + area / (1 + area)
            best = np.argpartition(rough, _MOST)[:_MOST]
            kinds, ids, boxes, distance, area, step, late = (
                column[best] for column in (kinds, ids, boxes, distance, area, step, late)
            )
        order = np.lexsort((ids, distance, area, step, kinds, late))
        return Hits(kinds[order], ids[order], boxes[order], counts)

    def within(self, box: Box) -> Many:
        """Ground truth and shown boxes that lie wholly inside a rectangle, original pixels."""
        boxes, ids, _ = self._gt
        x1, y1, x2, y2 = box
        with np.errstate(invalid="ignore"):
            inside = (boxes[:, 0] >= x1) & (boxes[:, 1] >= y1) & (boxes[:, 2] <= x2) & (boxes[:, 3] <= y2)
        anchors = np.zeros(0, np.int64)
        if self._result is not None:
            corners = self._result.frame.to_input(np.array([box]))[0].tolist()
            for source in self._shown:
                rows = source.index.within(*corners)
                rows = rows[source.kinds[rows] != _HIDDEN]
                found = rows if source.ids is None else source.ids[rows]
                anchors = np.union1d(anchors, found) if len(anchors) else np.sort(found)
        return Many(np.sort(ids[inside]), anchors)

    @cached_property
    def _gt(self) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.uint8]]:
        """Shown ground truth: boxes (M, 4) with corners in order, indices, kinds; original pixels."""
        layers = [layer for layer in self.layers if layer.key is LayerKey.GT]
        if not layers:
            return np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, np.uint8)
        boxes = np.concatenate([layer.boxes for layer in layers])
        boxes = np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1)
        kinds = [
            np.full(len(layer.ids), Kind.GT_PROBLEM if layer.role is Role.GT_PROBLEM else Kind.GT, np.uint8)
            for layer in layers
        ]
        return boxes, np.concatenate([layer.ids for layer in layers]), np.concatenate(kinds)

    @cached_property
    def _shown(self) -> tuple[_Source, ...]:
        """Boxes of the shown layers."""
        return self._sources(everything=False)

    @cached_property
    def _everything(self) -> tuple[_Source, ...]:
        """Those, and every other anchor or decoded box."""
        return self._sources(everything=True)

    def _sources(self, *, everything: bool) -> tuple[_Source, ...]:
        result = self._result
        if result is None:
            return ()
        anchors = result.anchors
        whole = [layer.ids for layer in self.layers if layer.key in (LayerKey.EVERYTHING, LayerKey.MINI_BATCH)]
        if self._world is World.TRAINING:
            of_state = np.take(_KIND_OF_STATE, result.match.state)
            return (_Source(index_of(anchors), anchors.boxes, None, self._kinds(of_state, whole, everything)),)
        sources = []
        if result.proposals is not None:
            candidates = result.proposals.candidates
            # The kept ones come last, and stay kept.
            kinds = self._kinds(np.full(len(anchors), _HIDDEN, np.uint8), [], everything=False)
            ids = candidates.anchor_index
            sources.append(_Source(index_of(candidates), candidates.boxes, ids, kinds[ids]))
        if (everything or whole) and result.decoded is not None:
            kinds = np.full(len(anchors), Kind.DECODED, np.uint8)
            if not everything:
                hidden = np.ones(len(anchors), bool)
                for ids in whole:
                    hidden[ids] = False
                kinds[hidden] = _HIDDEN
            sources.append(_Source(index_of(result.decoded), result.decoded.boxes_input, None, kinds))
        return tuple(sources)

    def _kinds(self, own: NDArray[np.uint8], whole: list[NDArray[np.int64]], everything: bool) -> NDArray[np.uint8]:
        """(A,) kinds of the anchors that are shown; ``own`` those of ``whole``, or of all if ``everything`` is."""
        if everything:
            return own
        kinds = np.full(len(own), _HIDDEN, np.uint8)
        for ids in whole:
            kinds[ids] = own[ids]
        for layer in self.layers:
            if layer.key in _KIND_OF_KEY:
                kinds[layer.ids] = _KIND_OF_KEY[layer.key]
        return kinds

    def _gt_at(self, x: float, y: float, reach: float) -> _Part:
        boxes, ids, kinds = self._gt
        distance = outline_distance(boxes, x, y)
        with np.errstate(invalid="ignore"):
            contains = (boxes[:, 0] <= x) & (x <= boxes[:, 2]) & (boxes[:, 1] <= y) & (y <= boxes[:, 3])
            found = np.flatnonzero(((distance <= reach) | contains) & np.isfinite(distance))
        return kinds[found], ids[found], boxes[found], distance[found]

    def _boxes_at(self, source: _Source, x: float, y: float, reach: float, inside: bool, negatives: bool) -> _Part:
        assert self._result is not None
        frame = self._result.frame
        px, py = frame.to_input(np.array([[x, y, x, y]]))[0, :2].tolist()
        rows = source.index.around(px, py, reach * max(frame.scale))
        kinds = source.kinds[rows]
        wanted = kinds != _HIDDEN
        if not negatives:
            wanted &= (kinds != Kind.NEGATIVE) & (kinds != Kind.DECODED)
        rows, kinds = rows[wanted], kinds[wanted]
        boxes = frame.to_original(source.boxes[rows])
        distance = outline_distance(boxes, x, y)
        if inside:
            contains = (boxes[:, 0] <= x) & (x <= boxes[:, 2]) & (boxes[:, 1] <= y) & (y <= boxes[:, 3])
            found = (distance <= reach) | contains
        else:
            found = distance <= reach
        ids = rows if source.ids is None else source.ids[rows]
        return kinds[found], ids[found], boxes[found], distance[found]


def boxes_of(result: Result, world: World, anchors: NDArray[np.int64]) -> NDArray[np.float64]:
    """What is drawn for anchors (N,): (N, 4) original pixels.

    In the Model world these are the decoded boxes; those of candidates are clipped to the image.
    """
    boxes = result.anchors.boxes[anchors]
    if world is World.MODEL and result.decoded is not None:
        boxes = result.decoded.boxes_input[anchors]
        if result.proposals is not None:
            candidates = result.proposals.candidates
            row_of = np.full(len(result.anchors), -1, np.int64)
            row_of[candidates.anchor_index] = np.arange(len(candidates.anchor_index))
            rows = row_of[anchors]
            boxes = np.where((rows >= 0)[:, None], candidates.boxes[rows] if len(candidates.boxes) else boxes, boxes)
    return result.frame.to_original(boxes)
