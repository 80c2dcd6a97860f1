"""Annotations of a COCO file."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from rpnviz.datasets.base import RecordId, Severity
from rpnviz.datasets.box_checks import NO_BOX, BoxChecks
from rpnviz.datasets.coco_pieces import NoSplit
from rpnviz.datasets.coco_records import LEFT_OUT, Categories, Images, decode_batch, record_name
from rpnviz.datasets.columns import Columns, id_column
from rpnviz.datasets.findings import FindingLog, shown
from rpnviz.datasets.json_files import decode_loosely, other_kind, record_id
from rpnviz.datasets.pixels import Order, PixelConvention

_NAN_BOX = (math.nan, math.nan, math.nan, math.nan)


PIXELS = PixelConvention(Order.CORNER_SIZE, word="bbox")
"""COCO counts from 0 and a box of width 10 at 0 ends at 10: nothing is added or subtracted."""


class _Annotation(msgspec.Struct, gc=False):
    """An annotation as it should be; ``bbox`` is x, y, width, height in pixels."""

    image_id: int | str
    bbox: tuple[float, float, float, float]
    category_id: int | str | None = None
    id: int | str | None = None
    iscrowd: int = 0
    ignore: int = 0


_decode_annotations = msgspec.json.Decoder(list[_Annotation]).decode
_decode_records = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_annotation = msgspec.json.Decoder(_Annotation).decode


class _Problem(msgspec.Struct):
    """What is wrong with a field of an annotation that is kept."""

    kind: str
    severity: Severity
    what: str
    way_out: str = ""


class AnnotationReader:
    """Takes the annotations batch by batch, and makes columns of them.

    Annotations that belong to an image are kept as numbers, row by row in the order of the file; the boxes are checked
    all at once at the end, which takes a second for a million where a loop takes minutes.
    """

    def __init__(self, images: Images, categories: Categories, findings: FindingLog) -> None:
        self._images = images
        self.categories = categories
        self.findings = findings
        self._numbers = array("d")
        """x, y, width, height of one row after the other."""
        self._owners = array("q")
        self._labels = array("q")
        self._ignore = bytearray()
        self._ids: list[RecordId | None] = []
        self._places = array("q")
        self._without_box: list[int] = []
        self._problems: list[tuple[int, _Problem]] = []
        """Rows and what is wrong with them: which box of its image a row is shows when all are there."""
        self._unlisted: Counter[RecordId | None] = Counter()
        self._first_unlisted: dict[RecordId | None, int] = {}

    def add_batch(self, records: Sequence[Any], start: int) -> None:
        """Take ``annotations[start:]`` as far as they are given, ``Raw`` or decoded."""
        batch: list[_Annotation] | None = decode_batch(records, _decode_annotation)
        if batch is None or not self._take_all(batch, start):
            for position, record in enumerate(records, start):
                self._add(record, position)

    def add_text(self, text: bytes, start: int) -> int:
        """Take a JSON list of annotations, the first of which is ``annotations[start]``; how many there were.

        Raises:
            NoSplit: it is no JSON.
        """
        try:
            batch = _decode_annotations(text)
            if self._take_all(batch, start):
                return len(batch)
        except (msgspec.DecodeError, RecursionError):
            pass  # a record is not as it should be, or the text is not
        try:
            records = _decode_records(text)
        except (msgspec.DecodeError, RecursionError) as error:
            raise NoSplit from error
        for position, record in enumerate(records, start):
            self._add(record, position)
        return len(records)

    def _take_all(self, batch: list[_Annotation], start: int) -> bool:
        """Take records that are all as they should be; otherwise take none of them and say so."""
        indices, listed = self._images.indices, self.categories.listed
        owners = [indices.get(annotation.image_id, LEFT_OUT) for annotation in batch]
        labels = [listed.get(annotation.category_id, LEFT_OUT) for annotation in batch]  # type: ignore[arg-type]
        ignore = [annotation.iscrowd or annotation.ignore for annotation in batch]
        if LEFT_OUT in owners or LEFT_OUT in labels or not set(ignore) <= {0, 1}:
            return False
        flat = chain.from_iterable([annotation.bbox for annotation in batch])
        self._numbers.frombytes(np.fromiter(flat, np.float64, 4 * len(batch)).tobytes())
        self._owners.extend(owners)
        self._labels.extend(labels)
        self._ignore.extend(ignore)
        self._ids.extend([annotation.id for annotation in batch])
        self._places.extend(range(start, start + len(batch)))
        return True

    def _add(self, record: Any, position: int) -> None:
        problems: list[_Problem] = []
        annotation = _strict_annotation(record) or self._loose_annotation(decode_loosely(record), position, problems)
        if annotation is None:
            return
        owner = self._images.indices.get(annotation.image_id, LEFT_OUT)
        if owner == LEFT_OUT:
            owner = self._search_owner(annotation, position, problems)
            if owner == LEFT_OUT:
                return
        row = len(self._ids)
        self._numbers.extend(annotation.bbox)
        self._owners.append(owner)
        self._labels.append(self.categories.label(annotation.category_id))
        self._ignore.append(annotation.iscrowd or annotation.ignore)
        self._ids.append(annotation.id)
        self._places.append(position)
        if not self.categories.lists(annotation.category_id):
            self._unlisted[annotation.category_id] += 1
            self._first_unlisted.setdefault(annotation.category_id, row)
        for problem in problems:
            self._defer(row, problem)
            if problem.kind == NO_BOX:
                self._without_box.append(row)

    def finish(self) -> Columns:
        """Check all boxes, ids and categories, and sort them by image."""
        numbers = np.frombuffer(self._numbers, np.float64).reshape(-1, 4) if self._numbers else np.zeros((0, 4))
        owners = np.array(self._owners, np.int64)
        order = np.argsort(owners, kind="stable")
        numbers = numbers[order]
        counts = np.bincount(owners, minlength=len(self._images.names))
        ids = id_column(self._ids)
        columns = Columns(
            self._images.names,
            np.array(self._images.sizes, np.int32).reshape(-1, 2),
            id_column(self._images.ids),
            np.array(self._images.places, np.int32),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            PIXELS.to_boxes(numbers),
            np.array(self._labels, np.int64)[order],
            np.frombuffer(bytes(self._ignore), np.bool_)[order],
            ids[order],
            np.array(self._places, np.int32)[order],
        )
        self._report_categories()
        self._report_ids(ids)
        place_of = np.empty(len(order), np.int64)
        place_of[order] = np.arange(len(order))
        for row, problem in self._problems:
            self._report(columns, int(place_of[row]), problem)
        BoxChecks(columns, numbers, PIXELS, self.findings, place_of[self._without_box]).run()
        return columns

    def _defer(self, row: int, problem: _Problem) -> None:
        if self.findings.room(problem.kind):
            self._problems.append((row, problem))
        else:
            self.findings.count(problem.kind)

    def _report(self, columns: Columns, row: int, problem: _Problem) -> None:
        image = columns.image_of(row)
        gt = row - int(columns.starts[image])
        where = columns.where(row)
        self.findings.add(problem.kind, problem.severity, problem.what, where, problem.way_out, image, gt)

    def _report_ids(self, ids: NDArray) -> None:
        """Annotation ids that are used again."""
        if ids.dtype != object and (np.diff(np.sort(ids)) > 0).all():
            return
        first_use: dict[RecordId, int] = {}
        for row, id_ in enumerate(self._ids):
            position = self._places[row]
            if id_ is not None and first_use.setdefault(id_, position) != position:
                what = (
                    f"id {id_!r} is used a second time, by annotations[{position}] after "
                    f"annotations[{first_use[id_]}]; both were kept."
                )
                way_out = "Give every annotation its own id: pycocotools shows the second one twice."
                self._defer(row, _Problem("annotation id twice", "warning", what, way_out))

    def _loose_annotation(self, fields: object, position: int, problems: list[_Problem]) -> _Annotation | None:
        """What can be used of an annotation that is not quite right; None if it can belong to no image."""
        if not isinstance(fields, dict):
            what = f"the record is {shown(fields)}, expected an object; left out."
            self.findings.add("no annotation", "error", what, f"annotations[{position}]")
            return None
        id_ = record_id(fields.get("id"))
        if id_ is None and fields.get("id") is not None:
            problems.append(_Problem("id", "warning", f"id is {shown(fields['id'])}, expected a number or text."))
        image_id = record_id(fields.get("image_id"))
        if image_id is None:
            given = shown(fields["image_id"]) if "image_id" in fields else "missing"
            what = f"image_id is {given}, expected the id of an image; left out."
            self.findings.add("no image_id", "error", what, record_name("annotation", id_, position))
            return None
        bbox, wrong = _bbox_from(fields)
        if wrong:
            way_out = "A box is a list of left, top, width and height in pixels."
            problems.append(_Problem(NO_BOX, "error", f"{wrong}; kept without a box.", way_out))
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
        if image_id in self._images.indices:
            what = f"its image {image_id!r} was left out, and so was this."
            self.findings.add("image left out", "error", what, name)
            return LEFT_OUT
        other = other_kind(image_id)
        owner = self._images.indices.get(other, LEFT_OUT) if other is not None else LEFT_OUT
        if owner == LEFT_OUT:
            what = f"image_id {image_id!r} is the id of no image; left out."
            self.findings.add("unknown image", "error", what, name, "Add the image, or remove the annotation.")
            return LEFT_OUT
        what = f"image_id is {image_id!r} and the image's id {other!r}; taken for the same."
        problems.append(_Problem("kind of id", "warning", what, "Write both the same way: a trainer finds no image."))
        return owner

    def _report_categories(self) -> None:
        """One finding per category that the file does not list, not one per annotation: it is one mistake."""
        for id_, count in self._unlisted.items():
            name = self.categories.names[self.categories.label(id_)]
            used = f"{count:,} annotation{'s' if count > 1 else ''}, this one first"
            if id_ is None:
                what = f"category_id is missing, or neither number nor text; named {name!r} ({used})."
            elif self.categories.lists(other_kind(id_)):
                what = f"category_id is {id_!r} and the category's id {other_kind(id_)!r}; taken for {name!r} ({used})."
            else:
                what = f"category_id {id_!r} is not in 'categories'; named {name!r} ({used})."
            way_out = "Add the category, or correct the id."
            self._defer(self._first_unlisted[id_], _Problem("unknown category", "warning", what, way_out))


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
