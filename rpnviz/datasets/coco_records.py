"""Images and categories of a COCO file, and what all its records have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from rpnviz.datasets.base import RecordId
from rpnviz.datasets.collector import MAX_SIDE, pixels_stated
from rpnviz.datasets.findings import FindingLog, shown
from rpnviz.datasets.json_files import decode_loosely, other_kind, printable, record_id

LEFT_OUT = -1
"""Index of an image that the file lists and that cannot be shown."""


BATCH = 8192
"""So many records are taken at once where all of them are as they should be."""


def decode_batch(records: Sequence[Any], decode: Callable[[Any], Any]) -> list[Any] | None:
    """``Raw`` records decoded to their type; None if one is not as it should be, or they are decoded already."""
    if records and not isinstance(records[0], msgspec.Raw):
        return None
    try:
        return [decode(record) for record in records]
    except msgspec.DecodeError:
        return None


def record_name(kind: str, id_: RecordId | None, position: int) -> str:
    """How a record is called in a message: ``image 17``, or by its place in the list, ``images[3]``."""
    return f"{kind} {id_}" if id_ is not None else f"{kind}s[{position}]"


# -------------------------------------------------------------------------------------------------------------- images


class _Image(msgspec.Struct, gc=False):
    id: int | str
    file_name: str = ""
    width: int | None = None
    height: int | None = None
    coco_url: str = ""


_decode_image = msgspec.json.Decoder(_Image).decode


@dataclass
class Images:
    """The images of a file.

    Attributes:
        names: their files.
        sizes: (H, W) as stated, (0, 0) where not stated.
        ids: as in the file.
        places: positions in the list of the file.
        indices: index by id, :data:`LEFT_OUT` for an image without a file name.
    """

    names: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    ids: list[RecordId | None] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    indices: dict[RecordId, int] = field(default_factory=dict)


def read_images(records: Sequence[Any], findings: FindingLog) -> Images:
    """The images that a file lists."""
    images = Images()
    first_use: dict[str, int] = {}
    """Position of the first image of a file name."""
    for start in range(0, len(records), BATCH):
        part = records[start : start + BATCH]
        batch: list[_Image] | None = decode_batch(part, _decode_image)
        if batch is None or not _take_all(batch, start, images, first_use):
            for position, record in enumerate(part, start):
                index = len(images.names)
                image = _checked(_strict_image(record))
                if image is None:
                    image = _loose_image(decode_loosely(record), position, index, findings)
                if image is not None:
                    _take(image, position, images, first_use, findings)
    return images


def _take_all(batch: list[_Image], start: int, images: Images, first_use: dict[str, int]) -> bool:
    """Take records that are all as they should be; otherwise take none of them and say so."""
    names = [image.file_name for image in batch]
    ids = [image.id for image in batch]
    sizes = [(image.height or 0, image.width or 0) for image in batch]
    places = range(start, start + len(batch))
    fresh_ids, fresh_names = dict(zip(ids, places, strict=True)), dict(zip(names, places, strict=True))
    if (
        not all(names)
        or min(map(min, sizes)) < 1
        or max(map(max, sizes)) > MAX_SIDE
        or len(fresh_ids) < len(ids)
        or len(fresh_names) < len(names)
        or not images.indices.keys().isdisjoint(fresh_ids)
        or not first_use.keys().isdisjoint(fresh_names)
    ):
        return False
    images.indices.update(zip(ids, range(len(images.names), len(images.names) + len(ids)), strict=True))
    first_use.update(fresh_names)
    images.names += names
    images.sizes += sizes
    images.ids += ids
    images.places += places
    return True


def _take(image: _CheckedImage, position: int, images: Images, first_use: dict[str, int], findings: FindingLog) -> None:
    index = len(images.names)
    if image.id is not None and image.id in images.indices:
        findings.add(
            "image id twice",
            "error",
            f"id {image.id!r} is used a second time; annotations go to the first image of that id.",
            _where(image, position),
            "Give every image its own id.",
            index if image.file_name else None,
        )
    elif image.id is not None:
        images.indices[image.id] = index if image.file_name else LEFT_OUT
    if not image.file_name:
        return
    first = first_use.setdefault(image.file_name, position)
    if first != position:
        earlier = images.places.index(first)
        name = record_name("image", images.ids[earlier], first)
        findings.add(
            "file name twice",
            "warning",
            f"file_name is also that of {name}; each has its own annotations only.",
            _where(image, position),
            "Merge the two records: a trainer misses boxes in both.",
            index,
        )
    images.names.append(image.file_name)
    images.sizes.append(image.size or (0, 0))
    images.ids.append(image.id)
    images.places.append(position)


def _where(image: _CheckedImage, position: int) -> str:
    name = record_name("image", image.id, position)
    return f"{name} ({image.file_name})" if image.file_name else name


class _CheckedImage(msgspec.Struct):
    """The usable part of an image record; ``file_name`` is empty if it has none."""

    id: RecordId | None
    file_name: str
    size: tuple[int, int] | None


def _strict_image(record: object) -> _Image | None:
    """An image record that is as it should be, else None."""
    if not isinstance(record, msgspec.Raw):
        return None
    try:
        return _decode_image(record)
    except msgspec.DecodeError:
        return None


def _checked(image: _Image | None) -> _CheckedImage | None:
    """A decoded record, if its values are as they should be too."""
    if image is None:
        return None
    name = image.file_name or name_in_url(image.coco_url)
    if not name:
        return None
    width, height = image.width, image.height
    if width is None or height is None:
        return _CheckedImage(image.id, name, None) if width is height else None
    return (
        _CheckedImage(image.id, name, (height, width))
        if 0 < min(width, height) <= max(width, height) <= MAX_SIDE
        else None
    )


def name_in_url(url: object) -> str:
    """LVIS names its images by address alone: folder and file, as detectron2 takes them from it."""
    return "/".join(url.split("/")[-2:]) if isinstance(url, str) and url.count("/") > 1 else ""


def _loose_image(fields: object, position: int, index: int, findings: FindingLog) -> _CheckedImage | None:
    """What can be used of an image record that is not quite right; ``index`` is the one that it will have."""
    if not isinstance(fields, dict):
        findings.add(
            "no image", "error", f"the record is {shown(fields)}, expected an object; left out.", f"images[{position}]"
        )
        return None
    id_ = record_id(fields.get("id"))
    where = record_name("image", id_, position)
    name = fields.get("file_name") or name_in_url(fields.get("coco_url")) or fields.get("file_name")
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
    size = (pixels_stated(height), pixels_stated(width))
    if width is None and height is None:
        return _CheckedImage(id_, file_name, None)
    if size[0] is None or size[1] is None:
        findings.add(
            "size",
            "warning",
            f"width x height is {shown(width)} x {shown(height)}, expected two whole numbers from 1 to {MAX_SIDE:,}; "
            "the size is taken from the image itself.",
            where,
            image=index,
        )
        return _CheckedImage(id_, file_name, None)
    return _CheckedImage(id_, file_name, (size[0], size[1]))


# ---------------------------------------------------------------------------------------------------------- categories


class Categories:
    """Category names by label, and labels by the ids of the file.

    Attributes:
        names: by label, in the order of the file; categories that it does not list follow.
        listed: labels of the ids that the file lists.
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
        self.listed: dict[RecordId, int] = {id_: label for id_, label in self._labels.items() if id_ is not None}

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
