"""NMS with suppressors against a plain NumPy greedy loop, 6,000 boxes, nearly all kept; a new threshold alone."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
from common import median_ms, report

from rpnviz.core import compiled, nms, presets

RULES = presets.load("torchvision").conventions


def plain_greedy(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    """The usual loop: keep the best, drop what overlaps it, repeat."""
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1) * (y2 - y1)
    order, kept = np.argsort(-scores, kind="stable"), []
    while order.size:
        i = order[0]
        kept.append(int(i))
        rest = order[1:]
        width = np.maximum(0, np.minimum(x2[i], x2[rest]) - np.maximum(x1[i], x1[rest]))
        height = np.maximum(0, np.minimum(y2[i], y2[rest]) - np.maximum(y1[i], y1[rest]))
        overlap = width * height
        order = rest[overlap / (areas[i] + areas[rest] - overlap) <= threshold]
    return kept


def scene(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 1300, (count, 2))
    boxes = np.concatenate(
        [corner, corner + rng.uniform(20, 100, (count, 2)) * rng.uniform(0.3, 1, (count, 2))], axis=1
    ).astype(np.float32)
    return boxes, rng.random(count).astype(np.float32)


def main() -> None:
    figures: dict[str, object] = {}
    boxes, scores = scene(6000)
    one = np.zeros(len(boxes), np.uint8)

    def full(threshold: float = 0.7) -> nms.NmsResult:
        return nms.suppress(nms.make_groups(boxes, scores, one, RULES), len(boxes), threshold, RULES)

    greedy = median_ms(lambda: plain_greedy(boxes, scores, 0.7), 3, 1)
    kept = plain_greedy(boxes, scores, 0.7)
    for name in ("numpy", "compiled"):
        if name == "compiled":
            compiled.warm_up()
        assert sorted(kept) == np.flatnonzero(full().kept).tolist()
        run = median_ms(full, 5, 1)
        groups = nms.make_groups(boxes, scores, one, RULES)
        again = median_ms(lambda groups=groups: nms.suppress(groups, len(boxes), 0.6, RULES), 5, 1)
        figures[name] = {
            "full_ms": round(run, 1),
            "of_plain_greedy": round(run / greedy, 2),
            "threshold_change_ms": round(again, 1),
            "threshold_change_of_full": round(again / run, 2),
        }
    many, many_scores = scene(20_000)
    tracemalloc.start()
    begin = time.perf_counter()
    nms.suppress(nms.make_groups(many, many_scores, np.zeros(20_000, np.uint8), RULES), 20_000, 0.7, RULES)
    seconds, peak = time.perf_counter() - begin, tracemalloc.get_traced_memory()[1]
    figures["20,000 boxes"] = {"seconds": round(seconds, 2), "peak_mb": round(peak / 2**20)}
    share = round(len(kept) / len(boxes), 3)
    report("nms", {"boxes": len(boxes), "kept": share, "plain_greedy_ms": round(greedy, 1), **figures})


if __name__ == "__main__":
    main()
