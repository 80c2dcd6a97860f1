"""What is wrong with the boxes of a data set, found from its numbers alone: takes a second for a million boxes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rpnviz.datasets.base import ROUNDING_PX, Severity, judge_position
from rpnviz.datasets.columns import Columns
from rpnviz.datasets.findings import FindingLog
from rpnviz.datasets.pixels import Order, PixelConvention

NOT_FINITE, FLAT, NO_BOX, TWICE = "not finite", "flat", "bbox", "duplicate box"
OUTSIDE, BEYOND = "lies outside the image", "reaches beyond the image"
FROM_ZERO, FROM_ONE, LAST_PIXEL = "counts from 0", "counts from 1", "names the last pixel"
SHARES, PIXELS, AS_CORNERS, AS_SIZES = "shares", "pixels", "corners", "sides"
AS_CENTRES, AS_UPPER_LEFT = "centres", "upper left"
SLIPS = (SHARES, PIXELS, AS_CORNERS, AS_SIZES, AS_CENTRES, AS_UPPER_LEFT, FROM_ZERO, FROM_ONE, LAST_PIXEL)
"""Kinds that are about the whole file: what single boxes have wrong mostly follows from them."""

_ROUNDING_SHARE = 1e-3
"""The same as ``ROUNDING_PX`` for boxes that are shares of an image of some 500 px."""
_ENOUGH = 10
"""So many boxes must show a slip of the whole file before it is called one."""
_CHUNK = 1 << 16


_READINGS: dict[Order, tuple[str, tuple[tuple[str, Order, str, str], ...]]] = {
    Order.CORNER_SIZE: (
        "x, y, width, height",
        (
            (AS_CORNERS, Order.CORNERS, "x1, y1, x2, y2", "Write width and height: x2 - x1 and y2 - y1."),
            (
                AS_CENTRES,
                Order.CENTRE_SIZE,
                "centre and size",
                "Write the upper left corner: x - width / 2 and y - height / 2.",
            ),
        ),
    ),
    Order.CENTRE_SIZE: (
        "centre and size",
        (
            (
                AS_CORNERS,
                Order.CORNERS,
                "x1, y1, x2, y2",
                "Write centre and size: (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1.",
            ),
            (
                AS_UPPER_LEFT,
                Order.CORNER_SIZE,
                "upper left corner and size",
                "Write the centre: x + width / 2 and y + height / 2.",
            ),
        ),
    ),
}
"""What four numbers with a size mean, and what they are mistaken for: kind, order, its words and the way out."""


class BoxChecks:
    """Checks the boxes of one data set and notes what it finds; all boxes stay, the trainer decides about them.

    Args:
        columns: the boxes.
        numbers: (M, 4) what the file says, in the order of its format.
        convention: of the format.
        log: where to note it.
        without_box: rows for which the file has no usable box, which was said already.
    """

    def __init__(
        self,
        columns: Columns,
        numbers: NDArray[np.float64],
        convention: PixelConvention,
        log: FindingLog,
        without_box: NDArray[np.int64],
    ) -> None:
        self._columns = columns
        self._numbers = numbers
        self._convention = convention
        self._log = log
        # One column after the other: along the four numbers of a row NumPy is five times as slow.
        x1, y1, x2, y2 = columns.boxes.T
        self._owners = columns.owners()
        with np.errstate(invalid="ignore", over="ignore"):
            self._finite = np.isfinite(numbers.T.sum(axis=0)) & np.isfinite(x1 + x2 + y1 + y2)
            unsure = ~self._finite  # a sum overflows before its parts do
            sure = np.isfinite(numbers[unsure]).all(axis=1) & np.isfinite(columns.boxes[unsure]).all(axis=1)
            self._finite[unsure] = sure
            # In formats whose corners are inclusive 7, 7 is one pixel wide, here it is 6, 7: empty is empty.
            self._flat = self._finite & ((x2 <= x1) | (y2 <= y1))
        self._has_box = np.ones(len(x1), bool)
        self._has_box[without_box] = False
        sizes = np.where(columns.sizes > 0, columns.sizes, np.nan).astype(np.float64)
        self._sizes = np.ones((len(sizes), 2)) if convention.normalised else sizes

    def run(self) -> None:
        """All of them."""
        self._check_sides()
        usable = np.flatnonzero(self._finite & ~self._flat)
        slips = self._check_slips(usable)
        if not slips & {PIXELS, SHARES}:
            self._check_position(usable)
        self._check_twice()

    def _corners(self) -> NDArray[np.float64]:
        """Of formats with corners: x1, y1, x2, y2 as in the file."""
        return self._numbers[:, [0, 2, 1, 3]] if self._convention.order is Order.SPANS else self._numbers

    def _report(
        self, kind: str, severity: Severity, rows: NDArray[np.int64], sentence: Callable[[int], str], way_out: str = ""
    ) -> None:
        def report_one(row: int) -> None:
            numbers = ", ".join(f"{value:.10g}" for value in self._numbers[row].tolist())
            what = f"{self._convention.word} [{numbers}] {sentence(row)}; kept as it is."
            image = self._columns.image_of(row)
            gt = row - int(self._columns.starts[image])
            self._log.add(kind, severity, what, self._columns.where(row), way_out, image, gt)

        self._log.add_many(kind, rows, report_one)

    def _check_sides(self) -> None:
        bad = np.flatnonzero(~self._finite & self._has_box)
        self._report(NOT_FINITE, "error", bad, lambda row: "is not finite")
        self._report(FLAT, "error", np.flatnonzero(self._flat), self._flat_sides)

    def _flat_sides(self, row: int) -> str:
        """Which sides are not above 0."""
        if self._convention.order in (Order.CORNER_SIZE, Order.CENTRE_SIZE):
            width, height = self._numbers[row, 2:].tolist()
            sides = [f"{name} {side:.10g}" for name, side in (("width", width), ("height", height)) if side <= 0]
            # A width below the last bit of the corner is a side of 0 in every program.
            return f"has {' and '.join(sides) or 'a side that vanishes in float64'}, expected above 0"
        x1, y1, x2, y2 = self._corners()[row].tolist()
        least = "at least" if self._convention.inclusive else "above"
        pairs = (("x2", x2, "x1", x1), ("y2", y2, "y1", y1))
        wrong = [
            f"{end} {b:.10g} where {least} {start} {a:.10g} is expected"
            for end, b, start, a in pairs
            if b < a or (b == a and not self._convention.inclusive)
        ]
        return f"has {' and '.join(wrong)}"

    def _check_position(self, usable: NDArray[np.int64]) -> None:
        margin = _ROUNDING_SHARE if self._convention.normalised else ROUNDING_PX
        # A size that only the image tells is waited for; a box before 0 would else be noted now and again then.
        usable = usable[np.isfinite(self._sizes[self._owners[usable]]).all(axis=1)]
        boxes, sizes = self._columns.boxes[usable], self._sizes[self._owners[usable]]
        for severity, rows, judgement in judge_position(boxes, sizes, margin):

            def position(row: int, judgement: str = judgement) -> str:
                if self._convention.normalised:
                    return judgement
                height, width = self._sizes[self._owners[row]]
                return f"{judgement} of {width:.0f} x {height:.0f} px"

            self._report(judgement, severity, usable[rows], position)

    def _check_twice(self) -> None:
        """The same box of the same category in the same image."""
        sound = np.flatnonzero(self._finite & ~self._flat)
        rows = sound[same_boxes(self._owners[sound], self._columns.labels[sound], self._columns.boxes[sound])]

        def report_one(pair: int) -> None:
            row, first = rows[pair].tolist()
            image = self._columns.image_of(row)
            what = f"the same box and category as {self._columns.where(first)}; both were kept."
            gt = row - int(self._columns.starts[image])
            way_out = "Remove one of the two: both are trained on, and only one can be found."
            self._log.add(TWICE, "warning", what, self._columns.where(row), way_out, image, gt)

        self._log.add_many(TWICE, np.arange(len(rows)), report_one)

    # ------------------------------------------------------------------ slips of the whole file

    def _check_slips(self, usable: NDArray[np.int64]) -> set[str]:
        """Numbers that mean something else than the format says; the kinds that were noted."""
        convention = self._convention
        found: set[str] = set()
        sound = self._finite & self._has_box
        numbers = self._numbers if sound.all() else self._numbers[sound]
        if not len(numbers):
            return found
        largest = np.abs(numbers.T).max(axis=0)
        if convention.normalised:
            pixels = int((largest > 2).sum())
            if pixels and pixels >= min(_ENOUGH, len(numbers)):
                what = (
                    f"{pixels:,} of {len(numbers):,} boxes have numbers up to {largest.max():.10g} where shares of the "
                    "image from 0 to 1 are expected: they look like pixels; kept as they are."
                )
                found.add(self._slip(PIXELS, "error", what, "Divide them by the width and height of the image."))
        elif len(numbers) >= _ENOUGH and largest.max() <= 1 and (numbers % 1 != 0).any():
            what = (
                f"all {len(numbers):,} boxes have numbers from {numbers.min():.6g} to {numbers.max():.6g} where pixels "
                "are expected: they look like shares of the image; kept as they are."
            )
            found.add(self._slip(SHARES, "error", what, "Multiply them by the width and height of the image."))
        if not found:
            self._check_meaning(found)
            self._check_counting(usable, found)
        return found

    def _slip(self, kind: str, severity: Severity, what: str, way_out: str) -> str:
        self._log.add(kind, severity, what, way_out=way_out)
        return kind

    def _check_meaning(self, found: set[str]) -> None:
        """Four numbers of another meaning: corners where corner and size are expected, and the like."""
        order = self._convention.order
        rows = np.flatnonzero(self._finite & self._has_box)
        if len(rows) < _ENOUGH:
            return
        if order in _READINGS:
            self._check_readings(rows, found)
            return
        numbers = self._numbers[rows]
        corners = self._corners()[rows]
        turned = (corners[:, 2:] < corners[:, :2]).any(axis=1)
        if turned.mean() <= 0.2 or not (corners[:, 2:] > 0).all(axis=1).mean() > 0.99:
            return
        if order is Order.SPANS:
            plain = numbers
            if (plain[:, 2:] >= plain[:, :2]).all(axis=1).mean() > 0.99:
                what = (
                    f"{int(turned.sum()):,} of {len(rows):,} boxes have x1 > x2 or y1 > y2: the columns look like "
                    "x1, y1, x2, y2 where x1, x2, y1, y2 is expected; kept as they are."
                )
                found.add(self._slip(AS_SIZES, "error", what, "Exchange the second and the third column."))
            return
        what = (
            f"{int(turned.sum()):,} of {len(rows):,} boxes have x1 > x2 or y1 > y2, and no end is negative: the last "
            "two numbers look like width and height; kept as they are."
        )
        found.add(self._slip(AS_SIZES, "error", what, "Write the lower right corner: x1 + width and y1 + height."))

    def _check_readings(self, rows: NDArray[np.int64], found: set[str]) -> None:
        """Boxes that lie inside their images only if the four numbers mean something else."""
        height, width = self._sizes[self._owners[rows]].T
        rows = rows[np.isfinite(height) & np.isfinite(width)]
        if len(rows) < _ENOUGH:
            return
        height, width = self._sizes[self._owners[rows]].T
        margin = _ROUNDING_SHARE if self._convention.normalised else 1.0

        def beyond(boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
            x1, y1, x2, y2 = boxes.T
            return (x1 < -margin) | (y1 < -margin) | (x2 > width + margin) | (y2 > height + margin)

        meant, others = _READINGS[self._convention.order]
        out = beyond(self._columns.boxes[rows])
        if out.mean() <= 0.2:
            return
        for kind, order, means, way_out in others:
            boxes = PixelConvention(order).to_boxes(self._numbers[rows])
            ordered = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
            if (ordered & ~beyond(boxes)).mean() > 0.99:
                what = (
                    f"{int(out.sum()):,} of {len(rows):,} boxes reach beyond their image as {meant}, but none does as "
                    f"{means}: they look like that; kept as they are."
                )
                found.add(self._slip(kind, "error", what, way_out))
                return

    def _check_counting(self, usable: NDArray[np.int64], found: set[str]) -> None:
        """Whether the file counts pixels from the other end than its format."""
        convention = self._convention
        if convention.normalised or found:
            return
        boxes = self._columns.boxes[usable]
        if convention.first == 1:
            at_zero = (boxes[:, :2] == -1).any(axis=1)
            if at_zero.any():
                what = (
                    f"{int(at_zero.sum()):,} of {len(boxes):,} boxes begin at 0 where the first pixel is 1: the file "
                    "seems to count from 0, and then every box stands 1 px too far up and left; kept as they are."
                )
                way_out = "Add 1 to all corners. py-faster-rcnn makes 65,535 of the -1 (uint16): the loss becomes NaN."
                found.add(self._slip(FROM_ZERO, "warning", what, way_out))
            return
        if not _mostly_whole(boxes):
            return
        height, width = self._sizes[self._owners[usable]].T
        at_end = [int((ends == side + extra).sum()) for extra in (1, 0, -1)
                  for ends, side in ((boxes[:, 2], width), (boxes[:, 3], height))]  # fmt: skip
        beyond, full, last = at_end[0] + at_end[1], at_end[2] + at_end[3], at_end[4] + at_end[5]
        at_one, at_zero = int((boxes[:, :2] == 1).sum()), int((boxes[:, :2] == 0).sum())
        smallest = boxes[:, :2].min()
        if beyond >= _ENOUGH and smallest >= 1:
            what = (
                f"{beyond:,} ends lie 1 px beyond the image and no box begins before 1: the file seems to count from 1 "
                "where 0 is expected; kept as they are."
            )
            found.add(self._slip(FROM_ONE, "warning", what, "Subtract 1 from the left and upper ends."))
        elif at_one >= _ENOUGH and not at_zero and full >= _ENOUGH and not beyond:
            what = (
                f"{at_one:,} boxes begin at 1 and none at 0, and {full:,} end with the image: the file seems to count "
                "pixels from 1, inclusive, as Pascal VOC does; kept as they are."
            )
            found.add(self._slip(FROM_ONE, "warning", what, "Subtract 1 from the left and upper ends."))
        elif last >= _ENOUGH and not full and not beyond:
            what = (
                f"{last:,} ends lie 1 px before the end of the image and none at it: the far corners seem to name the "
                "last pixel, which makes every box 1 px too small; kept as they are."
            )
            found.add(self._slip(LAST_PIXEL, "note", what, "Add 1 to the right and lower ends."))


def _mostly_whole(boxes: NDArray[np.float64]) -> bool:
    """Whether more than 99 % of the boxes (N, 4) are whole numbers; soon known where they are not."""
    allowed, broken = 0.01 * len(boxes), 0
    for start in range(0, len(boxes), _CHUNK):
        broken += int((boxes[start : start + _CHUNK].T % 1 != 0).any(axis=0).sum())
        if broken >= allowed:
            return False
    return len(boxes) > 0


def same_boxes(owners: NDArray[np.int64], labels: NDArray[np.int64], boxes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows that repeat an earlier row: (K, 2) of the row and the first one like it; NaN equals nothing.

    Args:
        owners, labels: (M,) image and category.
        boxes: (M, 4).
    """
    if not len(owners):
        return np.zeros((0, 2), np.int64)
    # A key of 64 bits sorts ten times as fast as six columns; what the key makes equal is compared again.
    key = np.zeros(len(owners), np.uint64)
    for column in (owners, labels, *(boxes + 0.0).view(np.int64).T):
        key = (key ^ column.view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    ordered = np.sort(key)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    suspects = np.flatnonzero(np.isin(key, repeated)) if len(repeated) else np.zeros(0, np.int64)
    if not len(suspects):
        return np.zeros((0, 2), np.int64)
    order = suspects[np.argsort(key[suspects], kind="stable")]  # only these: sorting rows costs ten times the keys
    key = key[order]
    same = np.concatenate([[False], key[1:] == key[:-1]])
    first = order[np.maximum.accumulate(np.where(same, 0, np.arange(len(key))))]
    rows, firsts = order[same], first[same]
    equal = (owners[rows] == owners[firsts]) & (labels[rows] == labels[firsts])
    equal &= (boxes[rows] == boxes[firsts]).all(axis=1)
    pairs = np.stack([rows[equal], firsts[equal]], axis=1)
    return pairs[np.argsort(pairs[:, 0])]
