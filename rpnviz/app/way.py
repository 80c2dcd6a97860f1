"""The way of the selected box through the stages: sentences, and what the canvas draws at each of them.

No widget: a step is text, boxes and arrows in original pixels, and boxes that one can go to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from rpnviz.app import texts
from rpnviz.app.viewing import Selection
from rpnviz.core.anchors import level_name
from rpnviz.core.conventions import NmsGrouping, TieRule
from rpnviz.core.explain import explain
from rpnviz.core.matching import AnchorState, Rank
from rpnviz.core.pipeline import Result
from rpnviz.core.proposals import Fate, candidate_row, clipped_boxes
from rpnviz.core.terms import terms
from rpnviz.core.trace import (
    AnchorTrace,
    CoverTrace,
    ProposalTrace,
    Rule,
    Suppression,
    ranked_anchors,
    trace_anchor,
    trace_cover,
    trace_proposal,
)
from rpnviz.drawing.options import World

Box = tuple[float, float, float, float]
"""(x1, y1, x2, y2), original pixels."""
Point = tuple[float, float]
Arrow = tuple[Point, Point]

_MOST_LINKS = 6
_MOST_MARKS = 3
_MOST_MEMBERS = 200
"""Boxes of a cluster that are drawn; more would cover what is below them."""


class Look(StrEnum):
    """How a box of a step is drawn."""

    SELECTED = "selected"
    """The box that is followed."""
    ANCHOR = "anchor"
    """Where it comes from."""
    OTHER = "other"
    """One that decides about it."""
    SUPPRESSED = "suppressed"
    """One that it suppresses."""


@dataclass(frozen=True)
class Mark:
    """A box that a step draws."""

    box: Box
    look: Look


@dataclass(frozen=True)
class Link:
    """Something to go to."""

    text: str
    selection: Selection


@dataclass(frozen=True)
class Step:
    """One stage of the way.

    Attributes:
        title: its name.
        text: what happens there.
        lost: whether the box, or the best one, is lost there.
        marks: boxes that are drawn.
        arrows: from and to, original pixels.
        links: boxes to go to.
    """

    title: str
    text: str
    lost: bool = False
    marks: tuple[Mark, ...] = ()
    arrows: tuple[Arrow, ...] = ()
    links: tuple[Link, ...] = ()


def make_way(result: Result, world: World, selection: Selection, names: tuple[str, ...]) -> tuple[Step, ...]:
    """The steps of what is selected; none for nothing, for many boxes and for a box that no stage knows.

    Args:
        result: of the world.
        world: which.
        selection: what is selected.
        names: categories of the ground truth.
    """
    model = world is World.MODEL and result.proposals is not None
    if selection.many is not None:
        return ()
    if selection.anchor is not None and selection.anchor < len(result.anchors):
        return _of_proposal(result, selection, names) if model else _of_anchor(result, selection, names)
    if selection.gt is not None and selection.gt < len(result.gt.boxes):
        if model:
            return _of_cover(result, selection.gt)
        return _of_gt(result, selection.gt) if result.match.gt_trained[selection.gt] else ()
    return ()


# ---------------------------------------------------------------------- training


def _of_anchor(result: Result, selection: Selection, names: tuple[str, ...]) -> tuple[Step, ...]:
    assert selection.anchor is not None
    found = trace_anchor(result, selection.anchor)
    box = _to_original(result, result.anchors.boxes[found.anchor])
    own = Mark(box, Look.SELECTED)
    near = [Link(f"{float(iou):.3f}  GT {gt} {names[gt]}", Selection(gt=gt)) for gt, iou in _first(found)]
    more = len(found.gts) - len(near)
    touches = f"It touches {len(found.gts):,} {'box' if len(found.gts) == 1 else 'boxes'}"
    overlap = f"{touches}{', the best' if more else ''}:" if near else "It touches no ground truth."
    steps = [
        Step("Anchor", _coordinates(result, found.anchor), marks=(own,)),
        Step("Overlap", overlap, marks=(own,), links=tuple(near)),
        Step("Label", rule_sentence(result, found, names), marks=(own,)),
        Step("Mini-batch", _draw_sentence(result, found), marks=(own,)),
    ]
    if found.target is not None and found.deltas is not None:
        words = zip(terms(result.conventions).targets, found.deltas.tolist(), strict=True)
        text = f"{', '.join(f'{name} {value + 0.0:z.3f}' for name, value in words)}: onto GT {found.target}."
        target = _box(result.inputs.gt_boxes[found.target])
        steps.append(Step("Target", text, marks=(own,), arrows=_arrow(box, target)))
    return tuple(steps)


def _first(found: AnchorTrace) -> list[tuple[int, float]]:
    return list(zip(found.gts[:_MOST_LINKS].tolist(), found.ious[:_MOST_LINKS].tolist(), strict=True))


def _coordinates(result: Result, anchor: int) -> str:
    """Where an anchor stands: shape, and its corners in both frames."""
    place, box = result.anchors.place(anchor), result.anchors.boxes[anchor]
    level = result.anchors.lattice[place.level]
    original = result.frame.to_original(box[None])[0]
    return (
        f"Shape {place.cell + 1} of {level.cells}, grid {level.grid[0]} x {level.grid[1]}.\n"
        f"Image {_corners(original)}\nInput {_corners(box)}"
    )


def _corners(box: NDArray) -> str:
    return ", ".join(f"{float(value) + 0.0:z.1f}" for value in box)


def rule_sentence(result: Result, found: AnchorTrace, names: tuple[str, ...]) -> str:
    """Why an anchor has its state."""
    params, best = result.params.match, float(result.match.best_iou[found.anchor])
    high, low = params.fg_iou_thresh, params.bg_iou_thresh
    state = texts.STATE_TEXT[found.state]
    forced = ", ".join(f"GT {gt} {names[gt]}".rstrip() for gt in found.forced_by[:3])
    why = {
        Rule.REACHES: lambda: f"its IoU {texts.iou_pair(best, high)[0]} reaches {texts.iou_pair(best, high)[1]}",
        Rule.FORCED: lambda: _forced_sentence(result, found, forced),
        Rule.BELOW: lambda: (
            f"its best IoU {texts.iou_pair(best, low)[0]} is {terms(result.conventions).negative.words} "
            f"{texts.iou_pair(best, low)[1]}"
        ),
        Rule.TAKEN_BACK: lambda: (
            f"it is the best anchor of {forced}, but negatives are set last, and its IoU "
            f"{texts.iou_beside(best, low)} is below {low:.2f}"
        ),
        Rule.BETWEEN: lambda: f"its best IoU {texts.iou_beside(best, low, high)} is between {low:.2f} and {high:.2f}",
        Rule.TOUCHES_CROWD: lambda: "it touches a crowd region, and may not be negative there",
        Rule.BORDER: lambda: f"it reaches beyond the image (border_thresh {params.border_thresh:g})",
        Rule.PADDING: lambda: "it stands on the padding",
        Rule.CENTRE: lambda: "its centre lies beyond the image, on the padding",
        Rule.IGNORE: lambda: f"more than {params.ignore_iof_thresh:.0%} of it lies in an ignore region",
        Rule.NO_GROUND_TRUTH: lambda: "no box is trained on",
        Rule.SKIPPED: lambda: "the trainer does not train on this image",
    }[found.rule]()
    return f"{state}: {why}."


def _forced_sentence(result: Result, found: AnchorTrace, forced: str) -> str:
    """Whose best anchor it is, or which box touches none, so that every anchor is taken."""
    touching = set(found.gts.tolist())
    if not touching & set(found.forced_by):
        which = "the first" if result.conventions.tie_rule is TieRule.FIRST else "every"
        return f"{forced} touches no anchor, and the low-quality rule then takes {which} anchor"
    return f"it is the best anchor of {forced} (low-quality rule)"


def _draw_sentence(result: Result, found: AnchorTrace) -> str:
    if found.state not in (AnchorState.POSITIVE, AnchorState.FORCED, AnchorState.NEGATIVE):
        return "Never drawn: it has no label."
    if not terms(result.conventions).draws:
        return "Trained on: there is no mini-batch, all positives and negatives train."
    kind = "negatives" if found.state is AnchorState.NEGATIVE else "positives"
    drawn = len(result.sample.negative if found.state is AnchorState.NEGATIVE else result.sample.positive)
    counts = result.match.counts
    total = counts[AnchorState.NEGATIVE]
    if found.state is not AnchorState.NEGATIVE:
        total = counts[AnchorState.POSITIVE] + counts[AnchorState.FORCED]
    begin = "Drawn into this mini-batch" if found.drawn else "Not drawn this time"
    return f"{begin}: {drawn:,} of {total:,} {kind} are, a chance of {_percent(found.probability)}."


def _percent(share: float) -> str:
    """Two digits, so that a tenth of a percent does not read as none."""
    return f"{share * 100:.2g} %" if share < 0.995 else f"{share * 100:.0f} %"


def _of_gt(result: Result, gt: int) -> tuple[Step, ...]:
    index, iou = ranked_anchors(result, gt, _MOST_LINKS)
    if not len(index):
        return ()
    links: list[Link] = []
    marks: tuple[Mark, ...] = ()
    arrows: tuple[Arrow, ...] = ()
    if result.match.ranks[gt] is Rank.NONE:
        # Its positives are on the picture; where there are none, the anchors that would fit it best are.
        marks = tuple(
            Mark(_to_original(result, result.anchors.boxes[anchor]), Look.ANCHOR) for anchor in index[:_MOST_MARKS]
        )
        thief = explain(result, gt).stolen_by
        if thief is not None:
            stolen = Mark(_to_original(result, result.anchors.boxes[thief.anchor]), Look.OTHER)
            marks, arrows = (stolen,), _arrow(stolen.box, _box(result.inputs.gt_boxes[thief.gt]))
    for anchor, value in zip(index.tolist(), iou.tolist(), strict=True):
        state = texts.SHORT_STATE[AnchorState(result.match.state[anchor])].split(" (")[0]
        target = int(result.match.matched_gt[anchor])
        whose = f" for GT {target}" if result.match.labels[anchor] == 1 and target != gt else ""
        links.append(Link(f"{value:.3f}  {_brief(result, anchor)}, {state}{whose}", Selection(gt=gt, anchor=anchor)))
    return (Step("Anchors", "", marks=marks, arrows=arrows, links=tuple(links)),)


# ---------------------------------------------------------------------- proposals

_TITLES = {
    "all": "Decoded",
    "top_k": "Best-scored",
    "clip": "Clipped",
    "min_size": "Size",
    "score": "Score",
    "nms": "NMS",
    "top_n": "Kept",
}


def _of_proposal(result: Result, selection: Selection, names: tuple[str, ...]) -> tuple[Step, ...]:
    assert selection.anchor is not None
    found = trace_proposal(result, selection.anchor)
    anchor = Mark(_to_original(result, result.anchors.boxes[found.anchor]), Look.ANCHOR)
    decoded = Mark(_to_original(result, found.decoded), Look.SELECTED)
    clipped = Mark(_to_original(result, found.clipped), Look.SELECTED)
    steps = [Step("Anchor", _coordinates(result, found.anchor), marks=(Mark(anchor.box, Look.SELECTED),))]
    cut = False
    telling = _telling(result, found)
    for name in [*found.stages, *([found.dropped] if found.dropped else [])]:
        lost = name == found.dropped
        cut = cut or name == "clip"
        if name not in telling:
            continue
        box = clipped if cut and name != "all" else decoded
        marks: tuple[Mark, ...] = (anchor, box)
        links: tuple[Link, ...] = ()
        arrows = _arrow(anchor.box, box.box)
        if name == "nms":
            more, towards, links = _nms_marks(result, selection, found, box)
            marks, arrows = (anchor, *more), arrows + towards
        steps.append(Step(_TITLES[name], _stage_sentence(result, found, name), lost, marks, arrows, links))
    if found.number is not None:
        best, gt = texts.covered_gt(result, found.clipped)
        text = f"It covers GT {gt} {names[gt]} with IoU {best:.3f}." if gt is not None else "It covers no ground truth."
        link = () if gt is None else (Link(f"Go to GT {gt} {names[gt]}", Selection(gt=gt)),)
        arrows = _arrow(anchor.box, clipped.box)
        arrows += () if gt is None else _arrow(clipped.box, _box(result.inputs.gt_boxes[gt]))
        steps.append(Step("Covers", text, marks=(anchor, clipped), arrows=arrows, links=link))
    return tuple(steps)


def _telling(result: Result, found: ProposalTrace) -> set[str]:
    """Stages that say something about a box: all that can drop one here, and the cut to the image if it cuts this."""
    assert result.proposals is not None
    names = {stage.name for stage in result.proposals.stages if len(stage.dropped)}
    if not np.array_equal(found.decoded, found.clipped):
        names.add("clip")
    return names | {"all", "nms", "top_n"}


def _nms_marks(
    result: Result, selection: Selection, found: ProposalTrace, box: Mark
) -> tuple[tuple[Mark, ...], tuple[Arrow, ...], tuple[Link, ...]]:
    """What NMS does to a box: its suppressor with an arrow towards it, or its cluster."""
    by = found.suppressed_by
    if by is not None:
        other = _proposal_box(result, by.anchor)
        link = Link("Go to that box", _same(selection, by.anchor))
        return (Mark(other, Look.OTHER), box), _arrow(box.box, other), (link,)
    assert result.proposals is not None
    members = np.array([member.anchor for member in found.cluster[:_MOST_MEMBERS]], np.int64)
    candidates = result.proposals.candidates
    row_of = {anchor: row for row, anchor in enumerate(candidates.anchor_index.tolist())} if len(members) else {}
    rows = [row_of[anchor] for anchor in members.tolist()]
    boxes = result.frame.to_original(candidates.boxes[rows])
    cluster = [Mark(_box(box), Look.SUPPRESSED) for box in boxes]
    links = tuple(_member(result, selection, member) for member in found.cluster[:_MOST_LINKS])
    return (*cluster, box), (), links


def _member(result: Result, selection: Selection, member: Suppression) -> Link:
    score = texts.objectness_text(_objectness(result, member.anchor))
    return Link(f"IoU {member.iou:.2f}, objectness {score}", _same(selection, member.anchor))


def _same(selection: Selection, anchor: int) -> Selection:
    return Selection(gt=selection.gt, anchor=anchor)


def _stage_sentence(result: Result, found: ProposalTrace, name: str) -> str:
    params, means = result.params.proposals, terms(result.conventions)
    lost = name == found.dropped
    if name == "all":
        wide, high = found.growth
        return (
            f"Objectness {texts.objectness_text(found.probability)} (logit {found.logit:.2f}). Moved by "
            f"{_px(found.moved)} px at the input, {wide:.2f} x as wide, {high:.2f} x as high."
        )
    if name == "top_k":
        rank = f"Rank {found.rank:,} of {found.ranked:,} of {_ranked_in(result, found.anchor)}"
        return f"{rank}: only the best {found.limit:,} pass." if lost else f"{rank}; the best {found.limit:,} pass."
    if name == "clip":
        if lost:
            return "Dropped: not a number."
        return f"To the image: {_size(found.clipped)} px at the input."
    if name == "min_size":
        if means.side is None:
            return "No box is too small."
        limit = f"both sides {means.side.words} {params.min_size:g} px ({means.side_frame})"
        return f"Too small: it takes {limit}." if lost else f"Large enough: {limit}."
    if name == "score":
        verdict = "Too low" if lost else "High enough"
        return f"{verdict}: objectness of at least {params.score_thresh:g} is asked for."
    if name == "nms":
        return _nms_sentence(result, found)
    assert result.proposals is not None
    if found.number is not None:
        return f"Kept as number {found.number:,} of {len(result.proposals.kept):,}."
    return f"Not among the best {params.post_nms:,} after NMS."


def _nms_sentence(result: Result, found: ProposalTrace) -> str:
    threshold = result.params.proposals.nms_thresh
    words = "more than" if terms(result.conventions).nms.words == "above" else "at least"
    by = found.suppressed_by
    if by is not None:
        iou, limit = texts.iou_pair(by.iou, threshold)
        score = texts.objectness_text(_objectness(result, by.anchor))
        return f"Suppressed by a better box (objectness {score}): IoU {iou} with it, {words} {limit} is too much."
    number = len(found.cluster)
    joint = result.conventions.nms_grouping is NmsGrouping.JOINT
    of = "" if joint else " of its level"
    left = f"Survives: no better survivor{of} overlaps it by {words} {threshold:.2f}."
    if not number:
        return f"{left} It suppresses none."
    more = ", the best" if number > _MOST_LINKS else ""
    noun = "box" if number == 1 else "boxes"
    return f"{left} It suppresses {number:,} {noun}{more}:"


def _of_cover(result: Result, gt: int) -> tuple[Step, ...]:
    found = trace_cover(result, gt)
    target = _box(result.inputs.gt_boxes[gt])
    assert result.proposals is not None
    steps = []
    for number, (cover, stage) in enumerate(zip(found.covers, result.proposals.stages, strict=True)):
        lost = number == found.lost_at
        if number and not len(stage.dropped) and cover.stage != "top_n":
            continue
        text = _lost_sentence(result, found) if lost else "" if cover.anchor is not None else "No box touches it."
        marks: tuple[Mark, ...] = ()
        links = []
        arrows: tuple[Arrow, ...] = ()
        if cover.anchor is not None:
            box = _proposal_box(result, cover.anchor)
            marks, arrows = (Mark(box, Look.OTHER),), _arrow(box, target)
            links.append(Link(f"Best IoU {cover.iou:.2f}", Selection(gt=gt, anchor=cover.anchor)))
        if lost and found.lost is not None:
            links.append(Link("Follow the lost box", Selection(gt=gt, anchor=found.lost.anchor)))
        title = "All boxes" if cover.stage == "all" else _TITLES[cover.stage]
        steps.append(Step(title, text, lost, marks, arrows, tuple(links)))
    return tuple(steps)


def _ranked_in(result: Result, anchor: int) -> str:
    """What a box's rank counts: its level, or the image."""
    joint = terms(result.conventions).pre_nms_scope == "per image"
    return "the image" if joint else _level(result, anchor)


def _lost_sentence(result: Result, found: CoverTrace) -> str:
    """``Lost here: the best, IoU 0.91, was suppressed by one with IoU 0.66 to this GT.``"""
    assert found.lost_at is not None
    assert found.lost is not None
    before, way = found.covers[found.lost_at - 1], found.lost
    begin = f"Lost here: the best, IoU {before.iou:.2f},"
    if found.by_iou is not None:
        return f"{begin} was suppressed by one with IoU {found.by_iou:.2f} to this GT."
    if way.dropped == "top_k":
        return f"{begin} has rank {way.rank:,} of {_ranked_in(result, way.anchor)}; the best {way.limit:,} pass."
    if way.fate is Fate.TOP_N:
        return f"{begin} is not among the best {result.params.proposals.post_nms:,}."
    if way.fate is Fate.LOW_SCORE:
        asked = result.params.proposals.score_thresh
        return f"{begin} has an objectness of {texts.objectness_text(way.probability)}; {asked:g} is asked for."
    return f"{begin} was dropped: {_TITLES[found.covers[found.lost_at].stage].lower()}."


# ---------------------------------------------------------------------- geometry


def _level(result: Result, anchor: int) -> str:
    place = result.anchors.place(anchor)
    return level_name(result.params.anchors.strides[place.level], place.level)


def _proposal_box(result: Result, anchor: int) -> Box:
    """What the model makes of an anchor, cut to the image."""
    assert result.proposals is not None
    assert result.decoded is not None
    row = candidate_row(result.proposals, anchor)
    if row is not None:
        return _to_original(result, result.proposals.candidates.boxes[row])
    decoded = result.decoded.boxes[anchor : anchor + 1]
    return _to_original(result, clipped_boxes(decoded, result.frame, result.conventions)[0])


def _objectness(result: Result, anchor: int) -> float:
    """Probability of a candidate."""
    assert result.proposals is not None
    row = candidate_row(result.proposals, anchor)
    assert row is not None
    return float(result.proposals.candidates.objectness_prob[row])


def _to_original(result: Result, box: NDArray) -> Box:
    return _box(result.frame.to_original(box[None])[0])


def _box(values: NDArray) -> Box:
    x1, y1, x2, y2 = (float(value) for value in values)
    return x1, y1, x2, y2


def _arrow(start: Box, end: Box) -> tuple[Arrow, ...]:
    """From the middle of one box to that of another; none where a middle is not a number."""
    points = tuple(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) for box in (start, end))
    whole = all(math.isfinite(value) for point in points for value in point)
    return ((points[0], points[1]),) if whole else ()


def _brief(result: Result, anchor: int) -> str:
    """``P4 20,17 128 x 128``: level, row and column, size at the input."""
    place = result.anchors.place(anchor)
    return f"{_level(result, anchor)} {place.row},{place.column} {_size(result.anchors.boxes[anchor])}"


def _size(box: NDArray) -> str:
    return f"{_px(float(box[2]) - float(box[0]))} x {_px(float(box[3]) - float(box[1]))}"


def _px(value: float) -> str:
    return f"{value:.0f}" if math.isfinite(value) else "?"
