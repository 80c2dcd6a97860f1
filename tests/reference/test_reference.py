"""Every case of the reference folder, compared as the case asks for."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
import translate
from cases import Case, load_cases

from rpnviz.core import deltas, frame, nms, proposals
from rpnviz.core.anchors import Anchors, base_anchors, grid_shapes
from rpnviz.core.barring import find_barred
from rpnviz.core.boxes import box_iou, clip_boxes
from rpnviz.core.frame import Frame
from rpnviz.core.ground_truth import GroundTruth
from rpnviz.core.matching import MatchResult, match_anchors
from rpnviz.core.overlaps import Overlaps, compute_overlaps, largest_overlap, pair_iou
from rpnviz.core.params import CoderParams, ResizeMode
from rpnviz.core.presets import Preset
from rpnviz.core.sampling import sample_anchors
from rpnviz.errors import NoGroundTruthError

CASES = load_cases()
if not CASES:
    raise RuntimeError("the reference folder holds no case")
RTOL = 1e-6


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(case: Case):
    check = CHECKS.get(case.kind)
    if check is None:
        pytest.fail(f"no check for the kind {case.kind!r}")
    check(case)


# ---------------------------------------------------------------------- anchors


def check_anchors(case: Case):
    preset = translate.preset_of(case)
    inputs, outputs = case.arrays()
    anchors = translate.anchors_of(case, inputs, preset)
    params = translate.anchor_params(case, preset, len(anchors.lattice))
    for level in range(len(anchors.lattice)):
        for name in (f"cell_anchors_l{level}", f"base_anchors_l{level}"):
            if name in inputs:
                np.testing.assert_array_equal(base_anchors(params, level, preset.conventions), inputs[name])
    boxes = translate.xyxy(case, anchors.boxes)
    assert len(anchors) == outputs["count"]
    if case.framework == "torchvision":
        assert [list(level.stride) for level in anchors.lattice] == case.params["strides"]
    if case.params["storage"] == "full":
        np.testing.assert_array_equal(boxes, outputs["anchors"])
    else:
        np.testing.assert_array_equal(boxes[:1000], outputs["first1000"])
        np.testing.assert_array_equal(boxes[-1000:], outputs["last1000"])
    native = np.ascontiguousarray(boxes)
    single = native.astype("<f4").tobytes()
    assert hashlib.sha256(single).hexdigest() == case.params["sha256_float32"]
    assert hashlib.sha256(native.tobytes()).hexdigest() == case.params["sha256_native"]
    if "inds_inside" in inputs:
        barred = find_barred(
            anchors,
            translate.frame_of(case, inputs),
            GroundTruth.of_input_boxes(np.zeros((0, 4))),
            case.params["allowed_border"],
            -1,
            preset.conventions,
        )
        np.testing.assert_array_equal(np.flatnonzero(barred.allowed), inputs["inds_inside"])


def check_base_anchors(case: Case):
    preset = translate.preset_of(case)
    inputs, outputs = case.arrays()
    for name, text in inputs.items():
        number = name.removeprefix("args_")
        params = translate.base_anchor_params(str(text), preset)
        np.testing.assert_array_equal(base_anchors(params, 0, preset.conventions), outputs[f"anchors_{number}"])


# ---------------------------------------------------------------------- matching


@dataclasses.dataclass
class Labelled:
    """What the stages made of a matching case."""

    preset: Preset
    anchors: Anchors
    truth: GroundTruth
    boxes: np.ndarray
    overlaps: Overlaps
    match: MatchResult
    sampled: np.ndarray
    targets: np.ndarray
    sampled_targets: np.ndarray
    allowed: np.ndarray


def label(case: Case, variant: str = "") -> Labelled:
    preset = translate.preset_of(case, variant)
    inputs, _ = case.arrays()
    anchors = translate.anchors_of(case, inputs, preset)
    np.testing.assert_array_equal(anchors.boxes, translate.xyxy(case, inputs["anchors"]))
    boxes, ignored = translate.ground_truth(case, inputs)
    boxes = boxes.astype(anchors.boxes.dtype)
    params = translate.match_params(case, preset)
    # The stages are called below the trainer's own test for invalid boxes, as in the reference run.
    truth = GroundTruth.of_input_boxes(boxes, ignored)
    barred = find_barred(
        anchors,
        translate.frame_of(case, inputs),
        truth,
        params.match.border_thresh,
        params.match.ignore_iof_thresh,
        preset.conventions,
    )
    overlaps = compute_overlaps(anchors, boxes[truth.trained], preset.conventions, barred.allowed)
    match = match_anchors(overlaps, barred, anchors, truth, params.match, preset.conventions)
    sample = sample_anchors(match.labels, params.sample, preset.conventions)
    sampled = np.full(len(anchors), -1, np.int8)
    sampled[sample.positive], sampled[sample.negative] = 1, 0

    def targets_of(index: np.ndarray) -> np.ndarray:
        wanted = boxes[match.matched_gt[index]] if len(index) else np.zeros((0, 4))
        return deltas.encode(anchors.boxes[index], wanted, preset.params.coder, preset.conventions)

    allowed = np.ones(len(anchors), bool) if barred.allowed is None else barred.allowed
    if barred.ignore is not None:
        allowed = allowed | barred.ignore  # ignored anchors are among those that the assigner sees
    return Labelled(
        preset,
        anchors,
        truth,
        boxes,
        overlaps,
        match,
        sampled,
        targets_of(match.positives),
        targets_of(sample.positive),
        allowed,
    )


def check_matching(case: Case):
    MATCHING[case.framework](case)


def _assert_per_gt(done: Labelled, outputs: dict[str, np.ndarray], order: np.ndarray | None = None):
    """Best IoU, first best anchor and number of ties of every trained box; ``order`` numbers the anchors anew."""
    np.testing.assert_array_equal(done.overlaps.gt_best_iou, outputs["max_iou_per_gt"])
    everyone = np.flatnonzero(done.allowed)
    best = [everyone if found is None else found for found in done.overlaps.gt_best_anchors]
    first = [int(found[0]) for found in best]
    if order is not None:
        first = [int(order[index]) for index in first]
    assert first == outputs["best_anchor_per_gt"].tolist()
    assert [len(found) for found in best] == outputs["n_best_per_gt"].tolist()


def check_torchvision_matching(case: Case):
    done = label(case)
    _, outputs = case.arrays()
    match = done.match
    np.testing.assert_array_equal(match.labels, outputs["labels"])
    np.testing.assert_array_equal(np.flatnonzero(done.sampled == 1), outputs["sampled_positive"])
    np.testing.assert_array_equal(np.flatnonzero(done.sampled == 0), outputs["sampled_negative"])
    if len(done.boxes):
        np.testing.assert_array_equal(match.best_iou, outputs["max_iou_per_anchor"])
        np.testing.assert_array_equal(match.matched_gt, outputs["argmax_gt"])
        _assert_per_gt(done, outputs)
        raw = np.where(match.labels == 1, match.matched_gt, np.where(match.labels == 0, -1, -2))
        np.testing.assert_array_equal(raw, outputs["matched_idxs_raw"])
        np.testing.assert_allclose(done.targets, outputs["positive_targets"], rtol=RTOL, atol=1e-7)


def check_detectron2_matching(case: Case):
    done = label(case)
    _, outputs = case.arrays()
    np.testing.assert_array_equal(done.match.labels, outputs["labels"])
    np.testing.assert_array_equal(done.sampled, outputs["sampled_labels"])
    if len(done.boxes):
        np.testing.assert_array_equal(done.match.best_iou, outputs["max_iou_per_anchor"])
        np.testing.assert_array_equal(done.match.matched_gt, outputs["matched_idx"])
        _assert_per_gt(done, outputs)
        np.testing.assert_allclose(done.targets, outputs["positive_targets"], rtol=RTOL, atol=1e-7)
    if "labels_before_boundary_filter" in outputs:
        free = dataclasses.replace(case, entry={**case.entry, "params": {**case.params, "anchor_boundary_thresh": -1}})
        np.testing.assert_array_equal(label(free).match.labels, outputs["labels_before_boundary_filter"])


def check_mmdetection_matching(case: Case):
    done = label(case)
    _, outputs = case.arrays()
    match, inside = done.match, outputs["inside_flags"]
    np.testing.assert_array_equal(done.allowed, inside)
    np.testing.assert_array_equal(match.labels, outputs["labels"])
    np.testing.assert_array_equal(done.sampled, outputs["sampled_labels"])
    np.testing.assert_allclose(done.sampled_targets, outputs["sampled_positive_targets"], rtol=RTOL, atol=1e-7)
    if len(done.truth.trained):
        seen = inside & (outputs["max_iou_per_anchor"] >= 0)  # -1 stands for an ignored anchor
        np.testing.assert_array_equal(match.best_iou[seen], outputs["max_iou_per_anchor"][seen])
        assert (match.labels[inside & ~seen] == -1).all()
        positive = match.labels == 1
        np.testing.assert_array_equal(match.matched_gt[positive], outputs["assigned_gt"][positive])
        np.testing.assert_array_equal(done.overlaps.best_gt[seen], outputs["argmax_gt"][seen])
        # Numbers of ties and best anchors count the inside anchors alone.
        order = np.cumsum(inside) - 1
        np.testing.assert_array_equal(done.overlaps.gt_best_iou, np.maximum(outputs["max_iou_per_gt"], 0))
        for row, found in enumerate(done.overlaps.gt_best_anchors):
            if found is not None:
                assert order[found[0]] == outputs["best_anchor_per_gt"][row]
                assert len(found) == outputs["n_best_per_gt"][row]


def check_matterport_matching(case: Case):
    _, outputs = case.arrays()
    for variant in ("new", "old"):
        if case.params["error"].get(variant):
            with pytest.raises(NoGroundTruthError):
                label(case, variant)
            continue
        done = label(case, variant)
        match = done.match
        np.testing.assert_array_equal(match.labels, outputs[f"{variant}_labels"])
        # The framework writes 1 positive, -1 negative, 0 neutral.
        mine = np.select([done.sampled == 1, done.sampled == 0], [1, -1], 0)
        np.testing.assert_array_equal(mine, outputs[f"{variant}_sampled_rpn_match"])
        targets = translate.xyxy(case, done.targets)
        np.testing.assert_allclose(targets, outputs[f"{variant}_positive_targets"], rtol=RTOL, atol=1e-7)
        rows = outputs[f"{variant}_sampled_rpn_bbox"]
        drawn = translate.xyxy(case, done.sampled_targets)
        np.testing.assert_allclose(rows[: len(drawn)], drawn, rtol=RTOL, atol=1e-7)
        assert (rows[len(drawn) :] == 0).all()
        if variant == "new":
            np.testing.assert_array_equal(match.best_iou, outputs["max_iou_per_anchor"])
            np.testing.assert_array_equal(done.overlaps.best_gt, outputs["argmax_gt"])
            _assert_per_gt(done, outputs)


def check_py_faster_rcnn_matching(case: Case):
    inputs, outputs = case.arrays()
    if case.params["error"]:
        with pytest.raises(NoGroundTruthError):
            label(case)
        return
    done = label(case)
    inside = np.zeros(len(done.anchors), bool)
    inside[inputs["inds_inside"]] = True
    np.testing.assert_array_equal(done.allowed, inside)
    np.testing.assert_array_equal(done.match.labels, outputs["labels"])
    np.testing.assert_array_equal(done.sampled, outputs["sampled_labels"])
    np.testing.assert_array_equal(done.match.best_iou[inside], outputs["max_iou_per_anchor"][inside])
    np.testing.assert_array_equal(done.overlaps.best_gt[inside], outputs["argmax_gt"][inside])
    _assert_per_gt(done, outputs)
    np.testing.assert_allclose(done.targets.astype(np.float32), outputs["positive_targets"], rtol=RTOL, atol=1e-7)
    assert outputs["outer_weight"] == pytest.approx(1 / np.count_nonzero(done.sampled >= 0))


def check_keras_retinanet_matching(case: Case):
    done = label(case)
    _, outputs = case.arrays()
    np.testing.assert_array_equal(done.match.labels, outputs["labels"])
    if len(done.boxes):
        np.testing.assert_array_equal(done.match.best_iou, outputs["max_iou_per_anchor"])
        np.testing.assert_array_equal(done.match.matched_gt, outputs["argmax_gt"])
        _assert_per_gt(done, outputs)
        np.testing.assert_array_equal(done.targets.astype(np.float32), outputs["positive_targets"])


MATCHING = {
    "torchvision": check_torchvision_matching,
    "detectron2": check_detectron2_matching,
    "mmdetection": check_mmdetection_matching,
    "matterport": check_matterport_matching,
    "py-faster-rcnn": check_py_faster_rcnn_matching,
    "keras-retinanet": check_keras_retinanet_matching,
}


# ---------------------------------------------------------------------- box coder


def check_codec(case: Case):
    preset = translate.preset_of(case)
    rules = preset.conventions
    inputs, outputs = case.arrays()
    given = case.params
    weights = given.get("weights", preset.params.coder.weights)
    if "target_stds" in given:
        weights = [1 / std for std in given["target_stds"]]
    plain = CoderParams(weights=(1, 1, 1, 1), dwh_clip=preset.params.coder.dwh_clip)
    params = plain if case.framework == "matterport" else dataclasses.replace(plain, weights=tuple(weights))
    source, target = (translate.xyxy(case, inputs[name]) for name in ("src", "dst"))
    moves = translate.xyxy(case, inputs["deltas"])
    if case.framework == "matterport":
        rules = dataclasses.replace(rules, encode_dtype="float32")  # the case gives the function float32 boxes
    encoded = translate.xyxy(case, deltas.encode(source, target, params, rules))
    if case.framework == "keras-retinanet":
        np.testing.assert_array_equal(encoded, outputs["encode"])
    else:
        np.testing.assert_allclose(encoded, outputs["encode"], rtol=RTOL, atol=1e-6)
    decoded = deltas.decode(source, moves, params, rules)
    names = ("decode_numpy", "decode_tf") if case.framework == "matterport" else ("decode",)
    for name in names:
        _assert_boxes(decoded, translate.xyxy(case, outputs[name]))
    if "clip_size_hw" in inputs or "max_shape_hw" in inputs:
        size = inputs["clip_size_hw" if "clip_size_hw" in inputs else "max_shape_hw"].tolist()
        clipped = proposals._clipped(
            decoded, Frame(tuple(size), tuple(size), tuple(size), (1, 1), (0, 0), tuple(size)), rules
        )
        if case.framework == "detectron2":
            finite = np.isfinite(decoded).all(axis=1)
            np.testing.assert_array_equal(finite, outputs["finite"])
            _assert_boxes(clipped[finite], outputs["finite_clipped"])
            np.testing.assert_array_equal(proposals.large_enough(clipped[finite], 0, rules), outputs["nonempty0"])
        else:
            _assert_boxes(clipped, outputs["decode_clipped"])
    if "clip_tf" in outputs:
        clipped = clip_boxes(decoded, tuple(inputs["shape"].tolist()))
        _assert_boxes(clipped, translate.xyxy(case, outputs["clip_tf"]))
        _check_matterport_frames(inputs, outputs)
    if "keep_min16" in outputs:
        large = proposals.large_enough(outputs["decode_clipped"], 16, rules)
        np.testing.assert_array_equal(np.flatnonzero(large), outputs["keep_min16"])
    for name in ("iou", "iof"):
        if name in outputs:
            _check_overlaps(preset, source, target, outputs[name], name)


def _check_overlaps(preset: Preset, source: np.ndarray, target: np.ndarray, expected: np.ndarray, name: str):
    size = len(expected)
    dtype = preset.conventions.iou_dtype.value
    source, target = source[:size].astype(dtype), target[:size].astype(dtype)
    if name == "iou":
        mine = np.stack(
            [pair_iou(source, np.broadcast_to(box, source.shape), preset.conventions) for box in target], axis=1
        )
        overlaps = compute_overlaps(Anchors.from_boxes(source), target, preset.conventions)
        np.testing.assert_array_equal(overlaps.best_iou, np.nan_to_num(expected).max(axis=1))
    else:
        anchors = Anchors.from_boxes(source)
        mine = np.stack([largest_overlap(anchors, box[None], preset.conventions, "anchor") for box in target], axis=1)
    np.testing.assert_array_equal(mine, expected)


def _check_matterport_frames(inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]):
    height, width = inputs["shape"].tolist()
    size = Frame((height, width), (height, width), (height, width), (1, 1), (0, 0), (height, width))
    scale, shift = proposals._normal_frame(size)
    yxyx = [1, 0, 3, 2]
    norm = ((inputs["src"].astype(np.float64) - shift[yxyx]) / scale[yxyx]).astype(np.float32)
    np.testing.assert_array_equal(norm, outputs["norm_boxes"])
    np.testing.assert_array_equal(np.round(norm * scale[yxyx] + shift[yxyx]), outputs["denorm_boxes"])


def _assert_boxes(actual: np.ndarray, expected: np.ndarray):
    """A coordinate is a difference of two numbers as large as the box: 1e-6 holds relative to the larger of them."""
    finite = np.where(np.isfinite(expected), np.abs(expected), 0)
    scale = np.maximum(finite.max(axis=1, keepdims=True), 1e-3)
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(actual.astype(np.float64) - expected) / scale
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected)) | (off <= RTOL)
    assert same.all(), f"{np.count_nonzero(~same)} coordinates differ, largest {np.nanmax(np.where(same, 0, off))}"


# ---------------------------------------------------------------------- proposals


def check_proposals(case: Case):
    variant = "old" if case.params.get("variant") == "old" else ""
    preset = translate.preset_of(case, variant)
    inputs, outputs = case.arrays()
    anchors = translate.anchors_of(case, inputs, preset)
    values = translate.proposal_params(case)
    for image in range(case.params.get("batch", len(inputs.get("image_sizes", [0])))):
        size, logits, moves, probabilities = _maps(case, inputs, anchors, image)
        decoded = proposals.decode_flat(
            anchors, logits, moves, size, preset.params.coder, preset.conventions, probabilities
        )
        candidates = proposals.pick_candidates(
            decoded, anchors, size, values["pre"], values["min_size"], preset.conventions
        )
        eligible = proposals.select_eligible(candidates, values["min_size"], values["score"], preset.conventions)
        result = proposals.finish_proposals(
            anchors, candidates, eligible, values["nms"], values["post"], preset.conventions
        )
        if case.framework == "matterport":
            _assert_matterport(case, result, outputs, image)
            continue
        if case.framework == "py-faster-rcnn":
            expected = {
                "boxes": outputs["rois"][:, 1:],
                "scores": outputs["scores"],
                "anchor_index": outputs["anchor_index"],
            }
            large = next(stage for stage in result.stages if stage.name == "min_size").indices
            np.testing.assert_array_equal(large, outputs["after_size_filter"])
        else:
            expected = {name: outputs[f"{name}_{image}"] for name in ("boxes", "scores", "anchor_index")}
        if case.entry["comparison"].startswith("order-tolerant"):
            _assert_admissible(result, decoded, expected, values["nms"], anchors, size, preset)
        else:
            np.testing.assert_array_equal(result.anchor_index, expected["anchor_index"])
            np.testing.assert_allclose(result.scores, expected["scores"], rtol=RTOL)
            _assert_boxes(result.boxes, expected["boxes"])


def _maps(case: Case, inputs: dict[str, np.ndarray], anchors: Anchors, image: int):
    """The frame of an image, and logits (A,), deltas (A, 4) and probabilities (A,) in the order of the anchors."""
    padded = translate.canvas_size(case, inputs)
    if case.framework == "matterport":
        size = Frame(padded, padded, padded, (1.0, 1.0), (0, 0), padded)
        scores = inputs["fg_scores"][image]
        return size, scores, translate.xyxy(case, inputs["deltas"][image]), scores
    if case.framework == "py-faster-rcnn":
        height, width, scale = inputs["im_info"][image].tolist()
        resized = (int(height), int(width))
        size = Frame(resized, resized, resized, (scale, scale), (0, 0), resized)
        scores = inputs["fg_scores"][image].transpose(1, 2, 0).reshape(-1)
        cells, rows, columns = inputs["fg_scores"][image].shape
        moves = inputs["deltas"][image].reshape(cells, 4, rows, columns).transpose(2, 3, 0, 1).reshape(-1, 4)
        return size, scores, moves, scores
    resized = tuple(inputs["image_sizes"][image].tolist())
    size = Frame(resized, resized, padded, (1.0, 1.0), (0, 0), padded)
    logits, moves = [], []
    for number, level in enumerate(anchors.lattice):
        logits.append(inputs[f"objectness_l{number}"][image].transpose(1, 2, 0).reshape(-1))
        shape = (level.cells, 4, *level.grid)
        moves.append(inputs[f"deltas_l{number}"][image].reshape(shape).transpose(2, 3, 0, 1).reshape(-1, 4))
    return size, np.concatenate(logits), np.concatenate(moves), None


def _assert_matterport(case: Case, result: proposals.ProposalResult, outputs: dict[str, np.ndarray], image: int):
    count = int(outputs["n_kept"][image])
    assert len(result.kept) == count
    np.testing.assert_array_equal(result.anchor_index, outputs["kept_anchor_index"][image][:count])
    normalised = translate.xyxy(case, result.candidates.nms_boxes[result.kept])
    np.testing.assert_allclose(normalised, outputs["proposals"][image][:count], rtol=RTOL, atol=1e-6)
    assert (outputs["proposals"][image][count:] == 0).all()


def _assert_admissible(
    result: proposals.ProposalResult,
    decoded: proposals.Decoded,
    expected: dict[str, np.ndarray],
    threshold: float,
    anchors: Anchors,
    size: Frame,
    preset: Preset,
):
    """Tied scores leave the order open; what is certain must still hold."""
    index = expected["anchor_index"]
    _assert_boxes(clip_boxes(decoded.boxes[index], size.resized_size), expected["boxes"])
    scores = decoded.rank[index]
    if preset.conventions.score == "logit_then_sigmoid":
        scores = proposals.sigmoid(scores)
    np.testing.assert_allclose(scores, expected["scores"], rtol=RTOL)
    # The reference found its indices by looking boxes up; one that several levels make alike may name the wrong level.
    candidates = result.candidates
    made_by: dict[bytes, set[int]] = {}
    for box, level in zip(clip_boxes(decoded.boxes, size.resized_size), anchors.levels.tolist(), strict=True):
        made_by.setdefault(box.tobytes(), set()).add(level)
    certain = np.array(
        [len(made_by[box.tobytes()]) == 1 for box in clip_boxes(decoded.boxes[index], size.resized_size)]
    )
    assert certain.mean() > 0.95
    for level in range(len(anchors.lattice)):
        kth = candidates.scores[candidates.levels == level].min()
        assert (scores[certain & (anchors.levels[index] == level)] >= kth * (1 - RTOL)).all()
    assert (np.diff(result.scores) <= 0).all()
    assert (np.diff(expected["scores"]) <= 0).all()
    for boxes, kept in ((result.boxes, result.anchor_index), (expected["boxes"][certain], index[certain])):
        levels = anchors.levels[kept]
        for level in np.unique(levels):
            iou = box_iou(boxes[levels == level], boxes[levels == level])
            np.fill_diagonal(iou, 0)
            assert iou.max(initial=0) <= np.float32(threshold)


def check_nms(case: Case):
    preset = translate.preset_of(case)
    inputs, outputs = case.arrays()
    boxes, scores = inputs["boxes"], inputs["scores"]
    for name, expected in outputs.items():
        used = translate.python_nms(preset) if name == "keep_py" else preset
        groups = nms.make_groups(boxes, scores, np.zeros(len(boxes), np.uint8), used.conventions)
        result = nms.suppress(groups, len(boxes), case.params["iou_threshold"], used.conventions)
        order = nms.by_falling_score(scores, used.conventions)
        np.testing.assert_array_equal(order[result.kept[order]], expected)


# ---------------------------------------------------------------------- image size and ground truth


def check_resize(case: Case):
    RESIZE[case.framework](case)


def _rows(case: Case):
    inputs, outputs = case.arrays()
    preset = translate.preset_of(case)
    for row, size in enumerate(inputs["hw"].tolist()):
        yield preset, row, tuple(size), inputs, outputs


def check_torchvision_resize(case: Case):
    for preset, row, size, inputs, outputs in _rows(case):
        params = dataclasses.replace(
            preset.params.resize,
            min_size=int(inputs["min_size"][row]),
            max_size=int(inputs["max_size"][row]),
            pad_multiple=int(inputs["size_divisible"][row]),
        )
        sizes = frame.make_frame(size, params, preset.conventions)
        assert list(sizes.resized_size) == outputs["resized_hw"][row].tolist()
        assert list(sizes.input_size) == outputs["padded_hw"][row].tolist()
        boxes = frame.scale_ground_truth(inputs["boxes"][row].astype(np.float64), sizes, preset.conventions)
        np.testing.assert_array_equal(boxes, outputs["boxes"][row])


def check_detectron2_resize(case: Case):
    for preset, row, size, inputs, outputs in _rows(case):
        params = dataclasses.replace(
            preset.params.resize, min_size=int(inputs["short_edge"][row]), max_size=int(inputs["max_size"][row])
        )
        sizes = frame.make_frame(size, params, preset.conventions)
        assert list(sizes.resized_size) == outputs["resized_hw"][row].tolist()
        assert list(sizes.input_size) == outputs["padded_hw_div32"][row].tolist()


def check_mmdetection_resize(case: Case):
    for preset, row, size, inputs, outputs in _rows(case):
        params = dataclasses.replace(
            preset.params.resize, min_size=int(inputs["scale_short"][row]), max_size=int(inputs["scale_long"][row])
        )
        sizes = frame.make_frame(size, params, preset.conventions)
        assert list(sizes.resized_size) == outputs["resized_hw"][row].tolist()
        assert frame._resized_size(size, params, preset.conventions)[1] == outputs["scale_factor"][row]


def check_matterport_resize(case: Case):
    modes = {"square": ResizeMode.SQUARE, "pad64": ResizeMode.SHORTEST_EDGE, "none": ResizeMode.NONE}
    for preset, row, size, inputs, outputs in _rows(case):
        mode = str(inputs["mode"][row])
        params = dataclasses.replace(
            preset.params.resize,
            mode=modes[mode],
            min_size=max(int(inputs["min_dim"][row]), 1),
            # pad64 has no limit, none has no padding.
            max_size=int(inputs["max_dim"][row]) if mode == "square" else 100_000,
            min_scale=float(inputs["min_scale"][row]),
            pad_multiple=64 if mode == "pad64" else 1,
        )
        sizes = frame.make_frame(size, params, preset.conventions)
        (top, left), (height, width) = sizes.offset, sizes.resized_size
        assert list(sizes.input_size) == outputs["out_hw"][row].tolist()
        assert [top, left, top + height, left + width] == outputs["window"][row].tolist()
        bottom, right = sizes.input_size[0] - top - height, sizes.input_size[1] - left - width
        assert [top, bottom, left, right] == outputs["padding"][row].tolist()
        assert frame._resized_size(size, params, preset.conventions)[1] == outputs["scale"][row]


def check_py_faster_rcnn_resize(case: Case):
    for preset, row, size, inputs, outputs in _rows(case):
        params = dataclasses.replace(
            preset.params.resize, min_size=int(inputs["target_size"][row]), max_size=int(inputs["max_size"][row])
        )
        sizes = frame.make_frame(size, params, preset.conventions)
        assert list(sizes.resized_size) == outputs["resized_hw"][row].tolist()
        assert sizes.scale == (outputs["im_scale"][row],) * 2
        assert (
            list(grid_shapes(sizes.input_size, preset.params.anchors)[0])
            == outputs["feature_shape_vgg16"][row].tolist()
        )


def check_keras_retinanet_resize(case: Case):
    for preset, row, size, inputs, outputs in _rows(case):
        params = dataclasses.replace(
            preset.params.resize, min_size=int(inputs["min_side"][row]), max_size=int(inputs["max_side"][row])
        )
        assert frame.make_frame(size, params, preset.conventions).scale == (outputs["scale"][row],) * 2


RESIZE = {
    "torchvision": check_torchvision_resize,
    "detectron2": check_detectron2_resize,
    "mmdetection": check_mmdetection_resize,
    "matterport": check_matterport_resize,
    "py-faster-rcnn": check_py_faster_rcnn_resize,
    "keras-retinanet": check_keras_retinanet_resize,
}


def check_gt_boxes(case: Case):
    preset = translate.preset_of(case)
    inputs, outputs = case.arrays()
    for box, sizes, expected in zip(
        inputs["boxes_xyxy"], inputs["image_hw_min_max"].tolist(), outputs["boxes_yxyx"], strict=True
    ):
        params = dataclasses.replace(preset.params.resize, min_size=sizes[2], max_size=sizes[3])
        size = frame.make_frame((sizes[0], sizes[1]), params, preset.conventions)
        mine = frame.scale_ground_truth(box[None].astype(np.float64), size, preset.conventions)
        np.testing.assert_array_equal(translate.xyxy(case, mine)[0], expected)


CHECKS = {
    "anchors": check_anchors,
    "base_anchors": check_base_anchors,
    "matching": check_matching,
    "codec": check_codec,
    "proposals": check_proposals,
    "nms": check_nms,
    "resize": check_resize,
    "gt_boxes": check_gt_boxes,
}
