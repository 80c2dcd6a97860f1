"""Ground truth as a COCO annotation file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from rpnviz.datasets.base import ImageRecord, RecordId


def coco_document(
    records: Sequence[ImageRecord], sizes: Sequence[tuple[int, int]], categories: Sequence[str]
) -> dict[str, Any]:
    """Images with their boxes; read again they are the same to the last bit.

    Args:
        records: the images.
        sizes: (H, W) of each, px.
        categories: names by label.

    Returns:
        ``images``, ``annotations`` and ``categories``. Image ids stay if all are whole numbers that differ, else they
        count from 1. An annotation's id stays if it is a whole number that is used once; the others get new ones above
        the largest. A box that has no numbers (NaN) keeps its place with a ``bbox`` of null.
    """
    return {
        "images": list(coco_images(records, sizes)),
        "annotations": list(coco_annotations(records)),
        "categories": coco_categories(categories),
    }


def coco_images(records: Sequence[ImageRecord], sizes: Sequence[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    """The records of ``images``, see :func:`coco_document`."""
    for id_, record, (height, width) in zip(_image_ids(records), records, sizes, strict=True):
        yield {"id": id_, "file_name": record.file_name, "width": width, "height": height}


def coco_annotations(records: Sequence[ImageRecord]) -> Iterator[dict[str, Any]]:
    """The records of ``annotations``, see :func:`coco_document`."""
    ids = iter(_annotation_ids([id_ for record in records for id_ in record.gt.ids]))
    for image_id, record in zip(_image_ids(records), records, strict=True):
        gt = record.gt
        for box, label, ignore in zip(gt.boxes.tolist(), gt.labels.tolist(), gt.ignore.tolist(), strict=True):
            yield {
                "id": next(ids),
                "image_id": image_id,
                "category_id": label + 1,
                **box_fields(box),
                "iscrowd": int(ignore),
            }


def coco_categories(names: Sequence[str]) -> list[dict[str, Any]]:
    """The records of ``categories``, see :func:`coco_document`."""
    return [{"id": number, "name": name} for number, name in enumerate(names, 1)]


def box_fields(box: Sequence[float]) -> dict[str, Any]:
    """``bbox`` and ``area`` of an annotation; null where they would be no numbers.

    Args:
        box: x1, y1, x2, y2, original px.
    """
    bbox = _xywh(box)
    area = None if bbox is None else bbox[2] * bbox[3]
    return {"bbox": bbox, "area": area if area is not None and math.isfinite(area) else None}


def _image_ids(records: Sequence[ImageRecord]) -> list[int]:
    numbers = [record.image_id for record in records if isinstance(record.image_id, int)]
    return numbers if len(set(numbers)) == len(records) else list(range(1, len(records) + 1))


def _annotation_ids(ids: Sequence[RecordId | None]) -> list[int]:
    uses = Counter(id_ for id_ in ids if isinstance(id_, int))
    fresh = count(max([0, *uses]) + 1)
    return [id_ if isinstance(id_, int) and uses[id_] == 1 else next(fresh) for id_ in ids]


def _xywh(box: Sequence[float]) -> list[float] | None:
    x1, y1, x2, y2 = box
    bbox = [x1, y1, _span(x1, x2), _span(y1, y2)]
    return bbox if all(map(math.isfinite, bbox)) else None


def _span(start: float, end: float) -> float:
    """The length that, added to ``start``, gives ``end`` to the last bit; the nearest if there is none."""
    length = end - start
    for candidate in (length, math.nextafter(length, math.inf), math.nextafter(length, -math.inf)):
        if start + candidate == end:
            return candidate
    return length
