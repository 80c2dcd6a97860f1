"""What lies under a point: ground truth first, then positives, then the others; by plain arithmetic over all boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.pipeline import Result
from rpnviz.drawing.scene import Layer, LayerKey

_ORDER = (
    LayerKey.GT,
    LayerKey.FORCED,
    LayerKey.POSITIVE,
    LayerKey.KEPT,
    LayerKey.SUPPRESSED,
    LayerKey.CANDIDATES,
    LayerKey.NEUTRAL,
    LayerKey.LEFT_OUT,
)


@dataclass(frozen=True)
class Hit:
    """A box under the pointer.

    Attributes:
        key: the layer it belongs to; NEGATIVE stands for any anchor found with Alt.
        index: ground-truth index or anchor index.
        box: (x1, y1, x2, y2) as drawn, original pixels.
    """

    key: LayerKey
    index: int
    box: tuple[float, float, float, float]


def outline_distance(boxes: NDArray, x: float, y: float) -> NDArray[np.float64]:
    """Distance of a point from each outline (N, 4), (N,), in the same units; NaN where the box is."""
    with np.errstate(invalid="ignore", over="ignore"):
        outside_x = np.maximum(boxes[:, 0] - x, x - boxes[:, 2])
        outside_y = np.maximum(boxes[:, 1] - y, y - boxes[:, 3])
        outside = np.hypot(np.maximum(outside_x, 0), np.maximum(outside_y, 0))
        inside = -np.maximum(outside_x, outside_y)
        return np.where(inside > 0, inside, outside)


def pick(layers: tuple[Layer, ...], x: float, y: float, reach: float) -> list[Hit]:
    """Boxes of the shown layers near (x, y), best first.

    Args:
        layers: what is drawn; layers shown as density are passed over.
        x, y: original pixels.
        reach: how far an outline may be, original pixels.

    A ground-truth box is also hit anywhere inside, after all outlines; the smallest one first.
    """
    outlines: list[tuple[int, float, float, Hit]] = []
    inside: list[tuple[float, Hit]] = []
    for layer in layers:
        if layer.dense or not len(layer.boxes) or layer.key not in _ORDER:
            continue
        boxes = layer.boxes
        distance = outline_distance(boxes, x, y)
        with np.errstate(invalid="ignore", over="ignore"):
            area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        order = _ORDER.index(layer.key)
        for row in np.flatnonzero(distance <= reach).tolist():
            outlines.append((order, float(distance[row]), float(area[row]), _hit(layer, row)))
        if layer.key is LayerKey.GT:
            within = (boxes[:, 0] <= x) & (x <= boxes[:, 2]) & (boxes[:, 1] <= y) & (y <= boxes[:, 3])
            inside += [(float(area[row]), _hit(layer, row)) for row in np.flatnonzero(within).tolist()]
    outlines.sort(key=lambda found: found[:3])
    inside.sort(key=lambda found: found[0])
    hits: dict[tuple[bool, int], Hit] = {}
    for hit in [found[3] for found in outlines] + [found[1] for found in inside]:
        hits.setdefault((hit.key is LayerKey.GT, hit.index), hit)
    return list(hits.values())


def pick_any_anchor(result: Result, x: float, y: float, reach: float) -> list[Hit]:
    """All anchors near a point, drawn or not: the best IoU first, then the nearest outline.

    Args:
        result: anchors and labels.
        x, y, reach: original pixels.
    """
    scale = np.array(result.frame.scale)
    px, py = x * scale[1], y * scale[0]
    boxes = result.anchors.boxes
    near = np.flatnonzero(outline_distance(boxes, px, py) <= reach * scale.max())
    if not len(near):
        return []
    distance = outline_distance(boxes[near], px, py)
    order = np.lexsort((distance, -result.match.best_iou[near]))[:50]
    original = result.frame.to_original(boxes[near[order]])
    return [Hit(LayerKey.NEGATIVE, int(near[row]), _tuple(box)) for row, box in zip(order, original, strict=True)]


def _hit(layer: Layer, row: int) -> Hit:
    return Hit(layer.key, int(layer.ids[row]), _tuple(layer.boxes[row]))


def _tuple(box: NDArray) -> tuple[float, float, float, float]:
    return float(box[0]), float(box[1]), float(box[2]), float(box[3])
