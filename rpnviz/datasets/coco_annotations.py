"""Annotations of a COCO file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from rpnviz.datasets.base import GroundTruth, ImageRecord, RecordId, Severity, judge_position
from rpnviz.datasets.coco_records import LEFT_OUT, Categories, decode_loosely, other_kind, record_id, record_name
from rpnviz.datasets.findings import FindingLog, shown

_NAN_BOX = (math.nan, math.nan, math.nan, math.nan)


def xywh_to_xyxy(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes (N, 4) from left, top, width, height to left, top, right, bottom, in the same unit.

    Convention:
        COCO counts from 0 and a box of width 10 at 0 ends at 10: nothing is added or subtracted.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # 1e308 + 1e308 and inf - inf are findings, not warnings
        return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


class _Annotation(msgspec.Struct):
    """An annotation as it should be; ``bbox`` is x, y, width, height in pixels."""

    image_id: int | str
    bbox: tuple[float, float, float, float]
    category_id: int | str | None = None
    id: int | str | None = None
    iscrowd: int = 0
    ignore: int = 0


_decode_annotation = msgspec.json.Decoder(_Annotation).decode


class _Problem(msgspec.Struct):
    """What is wrong with a field of an annotation that is kept."""

    kind: str
    severity: Severity
    what: str
    way_out: str = ""


class AnnotationReader:
    """Takes one annotation after the other, and gives every image its ground truth.

    Annotations that belong to an image are kept as columns, row by row in the order of the file; the boxes are checked
    all at once at the end, which takes a second for a million where a loop takes minutes.
    """

    def __init__(
        self,
        images: Sequence[ImageRecord],
        indices: dict[RecordId, int],
        categories: Categories,
        findings: FindingLog,
    ) -> None:
        self._images = images
        self._indices = indices
        self._categories = categories
        self._findings = findings
        self._numbers: list[float] = []
        """x, y, width, height of one row after the other."""
        self._owners: list[int] = []
        self._labels: list[int] = []
        self._ignore: list[int] = []
        self._ids: list[RecordId | None] = []
        self._positions: list[int] = []
        self._without_box: list[int] = []
        self._first_use: dict[RecordId, int] = {}
        self._unlisted: Counter[RecordId | None] = Counter()
        self._first_unlisted: dict[RecordId | None, int] = {}

    def add(self, record: Any, position: int) -> None:
        """Take ``annotations[position]``, ``Raw`` or decoded."""
        problems: list[_Problem] = []
        annotation = _strict_annotation(record) or self._loose_annotation(decode_loosely(record), position, problems)
        if annotation is None:
            return
        owner = self._indices.get(annotation.image_id, LEFT_OUT)
        if owner == LEFT_OUT:
            owner = self._search_owner(annotation, position, problems)
            if owner == LEFT_OUT:
                return
        row = len(self._ids)
        self._numbers += annotation.bbox
        self._owners.append(owner)
        self._labels.append(self._categories.label(annotation.category_id))
        self._ignore.append(annotation.iscrowd or annotation.ignore)
        self._ids.append(annotation.id)
        self._positions.append(position)
        if not self._categories.lists(annotation.category_id):
            self._unlisted[annotation.category_id] += 1
            self._first_unlisted.setdefault(annotation.category_id, row)
        for problem in problems:
            self._report(row, problem)
            if problem.kind == "bbox":
                self._without_box.append(row)
        if annotation.id is not None and self._first_use.setdefault(annotation.id, position) != position:
            what = (
                f"id {annotation.id!r} is used a second time, by annotations[{position}] after "
                f"annotations[{self._first_use[annotation.id]}]; both were kept."
            )
            way_out = "Give every annotation its own id: pycocotools shows the second one twice."
            self._report(row, _Problem("annotation id twice", "warning", what, way_out))

    def finish(self) -> list[GroundTruth]:
        """Check all boxes and categories; the ground truth of each image, in the order of the file."""
        self._report_categories()
        boxes = np.array(self._numbers, np.float64).reshape(-1, 4)
        owners = np.array(self._owners, np.int64)
        self._check_boxes(boxes, owners)
        order = np.argsort(owners, kind="stable")
        ends = np.searchsorted(owners[order], np.arange(len(self._images)), side="right").tolist()
        boxes, labels = xywh_to_xyxy(boxes)[order], np.array(self._labels, np.int64)[order]
        ignore = np.array(self._ignore, bool)[order]
        ids = [self._ids[row] for row in order.tolist()]
        nothing = GroundTruth.empty()
        result, start = [], 0
        for end in ends:
            own = slice(start, end)
            result.append(
                GroundTruth(boxes[own], labels[own], ignore[own], tuple(ids[own])) if end > start else nothing
            )
            start = end
        return result

    def _where(self, row: int) -> str:
        name = record_name("annotation", self._ids[row], self._positions[row])
        return f"{name} ({self._images[self._owners[row]].file_name})"

    def _report(self, row: int, problem: _Problem) -> None:
        self._findings.add(
            problem.kind, problem.severity, problem.what, self._where(row), problem.way_out, self._owners[row]
        )

    def _loose_annotation(self, fields: object, position: int, problems: list[_Problem]) -> _Annotation | None:
        """What can be used of an annotation that is not quite right; None if it can belong to no image."""
        if not isinstance(fields, dict):
            what = f"the record is {shown(fields)}, expected an object; left out."
            self._findings.add("no annotation", "error", what, f"annotations[{position}]")
            return None
        id_ = record_id(fields.get("id"))
        if id_ is None and fields.get("id") is not None:
            problems.append(_Problem("id", "warning", f"id is {shown(fields['id'])}, expected a number or text."))
        image_id = record_id(fields.get("image_id"))
        if image_id is None:
            given = shown(fields["image_id"]) if "image_id" in fields else "missing"
            what = f"image_id is {given}, expected the id of an image; left out."
            self._findings.add("no image_id", "error", what, record_name("annotation", id_, position))
            return None
        bbox, wrong = _bbox_from(fields)
        if wrong:
            way_out = "A box is a list of left, top, width and height in pixels."
            problems.append(_Problem("bbox", "error", f"{wrong}; kept without a box.", way_out))
        flags = []
        for name in ("iscrowd", "ignore"):
            value = fields.get(name)
            if value not in (None, 0, 1, "0", "1"):
                what = f"{name} is {shown(value)}, expected 0 or 1; taken for 1."
                problems.append(_Problem(name, "warning", what))
            flags.append(0 if value in (None, 0, "0") else 1)
        return _Annotation(image_id, bbox, record_id(fields.get("category_id")), id_, *flags)

    def _search_owner(self, annotation: _Annotation, position: int, problems: list[_Problem]) -> int:
        """Index of the image of an annotation whose image_id leads to none that is shown."""
        image_id, name = annotation.image_id, record_name("annotation", annotation.id, position)
        if image_id in self._indices:
            what = f"its image {image_id!r} was left out, and so was this."
            self._findings.add("image left out", "error", what, name)
            return LEFT_OUT
        other = other_kind(image_id)
        owner = self._indices.get(other, LEFT_OUT) if other is not None else LEFT_OUT
        if owner == LEFT_OUT:
            what = f"image_id {image_id!r} is the id of no image; left out."
            self._findings.add("unknown image", "error", what, name, "Add the image, or remove the annotation.")
            return LEFT_OUT
        what = f"image_id is {image_id!r} and the image's id {other!r}; taken for the same."
        problems.append(_Problem("kind of id", "warning", what, "Write both the same way: a trainer finds no image."))
        return owner

    def _report_categories(self) -> None:
        """One finding per category that the file does not list, not one per annotation: it is one mistake."""
        for id_, count in self._unlisted.items():
            name = self._categories.names[self._categories.label(id_)]
            used = f"{count:,} annotation{'s' if count > 1 else ''}, this one first"
            if id_ is None:
                what = f"category_id is missing, or neither number nor text; named {name!r} ({used})."
            elif self._categories.lists(other_kind(id_)):
                what = f"category_id is {id_!r} and the category's id {other_kind(id_)!r}; taken for {name!r} ({used})."
            else:
                what = f"category_id {id_!r} is not in 'categories'; named {name!r} ({used})."
            way_out = "Add the category, or correct the id."
            self._report(self._first_unlisted[id_], _Problem("unknown category", "warning", what, way_out))

    def _check_boxes(self, boxes: NDArray[np.float64], owners: NDArray[np.int64]) -> None:
        """Findings about the numbers of ``boxes`` (N, 4) xywh; all stay, the trainer decides what becomes of them."""

        def report(
            kind: str, severity: Severity, rows: NDArray[np.int64], sentence: Callable[[list[float], int], str]
        ) -> None:
            def report_one(row: int) -> None:
                numbers = boxes[row].tolist()
                what = f"bbox [{', '.join(f'{value:.10g}' for value in numbers)}] {sentence(numbers, row)}"
                self._report(row, _Problem(kind, severity, f"{what}; kept as it is."))

            self._findings.add_many(kind, rows, report_one)

        finite = np.isfinite(boxes).all(axis=1)
        has_box = np.ones(len(boxes), bool)
        has_box[self._without_box] = False
        report("not finite", "error", np.flatnonzero(~finite & has_box), lambda numbers, row: "is not finite")
        flat = finite & (boxes[:, 2:] <= 0).any(axis=1)
        report("flat", "error", np.flatnonzero(flat), lambda numbers, row: _flat_sides(*numbers[2:]))
        sizes = np.array([image.size or (math.nan, math.nan) for image in self._images], np.float64)
        usable = np.flatnonzero(finite & ~flat)
        for severity, rows, judgement in judge_position(xywh_to_xyxy(boxes[usable]), sizes[owners[usable]]):

            def position(numbers: list[float], row: int, judgement: str = judgement) -> str:
                height, width = sizes[owners[row]]
                return f"{judgement} of {width:.0f} x {height:.0f} px"

            report(judgement, severity, usable[rows], position)


def _strict_annotation(record: object) -> _Annotation | None:
    """An annotation that is as it should be, else None."""
    if not isinstance(record, msgspec.Raw):
        return None
    try:
        annotation = _decode_annotation(record)
    except msgspec.DecodeError:
        return None
    return annotation if annotation.iscrowd in (0, 1) and annotation.ignore in (0, 1) else None


def _bbox_from(fields: dict[str, Any]) -> tuple[tuple[float, float, float, float], str]:
    """The box of a record, and what is wrong with it; a box of NaN keeps the annotation in view."""
    if fields.get("bbox") is None:
        return _NAN_BOX, "bbox is missing"
    bbox = fields["bbox"]
    if not isinstance(bbox, list) or len(bbox) != 4:
        count = f" ({len(bbox)} values)" if isinstance(bbox, list) else ""
        return _NAN_BOX, f"bbox is {shown(bbox)}{count}, expected a list of 4 numbers"
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in bbox):
        return _NAN_BOX, f"bbox is {shown(bbox)}, expected 4 numbers"
    try:
        return (float(bbox[0]), float(bbox[1]), float(bbox[2]), float(bbox[3])), ""
    except OverflowError:  # a whole number beyond every float
        return _NAN_BOX, f"bbox is {shown(bbox)}, expected numbers of pixels"


def _flat_sides(width: float, height: float) -> str:
    """Which sides are not above 0."""
    sides = [f"{name} {side:.10g}" for name, side in (("width", width), ("height", height)) if side <= 0]
    return f"has {' and '.join(sides)}, expected above 0"
