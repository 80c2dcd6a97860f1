"""What is behind the picture, as JSON-ready tables; floats are not rounded."""

from __future__ import annotations

import math
from typing import Any

from rpnviz.core.pipeline import Result
from rpnviz.datasets.base import Dataset, ImageRecord


def match_table(result: Result, record: ImageRecord, dataset: Dataset) -> dict[str, Any]:
    """Labels of one image: counts per state and, per ground-truth box, its numbers.

    Returns:
        Strict JSON: sizes are [H, W]; ``bbox`` is [x, y, width, height] in original pixels, ``bbox_input`` [x1, y1, x2,
        y2] in input pixels; a number that is not finite is null.
    """
    match, frame = result.match, result.frame
    gts = []
    for gt, rank in enumerate(match.ranks):
        x1, y1, x2, y2 = result.inputs.gt_boxes[gt].tolist()
        reason = result.gt.not_trained[gt]
        gts.append(
            {
                "index": gt,
                "id": record.gt.ids[gt],
                "category": dataset.categories[int(record.gt.labels[gt])],
                "bbox": [number(value) for value in (x1, y1, x2 - x1, y2 - y1)],
                "bbox_input": [number(value) for value in result.gt.boxes[gt].tolist()],
                "rank": str(rank),
                "not_trained": None if reason is None else str(reason),
                "best_iou": number(float(match.gt_best_iou[gt])),
                "positives": int(match.gt_positives[gt]),
                "forced": int(match.gt_forced[gt]),
            }
        )
    return {
        "file_name": record.file_name,
        "width": frame.image_size[1],
        "height": frame.image_size[0],
        "resized_size": list(frame.resized_size),
        "input_size": list(frame.input_size),
        "anchors": len(result.anchors),
        "states": {state.name.lower(): count for state, count in match.counts.items()},
        "sampled": {"positive": len(result.sample.positive), "negative": len(result.sample.negative)},
        "trainer": None if result.gt.reaction is None else str(result.gt.reaction),
        "gts": gts,
    }


def number(value: float) -> float | None:
    """The value, or null where JSON has no word for it."""
    return value if math.isfinite(value) else None
