"""A model's proposals of an image as tables: COCO results, and the funnel with its counts and reasons."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from rpnviz.core import pipeline
from rpnviz.core.boxes import best_cover, box_iou
from rpnviz.core.params import Params
from rpnviz.core.pipeline import Result
from rpnviz.core.presets import Preset
from rpnviz.core.proposals import Fate
from rpnviz.datasets.base import ImageRecord, inputs_of, load_image
from rpnviz.models.base import ProposalModel

RECALL_AT = (0.5, 0.7)
"""IoUs at which a ground-truth box counts as found."""


def run_model(
    record: ImageRecord,
    preset: Preset,
    model: ProposalModel,
    cancelled: Callable[[], bool] | None = None,
) -> Result:
    """Run a model on an image and follow its boxes to the proposals.

    Args:
        record: the image.
        preset: the trainer, with the parameters that are used.
        model: the network.
        cancelled: asked between the stages of the network; True ends the run.

    Raises:
        Cancelled: ``cancelled`` said so.
        RpnvizError: the image cannot be read, or the model does not fit it.
    """
    loaded = load_image(record)
    outputs = model.propose(loaded.whole(), cancelled, record.file_name)
    return pipeline.run_outputs(inputs_of(record, loaded.size), outputs, preset.params, preset.conventions)


def own_thresholds(model: ProposalModel, params: Params) -> Params:
    """Parameters with the thresholds and top-n that come with the model, where it has some."""
    own = model.settings.proposals
    return params if own is None else dataclasses.replace(params, proposals=own)


def coco_results(result: Result, image_id: int | str) -> list[dict[str, Any]]:
    """Proposals in the form of COCO's results, best first: xywh in original pixels, category 1.

    A box that is infinite or undefined is left out, as is one with such a score: JSON has no number for it, and
    pycocotools could not rate it.
    """
    proposals = result.proposals
    if proposals is None:
        return []
    boxes = result.frame.to_original(proposals.boxes)
    scores = proposals.candidates.objectness_prob[proposals.kept]
    with np.errstate(invalid="ignore"):
        sides = boxes[:, 2:] - boxes[:, :2]
    finite = np.isfinite(boxes).all(axis=1) & np.isfinite(sides).all(axis=1) & np.isfinite(scores)
    rows = np.concatenate([boxes[:, :2], sides], axis=1)[finite]
    return [
        {"image_id": image_id, "category_id": 1, "bbox": bbox, "score": score}
        for bbox, score in zip(rows.tolist(), scores[finite].tolist(), strict=True)
    ]


def funnel_table(result: Result, file_name: str) -> dict[str, Any]:
    """How many boxes survive every stage, on each level, why the others are dropped, and what the rest finds.

    Returns:
        ``stages``: per stage its ``name``, ``count``, ``dropped``, ``per_level`` and ``recall`` (IoU to share of the
        trained boxes found, null without any); ``fates``: candidates by what became of them.
    """
    proposals = result.proposals
    assert proposals is not None
    levels = len(result.anchors.lattice)
    stages = []
    for stage, recall in zip(proposals.stages, stage_recall(result), strict=True):
        per_level = np.bincount(result.anchors.levels[stage.indices], minlength=levels)
        stages.append(
            {
                "name": stage.name,
                "count": len(stage.indices),
                "dropped": len(stage.dropped),
                "per_level": per_level.tolist(),
                "recall": {f"{iou:g}": share for iou, share in zip(RECALL_AT, recall, strict=True)},
            }
        )
    fates = np.bincount(proposals.fate, minlength=len(Fate))
    return {
        "file_name": file_name,
        "anchors": len(result.anchors),
        "stages": stages,
        "fates": {fate.name.lower(): int(fates[fate]) for fate in Fate},
    }


def stage_recall(result: Result) -> list[tuple[float | None, ...]]:
    """Share of the trained boxes that some box of each stage covers with the IoUs of :data:`RECALL_AT`.

    The first is that of the anchors themselves; None without a trained box.
    """
    proposals, decoded = result.proposals, result.decoded
    assert proposals is not None
    assert decoded is not None
    trained = result.gt.boxes[result.gt.trained].astype(np.float32)
    if not len(trained):
        return [(None,) * len(RECALL_AT)] * len(proposals.stages)
    candidates = proposals.candidates
    row_of = np.full(len(result.anchors), -1, np.int64)
    row_of[candidates.anchor_index] = np.arange(len(candidates.anchor_index))
    # Best of every candidate with every box, once: a slider asks at every move.
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        iou_of = np.nan_to_num(box_iou(trained, candidates.boxes))
    shares: list[tuple[float | None, ...]] = []
    for stage in proposals.stages:
        if stage.name == "all":
            best = np.asarray(result.match.gt_best_iou[result.gt.trained], np.float32)
        else:
            rows = row_of[stage.indices]
            best = iou_of[:, rows[rows >= 0]].max(axis=1, initial=0.0)
            others = decoded.boxes_input[stage.indices[rows < 0]]
            if len(others):
                best = np.maximum(best, best_cover(trained, others)[0])
        shares.append(tuple(float(np.mean(best >= iou)) for iou in RECALL_AT))
    return shares
