"""Inputs and parameters to a result; stages whose inputs did not change are reused.

image + GT -> frame -> ground truth -> anchors -> overlaps -> match -> sample -> targets
                         network outputs -> decode -> top-k, clip -> small, score -> NMS, top-n
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rpnviz.core import anchors as anchors_stage
from rpnviz.core import barring, deltas, ground_truth, matching, overlaps, sampling
from rpnviz.core import frame as frame_stage
from rpnviz.core import proposals as proposals_stage
from rpnviz.core.conventions import Conventions, ProposalStages, SmallBoxRule
from rpnviz.core.inputs import Inputs, RPNOutput, frozen
from rpnviz.core.params import CoderParams, Params

__all__ = ["Inputs", "Result", "TargetResult", "run", "run_outputs"]

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class TargetResult:
    """Regression targets.

    Attributes:
        anchor_index: (N,) the positive anchors, ascending.
        deltas: (N, 4) from each to its target box, as the coder defines them, weights included.
    """

    anchor_index: NDArray[np.int64]
    deltas: NDArray


@dataclass(frozen=True, eq=False)
class Result:
    """Everything that the trainer and the network do with one image; arrays are read-only.

    Attributes:
        inputs, params, conventions: what it was computed from.
        frame: sizes and scale.
        gt: which ground truth is trained on.
        anchors: all A anchors.
        barred: anchors that are kept out of matching or of some label.
        match: their labels.
        sample: the mini-batch.
        targets: deltas of the positives.
        proposals: None without network outputs.
        decoded: every decoded box and logit; None without network outputs.
    """

    inputs: Inputs
    params: Params
    conventions: Conventions
    frame: frame_stage.Frame
    gt: ground_truth.GroundTruth
    anchors: anchors_stage.Anchors
    barred: barring.Barred
    match: matching.MatchResult
    sample: sampling.SampleResult
    targets: TargetResult
    proposals: proposals_stage.ProposalResult | None
    decoded: proposals_stage.Decoded | None
    _stages: dict[str, tuple[tuple[Any, ...], Any]] = field(repr=False)


class _Stages:
    """Calls a stage unless the previous result holds its value for the same inputs."""

    def __init__(self, previous: Result | None) -> None:
        self._old = {} if previous is None else previous._stages
        self.done: dict[str, tuple[tuple[Any, ...], Any]] = {}

    def __call__(self, name: str, function: Callable[..., T], *inputs: Any) -> T:
        old = self._old.get(name)
        if old is not None and len(old[0]) == len(inputs) and all(map(_same, old[0], inputs)):
            value = old[1]
        else:
            value = function(*inputs)
        self.done[name] = (inputs, value)
        return value


def _same(a: Any, b: Any) -> bool:
    """Arrays and stage results are compared by identity, parameter groups and sizes by value."""
    if a is b:
        return True
    return not isinstance(a, np.ndarray) and not isinstance(b, np.ndarray) and bool(a == b)


def run(inputs: Inputs, params: Params, conventions: Conventions, previous: Result | None = None) -> Result:
    """Compute all stages, starting at the first whose inputs differ from those of ``previous``.

    Args:
        inputs: the image's size, ground truth and, where there is a model, its outputs.
        params: the numbers.
        conventions: the framework's choices.
        previous: any earlier result; only saves time.

    Raises:
        ShapeError: outputs and anchors do not fit, or the padded size is too small.
    """
    stage = _Stages(previous)
    stated = inputs.outputs if inputs.outputs is not None and inputs.outputs.stated else None
    if stated is not None:
        recorded = (stated.resized_size, stated.input_size)
        sizes = stage("frame", frame_stage.stated_frame, inputs.image_size, *recorded, conventions)
    elif inputs.as_seen and inputs.outputs is None:
        multiple = params.resize.pad_multiple
        sizes = stage("frame", frame_stage.seen_frame, inputs.image_size, inputs.padded_size, multiple, conventions)
    else:
        sizes = stage(
            "frame",
            frame_stage.make_frame,
            inputs.image_size,
            params.resize,
            conventions,
            inputs.padded_size,
            inputs.flipped_from is not None,
        )
    gt = stage(
        "gt",
        ground_truth.select_ground_truth,
        inputs.gt_boxes,
        inputs.gt_ignore,
        sizes,
        conventions,
        inputs.flipped_from,
        inputs.gt_difficult,
    )
    if stated is not None and stated.anchors is not None:
        shapes = tuple(level.objectness.shape for level in stated.levels)
        strides = stated.settings.anchors.strides
        anchors = stage("anchors", anchors_stage.recorded_anchors, stated.anchors, shapes, strides)
    elif inputs.anchors is not None:
        given = inputs.anchors
        anchors = stage("anchors", anchors_stage.recorded_anchors, given.boxes, given.shapes, given.strides)
    else:
        anchors = stage("anchors", anchors_stage.make_anchors, sizes.input_size, params.anchors, conventions)
    match_params = params.match
    barred = stage(
        "barred",
        barring.find_barred,
        anchors,
        sizes,
        gt,
        match_params.border_thresh,
        match_params.ignore_iof_thresh,
        conventions,
    )
    found = stage("overlaps", _overlaps, anchors, gt, barred, conventions)
    if gt.image_skipped:
        match = stage("match", matching.label_nothing, found, gt)
    else:
        match = stage("match", matching.match_anchors, found, barred, anchors, gt, match_params, conventions)
    if inputs.drawn is not None and max(part.max(initial=-1) for part in inputs.drawn) < len(anchors):
        sample = stage("sample", sampling.SampleResult, *inputs.drawn)
    else:
        sample = stage("sample", sampling.sample_anchors, match.labels, params.sample, conventions)
    targets = stage("targets", _targets, anchors, gt, match, params.coder, conventions)
    decoded = proposed = None
    if inputs.outputs is not None and conventions.proposal_stages is ProposalStages.RPN:
        wanted = params.proposals
        decoded = stage(
            "decode", proposals_stage.decode_outputs, anchors, inputs.outputs, sizes, params.coder, conventions
        )
        candidates = stage(
            "candidates",
            proposals_stage.pick_candidates,
            decoded,
            anchors,
            sizes,
            wanted.pre_nms,
            wanted.min_size if conventions.small_box is SmallBoxRule.INCLUSIVE_SCALED_FIRST else 0.0,
            conventions,
        )
        eligible = stage(
            "eligible", proposals_stage.select_eligible, candidates, wanted.min_size, wanted.score_thresh, conventions
        )
        proposed = stage(
            "proposals",
            proposals_stage.finish_proposals,
            anchors,
            candidates,
            eligible,
            wanted.nms_thresh,
            wanted.post_nms,
            conventions,
        )
    return Result(
        inputs, params, conventions, sizes, gt, anchors, barred, match, sample, targets, proposed, decoded, stage.done
    )


def run_outputs(
    inputs: Inputs, outputs: RPNOutput, params: Params, conventions: Conventions, previous: Result | None = None
) -> Result:
    """:func:`run` with a network's outputs, under the anchors, resize, coder and conventions that it was built with.

    Args:
        inputs: the image; its padded size becomes that of the outputs.
        outputs: of the network.
        params, conventions: what the user turns; :meth:`~rpnviz.core.inputs.ModelSettings.applied_to` says what of them
            holds.
        previous: any earlier result; only saves time.

    Raises:
        ShapeError: outputs and anchors do not fit.
    """
    built_in = outputs.settings.applied_to(params, conventions)
    return run(replace(inputs, outputs=outputs, padded_size=outputs.input_size), *built_in, previous)


def _overlaps(
    anchors: anchors_stage.Anchors, gt: ground_truth.GroundTruth, barred: barring.Barred, conventions: Conventions
) -> overlaps.Overlaps:
    return overlaps.compute_overlaps(anchors, gt.boxes[gt.trained], conventions, barred.allowed)


def _targets(
    anchors: anchors_stage.Anchors,
    gt: ground_truth.GroundTruth,
    match: matching.MatchResult,
    params: CoderParams,
    conventions: Conventions,
) -> TargetResult:
    positives = match.positives
    boxes = gt.boxes[match.matched_gt[positives]]
    return TargetResult(positives, frozen(deltas.encode(anchors.boxes[positives], boxes, params, conventions)))
