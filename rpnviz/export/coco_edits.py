"""Saves a data set as it is by now, boxes changed by hand included, as COCO JSON.

A COCO file that was edited is written as its own text with the changed records replaced: whatever else it holds stays
byte for byte. Any other data set becomes a new document.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import numpy as np

from rpnviz.datasets import coco
from rpnviz.datasets.base import Dataset, GroundTruth, ImageRecord, Progress, RecordId, no_progress, shown_size
from rpnviz.datasets.coco_annotations import AnnotationReader
from rpnviz.datasets.coco_records import Categories, read_images
from rpnviz.datasets.columns import Columns, Records
from rpnviz.datasets.edited import DRAWN, EditedRecords, EditedTruth, Edits, as_read
from rpnviz.datasets.findings import FindingLog
from rpnviz.datasets.json_files import decode_loosely, other_kind, read_text, record_id
from rpnviz.errors import AnnotationError, ExportError, ImageFileError
from rpnviz.export.coco import box_fields, coco_annotations, coco_categories, coco_images
from rpnviz.export.json_text import JsonText, json_bytes
from rpnviz.files import check_target, write_whole

_KEEP = "Choose another name; the file that is open is what undo goes back to."
_RELOAD = "Reload it (F5), then change the boxes again."
_BATCH = 4096
"""Records that become text at once."""

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True)
class Saved:
    """What a file holds that was saved.

    Attributes:
        path: the file.
        images: their number in it.
        annotations: their number in it, those that cannot be shown included.
        changed: boxes that are elsewhere, of another category, or ignored or no longer.
        added: boxes that were drawn.
        removed: boxes that were deleted.
        left_out: images that are not in it, since neither the data set nor the image tells their size.
    """

    path: Path
    images: int
    annotations: int
    changed: int
    added: int
    removed: int
    left_out: int = 0


def save_coco(dataset: Dataset, path: Path, progress: Progress = no_progress) -> Saved:
    """Write the boxes of all images as they are by now.

    Args:
        dataset: of any format, edited or not.
        path: the file to make or to replace, which is none that the data set was read from.
        progress: called with a fraction from 0 to 1; it may raise to end the work, and then nothing is written.

    Raises:
        ExportError: the file cannot be written, or is one of the data set; or the COCO file that was read is no longer
            the same.

    Convention:
        Of a COCO file all values stay, except: a deleted box takes its record with it; a moved one has other values
        of ``bbox`` and ``area`` and no ``segmentation``, which was that of the object elsewhere (keypoints stay);
        another category or ignoring changes ``category_id``, ``iscrowd`` and ``ignore`` where it is given. New records
        follow at the end, with ids above all others. An image without an id of its own gets one when a box is drawn
        in it. In other formats see :func:`rpnviz.export.coco.coco_document`.
    """
    own = as_read(dataset)
    _check_place(own, path)
    edits = dataset.images.edits if isinstance(dataset.images, EditedRecords) else Edits()
    if own.format == coco.FORMAT:
        return _EditedFile(own, edits, progress).write(path)
    return _write_document(dataset, edits, path, progress)


def _check_place(own: Dataset, path: Path) -> None:
    """Refuse to write over what was read. Links to an image under another name than its own are not followed."""
    target = check_target(path)
    if not target.exists():
        return
    source, images = own.source, own.images
    read = [str(source)] if source.is_file() else []
    if isinstance(images, Records):
        base = source if source.is_dir() else source.parent
        read += [os.path.join(base, name) for name in images.columns.sources]
        read += map(images.path, range(len(images)))
    else:
        read += [str(record.stored_in or record.path) for record in images]
    name = target.name.casefold()
    # The name is compared first: a hundred thousand files on a server would take minutes to ask.
    same = [file for file in read if os.path.basename(file).casefold() == name or file == str(source)]
    if any(os.path.exists(file) and os.path.samefile(file, target) for file in same):
        raise ExportError("the data set was read from this file.", where=str(path), way_out=_KEEP)


@dataclass(frozen=True)
class _Changes:
    """What became of the boxes of an image: those that differ, (present index, index in the file); drawn; deleted."""

    changed: tuple[tuple[int, int], ...]
    drawn: tuple[int, ...]
    deleted: tuple[int, ...]

    @classmethod
    def of(cls, own: GroundTruth, truth: EditedTruth) -> _Changes:
        kept = [(now, origin) for now, origin in enumerate(truth.origins) if origin != DRAWN]
        changed = tuple(
            (now, origin)
            for now, origin in kept
            if _moved(own, truth.gt, origin, now)
            or own.labels[origin] != truth.gt.labels[now]
            or own.ignore[origin] != truth.gt.ignore[now]
        )
        drawn = tuple(now for now, origin in enumerate(truth.origins) if origin == DRAWN)
        left = {origin for _, origin in kept}
        return cls(changed, drawn, tuple(origin for origin in range(len(own)) if origin not in left))


def _moved(own: GroundTruth, gt: GroundTruth, origin: int, now: int) -> bool:
    return not np.array_equal(own.boxes[origin], gt.boxes[now], equal_nan=True)


def _fresh_ids(ids: Sequence[RecordId | None]) -> Iterator[RecordId]:
    """Ids that are above all others; texts if the others are texts alone. ``"7"`` counts as 7, as some take it so."""
    numbers, texts = [0], False
    for id_ in ids:
        number = id_ if isinstance(id_, int) else other_kind(id_)
        texts |= isinstance(id_, str)
        if isinstance(number, int):
            numbers.append(number)
    texts = texts and not any(isinstance(id_, int) for id_ in ids)
    following = max(numbers)
    while True:
        following += 1
        yield str(following) if texts else following


# --------------------------------------------------------------------------------------------------- a COCO file edited


class _EditedFile:
    """The text of the COCO file that was read, and what is replaced in it."""

    def __init__(self, own: Dataset, edits: Edits, progress: Progress) -> None:
        self._own = own
        self._edits = edits
        self._progress = progress
        self._log = FindingLog(own.source.name)
        """What is wrong with the file was told when it was read."""
        try:
            text = read_text(own.source, coco.EXPECTED, self._log)
        except AnnotationError as error:
            raise ExportError(
                f"the file that was read is needed once more: {error.what}",
                where=error.where,
                way_out="Put it back, then save again.",
            ) from error
        progress(0.1)
        try:
            self._text = JsonText(text)
            progress(0.2)
            self._images = self._text.items("images")
            self._annotations = self._text.items("annotations")
            self._categories = self._text.items("categories")
        except (msgspec.DecodeError, RecursionError) as error:
            self._refuse("it cannot be decoded", error)
        progress(0.3)
        self._columns, self._places = self._layout()
        rows = self._columns.places
        if len(rows) and rows.max() >= len(self._annotations):
            self._refuse(f"it has {len(self._annotations):,} annotations, fewer than before")
        unshown = np.ones(len(self._annotations), bool)
        unshown[rows] = False
        self._unshown = np.flatnonzero(unshown).tolist()
        """Positions of annotations that belong to no image."""
        self._listed = Categories(map(self._text.raw, self._categories), self._log)
        self._ids = list(self._listed.listed)
        """Of the categories, by label."""
        self._known = read_images(list(map(self._text.raw, self._images)), self._log)
        progress(0.4)
        self._check()
        progress(0.5)

    def _refuse(self, why: str, cause: Exception | None = None) -> NoReturn:
        raise ExportError(
            f"the file was changed by another program since it was read: {why}.",
            where=str(self._own.source),
            way_out=_RELOAD,
        ) from cause

    def _layout(self) -> tuple[Columns, dict[int, int]]:
        """Where boxes stand in the file, and the number that each edited image has there."""
        images = self._own.images
        if isinstance(images, Records):
            return images.columns, {image: image for image in self._edits.truths}
        # Some images of the file were chosen by name.
        try:
            columns = coco.parsed(self._own.source, lambda fraction: self._progress(0.3 + 0.1 * fraction)).columns
        except AnnotationError as error:
            self._refuse(error.what.rstrip("."), error)
        known = {
            (name, id_): place
            for place, (name, id_) in enumerate(zip(columns.file_names, columns.image_ids.tolist(), strict=True))
        }
        places: dict[int, int] = {}
        for image in self._edits.truths:
            record = images[image]
            place = known.get((record.file_name, record.image_id))
            if place is None:
                self._refuse(f"it has no image {record.file_name} any more")
            if place in places.values():
                raise ExportError(
                    f"{record.file_name} was opened twice, and each was changed in another way.",
                    where=str(self._own.source),
                    way_out="Undo the changes in one of them.",
                )
            places[image] = place
        return columns, places

    def _rows(self, image: int) -> list[int]:
        """Positions in ``annotations`` of an edited image's boxes."""
        place, starts = self._places[image], self._columns.starts
        return self._columns.places[starts[place] : starts[place + 1]].tolist()

    def _check(self) -> None:
        """Read the edited images once more: a change in their records, or a shift of all records, is noticed."""
        known, columns, own = self._known, self._columns, self._own
        names, ids = list(columns.file_names), columns.image_ids.tolist()
        if known.names != names or known.ids != ids or known.places != columns.image_places.tolist():
            self._refuse("it has other images")
        if list(own.categories[: len(self._ids)]) != self._listed.names:
            self._refuse("it has other categories")
        reader = AnnotationReader(known, self._listed, self._log)
        wanted = sorted([*self._unshown, *(row for image in self._places for row in self._rows(image))])
        for row in wanted:
            reader.add_batch([self._text.raw(self._annotations[row])], row)
        found = reader.finish()
        if len(found.places) != len(wanted) - len(self._unshown):
            self._refuse("it has other annotations")
        for image, place in self._places.items():
            gt, now = own.images[image].gt, slice(*found.starts[place : place + 2].tolist())
            labels = [self._listed.names[label] for label in found.labels[now].tolist()]
            if (
                found.places[now].tolist() != self._rows(image)
                or found.ids[now].tolist() != list(gt.ids)
                or not np.array_equal(found.boxes[now], gt.boxes, equal_nan=True)
                or not np.array_equal(found.ignore[now], gt.ignore)
                or labels != [own.categories[label] for label in gt.labels.tolist()]
            ):
                self._refuse(f"it has other boxes in {own.images[image].file_name}")

    def _field(self, record: msgspec.Raw, key: str) -> object:
        """A value of a record; None if it has none, or is none."""
        fields = decode_loosely(self._text.raw(record))
        return fields.get(key) if isinstance(fields, dict) else None

    def write(self, path: Path) -> Saved:
        """Write the file."""
        images, image_ids = self._image_ids()
        categories, category_ids = self._category_ids()
        changed: dict[int, dict[str, bytes | None]] = {}
        removed: set[int] = set()
        added: list[dict[str, bytes]] = []
        ids = self._columns.ids
        some = ids.max(keepdims=True) if len(ids) and ids.dtype != object else ids  # the largest stands for all
        fresh = _fresh_ids([*some.tolist(), *(self._id(row, "id") for row in self._unshown)])
        for image, truth in sorted(self._edits.truths.items()):
            own, gt, rows = self._own.images[image].gt, truth.gt, self._rows(image)
            changes = _Changes.of(own, truth)
            removed.update(rows[origin] for origin in changes.deleted)
            for now, origin in changes.changed:
                row = rows[origin]
                values: dict[str, bytes | None] = {}
                if own.labels[origin] != gt.labels[now]:
                    values["category_id"] = category_ids(int(gt.labels[now]))
                if _moved(own, gt, origin, now):
                    values |= _box_values(gt, now) | {"segmentation": None}
                if own.ignore[origin] != gt.ignore[now]:
                    flag = json_bytes(int(gt.ignore[now]))
                    has_ignore = "ignore" in _decode_fields(self._annotations[row])
                    values |= {"iscrowd": flag} | ({"ignore": flag} if has_ignore else {})
                changed[row] = values
            for now in changes.drawn:
                category = category_ids(int(gt.labels[now]))
                added.append(
                    {"id": json_bytes(next(fresh)), "image_id": image_ids[image]}
                    | ({} if category is None else {"category_id": category})
                    | _box_values(gt, now)
                    | {"iscrowd": json_bytes(int(gt.ignore[now]))}
                )
        text = self._text
        splices = [
            *text.edit_list("images", self._images, images, (), ()),
            *text.edit_list("annotations", self._annotations, changed, removed, added),
            *text.edit_list("categories", self._categories, {}, (), categories),
        ]

        def parts() -> Iterator[bytes | memoryview]:
            for piece, fraction in text.pieces(splices):
                self._progress(0.5 + 0.5 * fraction)
                yield piece

        write_whole(path, parts())
        total = len(self._annotations) - len(removed) + len(added)
        return Saved(path, len(self._images), total, len(changed), len(added), len(removed))

    def _id(self, row: int, key: str) -> RecordId | None:
        return record_id(self._field(self._annotations[row], key))

    def _image_ids(self) -> tuple[dict[int, dict[str, bytes | None]], dict[int, bytes]]:
        """New values of image records, by position; and the ids of images in which boxes were drawn, as JSON."""
        known = self._known
        values: dict[int, dict[str, bytes | None]] = {}
        ids: dict[int, bytes] = {}
        fresh = _fresh_ids([*known.indices, *known.ids])
        for image in sorted(self._edits.truths):
            if DRAWN not in self._edits.truths[image].origins:
                continue
            place = self._places[image]
            position, id_ = known.places[place], known.ids[place]
            if id_ is not None and known.indices[id_] == place:
                ids[image] = self._text.bytes_of(_decode_fields(self._images[position])["id"])
            else:  # no annotation can belong to it as it is
                ids[image] = json_bytes(next(fresh))
                values[position] = {"id": ids[image]}
        return values, ids

    def _category_ids(self) -> tuple[list[dict[str, bytes]], Callable[[int], bytes | None]]:
        """Records of new categories, and what tells the id of a label."""
        labels, first = np.unique(self._columns.labels, return_index=True)
        unlisted = {
            label: int(self._columns.places[row])
            for label, row in zip(labels.tolist(), first.tolist(), strict=True)
            if label >= len(self._ids)
        }
        used = (self._id(row, "category_id") for row in (*unlisted.values(), *self._unshown))
        fresh = _fresh_ids([*self._ids, *used])
        ids = [json_bytes(next(fresh)) for _ in self._edits.added]
        records = [{"id": id_, "name": json_bytes(name)} for id_, name in zip(ids, self._edits.added, strict=True)]

        def of(label: int) -> bytes | None:
            if label >= len(self._own.categories):
                return ids[label - len(self._own.categories)]
            if label < len(self._ids):
                return json_bytes(self._ids[label])
            # Not listed: as another box of the category has it.
            record = self._annotations[unlisted[label]]
            id_ = record_id(self._field(record, "category_id"))
            if self._listed.names[self._listed.label(id_)] != self._own.categories[label]:
                self._refuse(f"it has no box of the category {self._own.categories[label]} where one was")
            value = _decode_fields(record).get("category_id")
            return None if value is None else self._text.bytes_of(value)

        return records, of


def _box_values(gt: GroundTruth, index: int) -> dict[str, bytes]:
    return {key: json_bytes(value) for key, value in box_fields(gt.boxes[index].tolist()).items()}


# ------------------------------------------------------------------------------------------------------ a new document


def _write_document(dataset: Dataset, edits: Edits, path: Path, progress: Progress) -> Saved:
    records: list[ImageRecord] = []
    sizes: list[tuple[int, int]] = []
    changed = added = removed = boxes = 0
    own = as_read(dataset)
    for image, record in enumerate(dataset.images):
        if image % 256 == 0:
            progress(0.5 * image / len(dataset.images))
        try:
            sizes.append(record.size or shown_size(record))
        except ImageFileError:
            continue
        records.append(record)
        boxes += len(record.gt)
        if image in edits.truths:
            changes = _Changes.of(own.images[image].gt, edits.truths[image])
            changed += len(changes.changed)
            added += len(changes.drawn)
            removed += len(changes.deleted)
    lists: dict[str, Iterable[Mapping[str, Any]]] = {
        "images": coco_images(records, sizes),
        "annotations": coco_annotations(records),
        "categories": coco_categories(dataset.categories),
    }
    total = len(records) + boxes + len(dataset.categories)

    def parts() -> Iterator[bytes]:
        done, before = 0, "{"
        for key, values in lists.items():
            yield f'{before}"{key}": ['.encode()
            before, following = "],\n", iter(values)
            separator = "\n"
            while batch := list(islice(following, _BATCH)):
                progress(0.5 + 0.5 * done / total)
                yield (separator + ",\n".join(map(json.dumps, batch))).encode()
                separator = ",\n"
                done += len(batch)
        yield b"]}\n"

    write_whole(path, parts())
    left_out = len(dataset.images) - len(records)
    return Saved(path, len(records), boxes, changed, added, removed, left_out)
