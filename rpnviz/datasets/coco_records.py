"""Images and categories of a COCO file, and what all its records have in common."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from rpnviz.datasets.base import MISSING_IMAGE, MOVED_IMAGE, ImageRecord, RecordId
from rpnviz.datasets.findings import FindingLog, shown
from rpnviz.datasets.image_finder import ImageFinder
from rpnviz.datasets.json_files import printable

LEFT_OUT = -1
"""Index of an image that the file lists and that cannot be shown."""
_MAX_SIDE = 1 << 20
"""OpenCV reads no image with more pixels in a row or column."""


def decode_loosely(record: object) -> object:
    """A record that its type refused, decoded to whatever it is, NaN and 1e999 included."""
    if not isinstance(record, msgspec.Raw):
        return record
    try:
        return json.loads(bytes(record))
    except (ValueError, RecursionError):  # a number of thousands of digits, or thousands of brackets
        return None


def record_id(value: object) -> RecordId | None:
    """An id of the file; None if it is neither number nor text. 3.0 is 3."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def other_kind(id_: RecordId | None) -> RecordId | None:
    """``"3"`` for 3 and 3 for ``"3"``: exports mix the two. None where there is no other."""
    if isinstance(id_, int):
        return str(id_)
    return int(id_) if id_ is not None and re.fullmatch(r"-?[0-9]{1,18}", id_) else None


def record_name(kind: str, id_: RecordId | None, position: int) -> str:
    """How a record is called in a message: ``image 17``, or by its place in the list, ``images[3]``."""
    return f"{kind} {id_}" if id_ is not None else f"{kind}s[{position}]"


# -------------------------------------------------------------------------------------------------------------- images


class _Image(msgspec.Struct):
    id: int | str
    file_name: str
    width: int | None = None
    height: int | None = None


_decode_image = msgspec.json.Decoder(_Image).decode


def read_images(
    records: Sequence[Any], finder: ImageFinder, findings: FindingLog
) -> tuple[list[ImageRecord], dict[RecordId, int]]:
    """The images of a file.

    Returns:
        Records without ground truth, and their index by id, :data:`LEFT_OUT` for an image without a file name.
    """
    images: list[ImageRecord] = []
    indices: dict[RecordId, int] = {}
    first_use: dict[str, str] = {}
    for position, record in enumerate(records):
        index = len(images)
        image = _strict_image(record) or _loose_image(decode_loosely(record), position, index, findings)
        if image is None:
            continue
        name = record_name("image", image.id, position)
        where = f"{name} ({image.file_name})" if image.file_name else name
        if image.id is not None and image.id in indices:
            findings.add(
                "image id twice",
                "error",
                f"id {image.id!r} is used a second time; annotations go to the first image of that id.",
                where,
                "Give every image its own id.",
                index if image.file_name else None,
            )
        elif image.id is not None:
            indices[image.id] = index if image.file_name else LEFT_OUT
        if not image.file_name:
            continue
        if image.file_name in first_use:
            findings.add(
                "file name twice",
                "warning",
                f"file_name is also that of {first_use[image.file_name]}; each has its own annotations only.",
                where,
                "Merge the two records: a trainer misses boxes in both.",
                index,
            )
        first_use.setdefault(image.file_name, name)
        path = finder.find(image.file_name)
        if path is None:
            path = _search_image(image.file_name, finder, where, index, findings)
        images.append(ImageRecord(image.file_name, path, image.size, image_id=image.id))
    return images, indices


def _search_image(file_name: str, finder: ImageFinder, where: str, index: int, findings: FindingLog) -> Path:
    """The path of an image that is not where its name says."""
    path = finder.find_last_part(file_name)
    if path is not None:
        what = f"there is no such file; {path}, whose name has the same last part, is shown."
        findings.add(MOVED_IMAGE, "note", what, where, image=index)
        return path
    what = f"missing image: there is no such file in {finder.looked_in}."
    way_out = "Put it there, or open the folder of the images together with the annotation file."
    findings.add(MISSING_IMAGE, "error", what, where, way_out, index)
    return finder.expected(file_name)


class _CheckedImage(msgspec.Struct):
    """The usable part of an image record; ``file_name`` is empty if it has none."""

    id: RecordId | None
    file_name: str
    size: tuple[int, int] | None


def _strict_image(record: object) -> _CheckedImage | None:
    """An image record that is as it should be, else None."""
    if not isinstance(record, msgspec.Raw):
        return None
    try:
        image = _decode_image(record)
    except msgspec.DecodeError:
        return None
    if not image.file_name:
        return None
    if image.width is None or image.height is None:
        return _CheckedImage(image.id, image.file_name, None) if image.width is image.height else None
    size = (image.height, image.width)
    return _CheckedImage(image.id, image.file_name, size) if 0 < min(size) <= max(size) <= _MAX_SIDE else None


def _loose_image(fields: object, position: int, index: int, findings: FindingLog) -> _CheckedImage | None:
    """What can be used of an image record that is not quite right; ``index`` is the one that it will have."""
    if not isinstance(fields, dict):
        findings.add(
            "no image", "error", f"the record is {shown(fields)}, expected an object; left out.", f"images[{position}]"
        )
        return None
    id_ = record_id(fields.get("id"))
    where = record_name("image", id_, position)
    name = fields.get("file_name")
    if not isinstance(name, str) or not name:
        given = shown(name) if "file_name" in fields else "missing"
        findings.add("no file name", "error", f"file_name is {given}, expected a text; left out.", where)
        return _CheckedImage(id_, "", None)
    file_name = printable(name)
    where = f"{where} ({file_name})"
    if id_ is None:
        given = shown(fields["id"]) if "id" in fields else "missing"
        findings.add(
            "no image id",
            "error",
            f"id is {given}, expected a number or text; no annotation can belong to the image.",
            where,
            image=index,
        )
    width, height = fields.get("width"), fields.get("height")
    size = (_pixels(height), _pixels(width))
    if width is None and height is None:
        return _CheckedImage(id_, file_name, None)
    if size[0] is None or size[1] is None:
        findings.add(
            "size",
            "warning",
            f"width x height is {shown(width)} x {shown(height)}, expected two whole numbers from 1 to {_MAX_SIDE:,}; "
            "the size is taken from the image itself.",
            where,
            image=index,
        )
        return _CheckedImage(id_, file_name, None)
    return _CheckedImage(id_, file_name, (size[0], size[1]))


def _pixels(value: object) -> int | None:
    """A length in whole pixels, also from 640.0 and "640"; None if it is none."""
    if isinstance(value, str) and re.fullmatch(r" *[0-9]{1,9} *", value):
        value = int(value)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 1 <= value <= _MAX_SIDE:
        return None
    return int(value) if value == int(value) else None


# ---------------------------------------------------------------------------------------------------------- categories


class Categories:
    """Category names by label, and labels by the ids of the file.

    Attributes:
        names: by label, in the order of the file; categories that it does not list follow.
    """

    def __init__(self, records: Iterable[Any], findings: FindingLog) -> None:
        self.names: list[str] = []
        self._labels: dict[RecordId | None, int] = {}
        for position, record in enumerate(records):
            fields = decode_loosely(record)
            id_ = record_id(fields.get("id")) if isinstance(fields, dict) else None
            if not isinstance(fields, dict) or id_ is None:
                what = f"the record is {shown(fields)}, expected an object with an id; left out."
                findings.add("category", "error", what, f"categories[{position}]")
                continue
            name = fields.get("name")
            if id_ in self._labels:
                findings.add(
                    "category id twice",
                    "error",
                    f"id {id_!r} is used a second time, for {shown(name)}; it stands for the first, "
                    f"{shown(self.names[self._labels[id_]])}.",
                    f"category {id_}",
                    "Give every category its own id.",
                )
                continue
            if not isinstance(name, str) or not name:
                given = shown(name) if "name" in fields else "missing"
                findings.add("category name", "warning", f"name is {given}, expected a text.", f"category {id_}")
                name = f"category {id_}"
            self._labels[id_] = len(self.names)
            self.names.append(printable(name))
        self._listed = frozenset(self._labels)

    def lists(self, id_: RecordId | None) -> bool:
        """Whether the file lists this very id, a number as a number and a text as a text."""
        return id_ in self._listed

    def label(self, id_: RecordId | None) -> int:
        """The label of a category; one that the file does not list gets a name of its own."""
        label = self._labels.get(id_)
        if label is None:
            other = other_kind(id_)
            label = self._labels[other] if other in self._listed else len(self.names)
            if label == len(self.names):
                self.names.append("unknown" if id_ is None else f"unknown ({id_})")
            self._labels[id_] = label
        return label
