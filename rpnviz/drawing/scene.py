"""What is drawn of a result: layers of boxes, back to front, and their key; pure data, no pixels.

A layer never hides boxes silently: ``shown`` below ``total`` says that it does, and ``why`` says by which rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.anchors import Anchors
from rpnviz.core.boxes import box_iou
from rpnviz.core.frame import Frame
from rpnviz.core.matching import WEAK_IOU, AnchorState, Rank
from rpnviz.core.pipeline import Result
from rpnviz.core.proposals import Decoded, Fate
from rpnviz.palette import Role

MAX_OUTLINES = 300
"""A layer of more boxes than this turns to density, or to the best of each ground-truth box."""
BEST_PER_GT = 3
"""Positives that stand for each ground-truth box until all are asked for."""
BEST_KEPT = 50
"""Proposals that are drawn until all are asked for."""
FINDS_IOU = 0.5
"""A proposal is drawn for a selected ground-truth box if its IoU with it is at least this."""
BACKGROUND_OPACITY = 0.35
"""Of the other ground truth while one box is selected."""


class World(StrEnum):
    """What training sees, or what the model says."""

    TRAINING = "training"
    MODEL = "model"


class LayerKey(StrEnum):
    """Name of a layer, for switches and settings."""

    GT = "gt"
    POSITIVE = "positive"
    FORCED = "forced"
    NEUTRAL = "neutral"
    NEGATIVE = "negative"
    LEFT_OUT = "left_out"
    CANDIDATES = "candidates"
    """Every box that enters NMS."""
    SUPPRESSED = "suppressed"
    KEPT = "kept"
    EVERYTHING = "everything"
    """All anchors, or all decoded boxes; not in :data:`LAYERS`, see ``LayerOptions.everything``."""


RANK_TEXT = {
    Rank.NONE: "No positive",
    Rank.FORCED: "Forced only",
    Rank.MATCHED: "Matched",
    Rank.NOT_TRAINED: "Not trained on",
}
"""A rank in the same words everywhere."""


@dataclass(frozen=True)
class LayerSpec:
    """One line of the key.

    Attributes:
        key: of the layer.
        title: on screen.
        role: how it looks.
        visible: by default.
        digit: key 1 to 9 that shows and hides it.
    """

    key: LayerKey
    title: str
    role: Role
    visible: bool
    digit: int


LAYERS: dict[World, tuple[LayerSpec, ...]] = {
    World.TRAINING: (
        LayerSpec(LayerKey.GT, "Ground truth", Role.GT, True, 1),
        LayerSpec(LayerKey.POSITIVE, "Positive", Role.POSITIVE, True, 2),
        LayerSpec(LayerKey.FORCED, "Forced positive", Role.FORCED, True, 3),
        LayerSpec(LayerKey.NEUTRAL, "Neutral (not trained on)", Role.NEUTRAL, False, 4),
        LayerSpec(LayerKey.NEGATIVE, "Negative", Role.NEGATIVE, False, 5),
        LayerSpec(LayerKey.LEFT_OUT, "Left out (border, padding, crowd)", Role.LEFT_OUT, False, 6),
    ),
    World.MODEL: (
        LayerSpec(LayerKey.GT, "Ground truth", Role.GT, True, 1),
        LayerSpec(LayerKey.CANDIDATES, "Before NMS", Role.PROPOSAL, False, 2),
        LayerSpec(LayerKey.SUPPRESSED, "Suppressed by NMS", Role.SUPPRESSED, False, 3),
        LayerSpec(LayerKey.KEPT, "Kept after NMS", Role.PROPOSAL, True, 4),
    ),
}

_BACK_TO_FRONT = (
    LayerKey.EVERYTHING,
    LayerKey.NEGATIVE,
    LayerKey.LEFT_OUT,
    LayerKey.NEUTRAL,
    LayerKey.CANDIDATES,
    LayerKey.SUPPRESSED,
    LayerKey.POSITIVE,
    LayerKey.KEPT,
    LayerKey.FORCED,
    LayerKey.GT,
)

_STATES = {
    LayerKey.POSITIVE: (AnchorState.POSITIVE,),
    LayerKey.FORCED: (AnchorState.FORCED,),
    LayerKey.NEUTRAL: (AnchorState.NEUTRAL,),
    LayerKey.NEGATIVE: (AnchorState.NEGATIVE,),
    LayerKey.LEFT_OUT: (AnchorState.LEFT_OUT_BORDER, AnchorState.LEFT_OUT_IGNORE),
}


@dataclass(frozen=True)
class LayerOptions:
    """What the user wants to see.

    Attributes:
        visible: layers that are switched on.
        show_all: layers that are drawn whole, as density if they are large, instead of the best of each box.
        selected_gt: index of a ground-truth box; only the anchors and proposals that concern it are drawn.
        everything: all anchors (decoded boxes in the Model world) as one density behind the rest.
    """

    visible: frozenset[LayerKey]
    show_all: frozenset[LayerKey] = frozenset()
    selected_gt: int | None = None
    everything: bool = False


def default_options(world: World) -> LayerOptions:
    """What a world shows at first."""
    return LayerOptions(frozenset(spec.key for spec in LAYERS[world] if spec.visible))


@dataclass(frozen=True, eq=False)
class Layer:
    """Boxes that look alike.

    Attributes:
        key: the switch they belong to; ground truth may come as several layers of the key GT.
        role: how they look.
        title: on screen.
        boxes: (N, 4) float64 xyxy, original pixels; broken ground truth stays in, NaN and all.
        ids: (N,) int64, ground-truth index for the key GT, else anchor index.
        shown: boxes drawn of this key; N, except where a key comes as several layers.
        total: boxes of this key in the image.
        dense: drawn as density, not as outlines.
        labels: N texts to write beside the boxes, or None.
        why: the rule by which ``shown`` is below ``total``, such as "best 3 per GT"; empty if it is not.
        opacity: 0 to 1.
    """

    key: LayerKey
    role: Role
    title: str
    boxes: NDArray[np.float64]
    ids: NDArray[np.int64]
    shown: int
    total: int
    dense: bool = False
    labels: tuple[str, ...] | None = None
    why: str = ""
    opacity: float = 1.0


@dataclass(frozen=True)
class LegendEntry:
    """One line of the key with its numbers; attributes as in :class:`Layer`, ``shown`` is 0 where it is hidden."""

    key: LayerKey
    role: Role
    title: str
    shown: int
    total: int
    visible: bool
    dense: bool = False
    why: str = ""


@dataclass(frozen=True, eq=False)
class _Choice:
    """The boxes of one key that are drawn: ``index`` are anchors (Training) or candidate rows (Model)."""

    index: NDArray[np.int64]
    total: int
    dense: bool
    why: str = ""


def make_layers(result: Result, world: World, options: LayerOptions, gt_names: Sequence[str] = ()) -> tuple[Layer, ...]:
    """The visible layers, back to front.

    Args:
        result: of the world's parameters; the Model world of a result without proposals has ground truth alone.
        world: which of the two.
        options: what is switched on, and how much of it.
        gt_names: category names of the ground truth, for its labels; may be shorter than it.
    """
    specs = {spec.key: spec for spec in LAYERS[world]}
    layers: list[Layer] = []
    for key in _BACK_TO_FRONT:
        if key is LayerKey.EVERYTHING:
            layers += _everything_layer(result, world, options)
        elif key not in specs or key not in options.visible:
            continue
        elif key is LayerKey.GT:
            layers += _gt_layers(result, world, options, gt_names)
        else:
            layers += _box_layer(result, world, specs[key], options)
    return tuple(layers)


def legend(result: Result, world: World, options: LayerOptions) -> tuple[LegendEntry, ...]:
    """Numbers of every layer of the world, hidden ones too, in the order of :data:`LAYERS`.

    With ``options.everything`` an entry of the key EVERYTHING comes last.
    """
    entries = []
    for spec in LAYERS[world]:
        visible = spec.key in options.visible
        if visible and spec.key is not LayerKey.GT:
            choice = _choose(result, world, spec.key, options)
            shown, total, dense, why = len(choice.index), choice.total, choice.dense, choice.why
        else:
            total = _total(result, world, spec.key)
            shown, dense, why = total if visible else 0, False, ""
        entries.append(LegendEntry(spec.key, spec.role, spec.title, shown, total, visible, dense, why))
    for layer in _everything_layer(result, world, options):
        entries.append(LegendEntry(layer.key, layer.role, layer.title, layer.shown, layer.total, True, True))
    return tuple(entries)


def gt_roles(result: Result, world: World = World.TRAINING, weak_iou: float = WEAK_IOU) -> tuple[Role, ...]:
    """How each ground-truth box is drawn: plain, with a problem, or as not trained on.

    How training fares says nothing about the model: red would blame it for another's thresholds.
    """
    problems = set(result.match.problems(weak_iou)) if world is World.TRAINING else set()
    return tuple(
        Role.LEFT_OUT if rank is Rank.NOT_TRAINED else Role.GT_PROBLEM if gt in problems else Role.GT
        for gt, rank in enumerate(result.match.ranks)
    )


def summary(result: Result, world: World) -> list[tuple[str, str]]:
    """Counts of an image in words, such as ``("anchors", "204,624")``, in the order of the pipeline."""
    match, sample = result.match, result.sample
    numbers: list[tuple[str, str]] = [("anchors", f"{len(result.anchors):,}")]
    if world is World.MODEL:
        if result.proposals is not None:
            numbers += [
                ("before NMS", f"{_total(result, world, LayerKey.CANDIDATES):,}"),
                ("suppressed by NMS", f"{_total(result, world, LayerKey.SUPPRESSED):,}"),
                ("kept after NMS", f"{len(result.proposals.kept):,}"),
            ]
        return [*numbers, ("ground truth", f"{len(match.ranks):,}")]
    counts = match.counts
    left_out = counts[AnchorState.LEFT_OUT_BORDER] + counts[AnchorState.LEFT_OUT_IGNORE]
    numbers += [
        ("positive", f"{counts[AnchorState.POSITIVE]:,}"),
        ("forced", f"{counts[AnchorState.FORCED]:,}"),
        ("neutral", f"{counts[AnchorState.NEUTRAL]:,}"),
        ("negative", f"{counts[AnchorState.NEGATIVE]:,}"),
    ]
    if left_out:
        numbers.append(("left out", f"{left_out:,}"))
    numbers += [
        ("mini-batch", f"{len(sample.positive):,} positive + {len(sample.negative):,} negative"),
        ("ground truth", f"{len(match.ranks):,}"),
    ]
    for rank in (Rank.MATCHED, Rank.FORCED, Rank.NONE, Rank.NOT_TRAINED):
        if rank in match.ranks:
            numbers.append((f"GT {RANK_TEXT[rank].lower()}", f"{match.ranks.count(rank):,}"))
    return numbers


def _total(result: Result, world: World, key: LayerKey) -> int:
    """Boxes of one key in the image."""
    if key is LayerKey.GT:
        return len(result.inputs.gt_boxes)
    if world is World.TRAINING:
        return sum(result.match.counts[state] for state in _STATES[key])
    if result.proposals is None:
        return 0
    return len(_candidate_rows(result, key))


def _candidate_rows(result: Result, key: LayerKey) -> NDArray[np.int64]:
    """Rows of the candidates that belong to a key of the Model world; KEPT best first."""
    proposals = result.proposals
    if proposals is None:
        return np.zeros(0, np.int64)
    if key is LayerKey.KEPT:
        return proposals.kept
    if key is LayerKey.SUPPRESSED:
        return np.flatnonzero(proposals.fate == Fate.SUPPRESSED)
    return np.flatnonzero((proposals.fate != Fate.SMALL) & (proposals.fate != Fate.LOW_SCORE))


def _choose(result: Result, world: World, key: LayerKey, options: LayerOptions) -> _Choice:
    """The boxes of a visible layer that are drawn."""
    if world is World.MODEL:
        return _choose_proposals(result, key, options)
    if key in (LayerKey.POSITIVE, LayerKey.FORCED):
        return _choose_positives(result, key, options)
    match = result.match
    states = _STATES[key]
    index = np.flatnonzero(np.isin(match.state, states) if len(states) > 1 else match.state == states[0])
    total, why = len(index), ""
    if options.selected_gt is not None:
        index = index[match.matched_gt[index] == options.selected_gt]
        why = _of_gt(options.selected_gt, len(index), total)
    # Negatives are never told apart by outlines: there are too many whatever the selection.
    dense = key is LayerKey.NEGATIVE or len(index) > MAX_OUTLINES
    return _Choice(index, total, dense and len(index) > 0, why)


def _choose_positives(result: Result, key: LayerKey, options: LayerOptions) -> _Choice:
    match = result.match
    positives = match.positives
    ours = match.state[positives] == _STATES[key][0]
    total = int(np.count_nonzero(ours))
    if options.selected_gt is not None:
        index = positives[ours & (match.matched_gt[positives] == options.selected_gt)]
        return _Choice(index, total, len(index) > MAX_OUTLINES, _of_gt(options.selected_gt, len(index), total))
    if key in options.show_all:
        return _Choice(positives[ours], total, total > MAX_OUTLINES)
    index = positives[ours & _best_per_gt(match.matched_gt[positives], match.best_iou[positives], BEST_PER_GT)]
    return _Choice(index, total, False, f"best {BEST_PER_GT} per GT" if len(index) < total else "")


def _best_per_gt(gt: NDArray[np.int64], iou: NDArray, number: int) -> NDArray[np.bool_]:
    """(N,) whether each is among the ``number`` best of its box; equal IoUs: the lower index first."""
    order = np.lexsort((-iou, gt))
    groups = gt[order]
    first = np.ones(len(groups), bool)
    first[1:] = groups[1:] != groups[:-1]
    starts = np.flatnonzero(first)
    lengths = np.diff(np.append(starts, len(groups)))
    place = np.arange(len(groups)) - np.repeat(starts, lengths)
    best = np.zeros(len(groups), bool)
    best[order[place < number]] = True
    return best


def _choose_proposals(result: Result, key: LayerKey, options: LayerOptions) -> _Choice:
    rows = _candidate_rows(result, key)
    total, why = len(rows), ""
    selected = options.selected_gt
    if selected is not None and result.proposals is not None and selected < len(result.gt.boxes):
        box = result.gt.boxes[selected : selected + 1].astype(np.float32)
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            iou = box_iou(result.proposals.candidates.boxes[rows], box)[:, 0]
        rows = rows[iou >= FINDS_IOU]
        why = f"IoU ≥ {FINDS_IOU:g} with GT {selected}" if len(rows) < total else ""
    elif key is LayerKey.KEPT and key not in options.show_all and total > BEST_KEPT:
        rows, why = rows[:BEST_KEPT], f"best {BEST_KEPT}"
    return _Choice(rows, total, len(rows) > MAX_OUTLINES, why)


def _of_gt(gt: int, shown: int, total: int) -> str:
    return f"of GT {gt}" if shown < total else ""


def _box_layer(result: Result, world: World, spec: LayerSpec, options: LayerOptions) -> list[Layer]:
    choice = _choose(result, world, spec.key, options)
    if world is World.TRAINING:
        ids, boxes = choice.index, result.anchors.boxes[choice.index]
    elif result.proposals is not None:
        candidates = result.proposals.candidates
        ids, boxes = candidates.anchor_index[choice.index], candidates.boxes[choice.index]
    else:
        return []
    layer = Layer(
        spec.key,
        spec.role,
        spec.title,
        result.frame.to_original(boxes),
        ids,
        len(ids),
        choice.total,
        choice.dense,
        why=choice.why,
    )
    return [layer]


def _everything_layer(result: Result, world: World, options: LayerOptions) -> list[Layer]:
    if not options.everything:
        return []
    source: Anchors | Decoded = result.anchors
    title = "All anchors"
    if world is World.MODEL and result.decoded is not None:
        source, title = result.decoded, "All decoded boxes"
    boxes = _all_original(source, result.frame)
    ids = np.arange(len(boxes))
    return [Layer(LayerKey.EVERYTHING, Role.NEGATIVE, title, boxes, ids, len(ids), len(ids), dense=True)]


@lru_cache(maxsize=2)
def _all_original(source: Anchors | Decoded, frame: Frame) -> NDArray[np.float64]:
    """All boxes of a result in original pixels; kept, because a threshold move changes none of them."""
    boxes = frame.to_original(source.boxes if isinstance(source, Anchors) else source.boxes_input)
    boxes.flags.writeable = False
    return boxes


def _gt_layers(result: Result, world: World, options: LayerOptions, names: Sequence[str]) -> list[Layer]:
    """Ground truth by role, problems in front; the selected box in front of all."""
    boxes = result.inputs.gt_boxes
    roles = gt_roles(result, world)
    labels = tuple(_gt_label(result, gt, roles[gt], names) for gt in range(len(boxes)))
    selected = options.selected_gt
    groups: dict[tuple[bool, Role], list[int]] = {}
    for in_front in (False, True):
        for role in (Role.LEFT_OUT, Role.GT, Role.GT_PROBLEM):
            groups[in_front, role] = []
    for gt, role in enumerate(roles):
        groups[gt == selected, role].append(gt)
    return [
        Layer(
            LayerKey.GT,
            role,
            "Ground truth",
            boxes[members],
            np.array(members, np.int64),
            len(boxes),
            len(boxes),
            labels=tuple(labels[gt] for gt in members),
            opacity=1.0 if in_front or selected is None else BACKGROUND_OPACITY,
        )
        for (in_front, role), members in groups.items()
        if members
    ]


def _gt_label(result: Result, gt: int, role: Role, names: Sequence[str]) -> str:
    """``7 coin``, ``7 coin ! no positive``, ``7 coin ! forced 0.42``, ``7 coin (not trained on)``."""
    name = f"{gt} {names[gt]}" if gt < len(names) and names[gt] else str(gt)
    if role is Role.LEFT_OUT:
        return f"{name} (not trained on)"
    if role is Role.GT_PROBLEM:
        none = result.match.ranks[gt] is Rank.NONE
        return f"{name} ! no positive" if none else f"{name} ! forced {float(result.match.gt_best_iou[gt]):.2f}"
    return name
