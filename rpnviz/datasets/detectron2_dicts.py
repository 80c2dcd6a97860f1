"""detectron2's list of dicts as JSON: what ``DatasetCatalog.get(name)`` returns, written with ``json.dump``.

Fields that are used: file_name, height, width, image_id, and of every annotation bbox, bbox_mode, category_id and
iscrowd. ``bbox_mode`` is a number or name of detectron2's ``BoxMode``: 0 XYXY_ABS, 1 XYWH_ABS, 2 XYXY_REL, 3 XYWH_REL,
4 XYWHA_ABS (centre, size and degrees; the box around it is shown). Pixels count from 0 and corners are edges. Names of
categories come from an object ``{"dataset_dicts": [...], "thing_classes": [...]}`` around the list, if there is one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from rpnviz.datasets.base import Claim, Dataset, Progress, no_progress
from rpnviz.datasets.collector import Categories, Collector, pixels_stated
from rpnviz.datasets.findings import FindingLog, shown
from rpnviz.datasets.image_finder import ImageFinder
from rpnviz.datasets.json_files import (
    decode_loosely,
    decode_slowly,
    four_of,
    is_json_with,
    json_files,
    kind_of,
    read_text,
    record_id,
)
from rpnviz.datasets.pixels import Order, PixelConvention, around_rotated
from rpnviz.errors import AnnotationError

FORMAT = "detectron2 dicts"
PIXELS = PixelConvention(Order.CORNERS, word="bbox as corners")
_MODES = ("XYXY_ABS", "XYWH_ABS", "XYXY_REL", "XYWH_REL", "XYWHA_ABS")
_EXPECTED = "Expected detectron2's dicts: a list of objects with 'file_name' and 'annotations'."


class _Wrapped(msgspec.Struct):
    dataset_dicts: list[msgspec.Raw]
    thing_classes: list[Any] = []


class _Record(msgspec.Struct):
    file_name: Any
    annotations: Any


def claims(path: Path) -> list[Claim]:
    """A JSON list of objects with ``file_name`` and ``annotations``, or a folder with one.

    Raises:
        AnnotationError: the file that was named is no JSON.
    """
    why = "lists objects with 'file_name' and 'annotations'"
    if not path.is_dir():
        return [Claim(path, why)] if _is_dump(path) else []
    found = []
    for file, nearby in json_files(path):
        try:
            if _is_dump(file):
                found.append(Claim(file, why, nearby))
        except AnnotationError:
            continue
    return found


def _is_dump(path: Path) -> bool:
    def is_list(text: bytes) -> bool:
        records = msgspec.json.decode(text, type=list[msgspec.Raw])
        if records:
            msgspec.json.decode(records[0], type=_Record)
        return bool(records)

    def is_wrapped(text: bytes) -> bool:
        return bool(msgspec.json.decode(text, type=_Wrapped).dataset_dicts)

    return is_json_with(path, is_list, (b'"annotations"',), _EXPECTED, list) or is_json_with(
        path, is_wrapped, (b'"dataset_dicts"',), _EXPECTED
    )


def read(path: Path, images: Path | None = None, progress: Progress = no_progress) -> Dataset:
    """Read a dump.

    Raises:
        AnnotationError: it is none, or has no image.
    """
    collector = Collector(path, PIXELS, "annotation")
    records, names = _decode(path, collector.log)
    reader = _Reader(collector, names)
    for position, record in enumerate(records):
        if position % 256 == 0:
            progress(position / len(records))
        reader.add(decode_loosely(record), position)
    reader.report_unlisted()
    progress(1.0)
    return collector.dataset(reader.categories.names, FORMAT, ImageFinder(path, images))


def _decode(path: Path, log: FindingLog) -> tuple[list[Any], list[str]]:
    text = read_text(path, _EXPECTED, log)
    whole: Any
    try:
        whole = msgspec.json.decode(text, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        whole = decode_slowly(text, path, _EXPECTED)
    names: list[str] = []
    if isinstance(whole, dict) and isinstance(whole.get("dataset_dicts"), list):
        listed = whole.get("thing_classes")
        names = [name if isinstance(name, str) else shown(name) for name in listed] if isinstance(listed, list) else []
        whole = whole["dataset_dicts"]
    if not isinstance(whole, list):
        raise AnnotationError(f"the file holds {kind_of(whole)}. {_EXPECTED}", where=str(path))
    return whole, names


class _Reader:
    def __init__(self, collector: Collector, names: list[str]) -> None:
        self.categories = Categories(names)
        self._collector = collector
        self._listed = len(names)
        self._unlisted: dict[int, tuple[int, str]] = {}
        self._position = 0

    def add(self, record: object, position: int) -> None:
        """Take the dict of an image."""
        where = f"[{position}]"
        if not isinstance(record, dict):
            what = f"the record is {shown(record)}, expected an object; left out."
            self._collector.log.add("no image", "error", what, where)
            return
        name = record.get("file_name")
        if not isinstance(name, str) or not name:
            given = shown(name) if "file_name" in record else "missing"
            what = f"file_name is {given}, expected a text; left out."
            self._collector.log.add("no file name", "error", what, where)
            return
        size = None
        if record.get("height") is not None or record.get("width") is not None:
            height, width = pixels_stated(record.get("height")), pixels_stated(record.get("width"))
            size = (height, width) if height and width else None
            if size is None:
                given = f"{shown(record.get('width'))} x {shown(record.get('height'))}"
                what = f"width x height is {given}, expected whole pixels; the size is taken from the image."
                self._collector.log.add("size", "warning", what, where, image=self._collector.image_count)
        image = self._collector.image(name, size=size, image_id=record_id(record.get("image_id")))
        annotations = record.get("annotations", [])
        if not isinstance(annotations, list):
            what = f"annotations is {kind_of(annotations)}, expected a list; the image has no boxes."
            self._collector.log.add("no annotations", "error", what, where, image=image)
            return
        for index, annotation in enumerate(annotations):
            self._add_annotation(annotation, f"{where}['annotations'][{index}]", image, size)

    def _add_annotation(self, annotation: object, where: str, image: int, size: tuple[int, int] | None) -> None:
        collector = self._collector
        if not isinstance(annotation, dict):
            what = f"the annotation is {shown(annotation)}, expected an object; left out."
            collector.log.add("no annotation", "error", what, where, image=image)
            return
        wrong, numbers = _corners(annotation, size)
        if numbers is None:
            collector.note_no_box(image, wrong, where)
        elif wrong:
            collector.note("bbox_mode", "warning", image, wrong, where)
        label = self._label(annotation.get("category_id"), image, where)
        crowd = annotation.get("iscrowd", 0)
        if crowd not in (0, 1):
            what = f"iscrowd is {shown(crowd)}, expected 0 or 1; taken for 1."
            collector.note("iscrowd", "warning", image, what, where)
        collector.box(image, numbers, label, self._position, ignore=crowd != 0)
        self._position += 1

    def _label(self, value: object, image: int, where: str) -> int:
        id_ = record_id(value)
        if not isinstance(id_, int):
            what = f"category_id is {shown(value)}, expected a whole number; named 'unknown'."
            self._collector.note("unknown category", "warning", image, what, where)
            return self.categories.label("unknown")
        if 0 <= id_ < self._listed:
            return id_
        if self._listed:
            self._unlisted.setdefault(id_, (image, where))
        return self.categories.label(f"unknown ({id_})" if self._listed else f"category {id_}")

    def report_unlisted(self) -> None:
        """One finding per category that has no name."""
        for id_, (image, where) in self._unlisted.items():
            what = f"category_id {id_} is beyond the {self._listed} names; named 'unknown ({id_})' (this one first)."
            self._collector.log.add("unknown category", "warning", what, where, image=image)


def _corners(annotation: dict[str, Any], size: tuple[int, int] | None) -> tuple[str, list[float] | None]:
    """What is wrong with a box, and its corners in pixels."""
    given, mode = annotation.get("bbox"), annotation.get("bbox_mode")
    name = mode.rpartition(".")[2] if isinstance(mode, str) else None
    number = _MODES.index(name) if name in _MODES else mode
    wrong = ""
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(_MODES):
        wrong = f"bbox_mode is {shown(mode)}, expected 0 to 4 or its name; taken for XYXY_ABS."
        number = 0
    if number == 4 and isinstance(given, list) and len(given) == 5:
        numbers = four_of(given[:4])
        angle = given[4] if isinstance(given[4], int | float) and not isinstance(given[4], bool) else None
        if numbers is not None and angle is not None and abs(angle) < 1e9:
            x, y, width, height = numbers
            return wrong, around_rotated((x, y), (width, height), float(angle))
    numbers = four_of(given) if number != 4 else None
    if numbers is None:
        return f"bbox is {shown(given)}, expected {5 if number == 4 else 4} numbers", None
    if number in (2, 3):
        if size is None:
            return "bbox is in shares of an image whose height and width are not stated", None
        height, width = size
        numbers = [numbers[0] * width, numbers[1] * height, numbers[2] * width, numbers[3] * height]
    if number in (1, 3):
        numbers = [numbers[0], numbers[1], numbers[0] + numbers[2], numbers[1] + numbers[3]]
    return wrong, numbers
