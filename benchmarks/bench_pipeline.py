"""Matching on the lattice against a dense torch matcher, and a threshold-only change; 1024 x 1024, 261,888 anchors."""

from __future__ import annotations

import torch
from common import median_ms, random_ground_truth, report

from rpnviz.core import compiled, pipeline, presets
from rpnviz.core.barring import Barred
from rpnviz.core.matching import match_anchors
from rpnviz.core.overlaps import compute_overlaps

SIZE = 1024


def dense(gt: torch.Tensor, anchors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """box_iou and Matcher as torchvision writes them: labels, matched GT, best IoU per anchor and per GT."""
    left_top = torch.max(gt[:, None, :2], anchors[None, :, :2])
    right_bottom = torch.min(gt[:, None, 2:], anchors[None, :, 2:])
    sides = (right_bottom - left_top).clamp(min=0)
    inter = sides[..., 0] * sides[..., 1]
    area = lambda b: (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])  # noqa: E731
    iou = inter / (area(gt)[:, None] + area(anchors)[None] - inter)
    best, matched = iou.max(dim=0)
    labels = torch.where(best < 0.3, 0, torch.where(best >= 0.7, 1, -1))
    per_gt = iou.max(dim=1).values
    labels[torch.where(iou == per_gt[:, None])[1]] = 1
    return labels, matched, best, per_gt


def main() -> None:
    torch.set_num_threads(1)
    compiled.warm_up()
    preset = presets.load("torchvision")
    params = preset.params.with_values("resize", mode="none")
    figures: dict[str, object] = {}
    for count in (5, 100):
        inputs = pipeline.Inputs((SIZE, SIZE), random_ground_truth(count, SIZE))
        result = pipeline.run(inputs, params, preset.conventions)
        boxes = result.gt.boxes

        def label(boxes=boxes, result=result):
            overlaps = compute_overlaps(result.anchors, boxes, preset.conventions)
            match_anchors(overlaps, Barred(), result.anchors, result.gt, params.match, preset.conventions)

        ours = median_ms(label)
        anchors = torch.from_numpy(result.anchors.boxes.copy())
        theirs = median_ms(lambda boxes=boxes, anchors=anchors: dense(torch.from_numpy(boxes.copy()), anchors), 3, 1)
        state = {"previous": result, "step": 0}

        def move(state=state, inputs=inputs):
            state["step"] += 1
            changed = params.with_values("match", fg_iou_thresh=0.5 + 0.01 * (state["step"] % 30))
            state["previous"] = pipeline.run(inputs, changed, preset.conventions, state["previous"])

        threshold = median_ms(move, 30)
        figures[f"{count} GT"] = {
            "lattice_ms": round(ours, 2),
            "dense_torch_one_thread_ms": round(theirs, 1),
            "times_faster": round(theirs / ours, 1),
            "threshold_change_ms": round(threshold, 2),
            "threshold_change_of_matching": round(threshold / ours, 2),
        }
    report("pipeline", {"anchors": 261_888, **figures})


if __name__ == "__main__":
    main()
