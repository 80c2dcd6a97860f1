"""Ground truth as a COCO annotation file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rpnviz.datasets.base import ImageRecord


def coco_document(
    records: Sequence[ImageRecord], sizes: Sequence[tuple[int, int]], categories: Sequence[str]
) -> dict[str, Any]:
    """Images with their boxes; read again they are the same to the last bit.

    Args:
        records: the images.
        sizes: (H, W) of each, px.
        categories: names by label.

    Returns:
        ``images``, ``annotations`` and ``categories``. Ids count from 1; annotation ids that are numbers and differ
        from each other stay. A box that has no numbers (NaN) keeps its place with a ``bbox`` of null.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    kept = _ids([name for record in records for name in record.gt.ids])
    for number, (record, (height, width)) in enumerate(zip(records, sizes, strict=True), 1):
        images.append({"id": number, "file_name": record.file_name, "width": width, "height": height})
        rows = zip(record.gt.boxes.tolist(), record.gt.labels.tolist(), record.gt.ignore.tolist(), strict=True)
        for box, label, ignore in rows:
            bbox = _xywh(box)
            annotations.append(
                {
                    "id": kept[len(annotations)],
                    "image_id": number,
                    "category_id": label + 1,
                    "bbox": bbox,
                    "area": None if bbox is None else bbox[2] * bbox[3],
                    "iscrowd": int(ignore),
                }
            )
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(categories, 1)],
    }


def _ids(names: list[int | str | None]) -> list[int]:
    """The ids as they are, if they can stay; else counted from 1."""
    numbers = [name for name in names if isinstance(name, int)]
    return numbers if len(set(numbers)) == len(names) else list(range(1, len(names) + 1))


def _xywh(box: list[float]) -> list[float] | None:
    if not all(map(math.isfinite, box)):
        return None
    x1, y1, x2, y2 = box
    return [x1, y1, _span(x1, x2), _span(y1, y2)]


def _span(start: float, end: float) -> float:
    """The length that, added to ``start``, gives ``end`` to the last bit; the nearest if there is none."""
    length = end - start
    for candidate in (length, math.nextafter(length, math.inf), math.nextafter(length, -math.inf)):
        if start + candidate == end:
            return candidate
    return length
