"""Why a ground-truth box fares as it does, in plain words with numbers."""

from __future__ import annotations

from rpnviz.app.texts import iou_pair
from rpnviz.core.anchors import level_name
from rpnviz.core.conventions import ForcedTarget
from rpnviz.core.explain import Cause, Explanation, LeftOutBy, Note, NoteKind, explain
from rpnviz.core.matching import WEAK_IOU, Rank
from rpnviz.core.pipeline import Result

_RULES = {
    LeftOutBy.BORDER: "they reach beyond the image's border (border_thresh)",
    LeftOutBy.PADDING: "they stand on the padding",
    LeftOutBy.CENTRE: "their centres lie on the padding",
    LeftOutBy.IGNORE: "they lie in an ignore region",
}


def gt_sentences(result: Result, gt: int) -> list[str]:
    """What a box's rank means for the training, why it is not matched, and what else is worth knowing."""
    found = explain(result, gt)
    lines = _first(result, found)
    if found.rank is not Rank.NOT_TRAINED and found.cause is not None:
        lines.append(_cause(result, found))
    lines += [_note(result, gt, note) for note in found.notes]
    if found.budget is not None and found.cause is not None:
        lines.append(budget_line(found))
    return lines


_SHORT = {
    Cause.SHAPE: "no shape fits",
    Cause.GRID: "grid too coarse",
    Cause.LEFT_OUT: "left out",
    Cause.STOLEN: "taken by another",
    Cause.INVALID_BOX: "no width or height",
    Cause.OUTSIDE_IMAGE: "outside the image",
    Cause.CROWD: "crowd or difficult",
}


def short_cause(found: Explanation) -> str:
    """The cause in a few words, ``left out: border`` or ``taken by GT 3``; empty for a matched box."""
    if found.cause is None:
        return ""
    if found.cause is Cause.LEFT_OUT and found.left_out_by is not None:
        return f"{_SHORT[found.cause]}: {found.left_out_by}"
    if found.cause is Cause.STOLEN and found.stolen_by is not None:
        return f"taken by GT {found.stolen_by.gt}"
    if found.cause is Cause.GRID and any(note.kind is NoteKind.OUTSIDE for note in found.notes):
        return _SHORT[Cause.OUTSIDE_IMAGE]
    return _SHORT[found.cause]


def budget_line(found: Explanation) -> str:
    """``Best IoU by step: shape 0.83, grid 0.61, allowed 0.61, own 0.58; 0.70 is needed``."""
    budget = found.budget
    assert budget is not None
    own = "none" if budget.own is None else f"{budget.own:.2f}"
    wanted = found.needed if found.rank is Rank.NONE else found.threshold
    needed = f"{wanted:.2f} is needed" if wanted > 0 else "more than 0 is needed"
    return (
        f"Best IoU by step: shape {budget.shape:.2f}, grid {budget.grid:.2f}, allowed {budget.allowed:.2f}, own {own}; "
        f"{needed}."
    )


def _first(result: Result, found: Explanation) -> list[str]:
    match found.cause:
        case Cause.CROWD:
            what = "Marked difficult" if result.inputs.gt_difficult else "A crowd region"
            return [f"{what}: removed before training."]
        case Cause.OUTSIDE_IMAGE:
            return ["It lies or reaches outside the image: removed before training."]
        case Cause.INVALID_BOX:
            return ["The box has no positive width and height, so no anchor can be matched with it."]
    best = found.best_iou or 0.0
    if found.rank is Rank.NONE:
        why = ": none overlaps it." if best <= 0 else f"; its best IoU is {best:.2f}."
        return [f"No anchor is trained towards it{why}"]
    if found.rank is Rank.FORCED:
        noun = "anchor" if found.positives == 1 else "anchors"
        shown, _ = iou_pair(best, found.threshold)
        lines = [f"Trains only on {found.positives:,} forced {noun}: the best there is, at IoU {shown}."]
        if best < WEAK_IOU:
            lines.append("That is a poor fit: regression has to do most of the work.")
        return lines
    reach = found.positives - found.forced
    return [f"{reach:,} of its {found.positives:,} positive anchors reach {found.threshold:.2f}."]


def _cause(result: Result, found: Explanation) -> str:
    budget, wanted = found.budget, found.threshold if found.rank is Rank.FORCED else found.needed
    assert budget is not None
    x1, y1, x2, y2 = result.gt.boxes[found.gt].tolist()
    size = f"{x2 - x1:.0f} x {y2 - y1:.0f}"
    needed = f"{wanted:.2f} is needed" if wanted > 0 else "more than 0 is needed"
    best = found.shape
    assert best is not None
    stride = result.params.anchors.strides[best.level]
    shape_text = f"{best.width:.0f} x {best.height:.0f} on {level_name(stride, best.level)}"
    match found.cause:
        case Cause.SHAPE:
            return (
                f"No anchor shape fits {size} px at the input ({_ratio(x2 - x1, y2 - y1)}): the best, {shape_text}, "
                f"reaches IoU {budget.shape:.2f} even on its very centre, and {needed}."
            )
        case Cause.GRID if any(note.kind is NoteKind.OUTSIDE for note in found.notes):
            return (
                f"It lies where there are no positions: the nearest is {best.off_x:.3g} x {best.off_y:.3g} px off its "
                f"centre, which leaves IoU {budget.grid:.2f}, and {needed}."
            )
        case Cause.GRID:
            shape, _ = iou_pair(budget.shape, wanted)
            grid, _ = iou_pair(budget.grid, wanted)
            return (
                f"A shape would fit ({shape_text}, IoU {shape}), but the nearest position is {best.off_x:.3g} x "
                f"{best.off_y:.3g} px off its centre (stride {stride:g}): that leaves {grid}, and {needed}."
            )
        case Cause.LEFT_OUT if found.left_out_by is not None:
            allowed, _ = iou_pair(budget.allowed, wanted)
            return (
                f"Anchors fit it (IoU {budget.grid:.2f}), but {_RULES[found.left_out_by]} and may not be positive; "
                f"the best of the others has {allowed}, and {needed}."
            )
    return _stolen(result, found)


def _ratio(width: float, height: float) -> str:
    """``height : width 1:15``."""
    if not (width > 0 and height > 0):
        return "no width or height"
    ratio = f"1:{width / height:.3g}" if width >= height else f"{height / width:.3g}:1"
    return f"height : width {ratio}"


def _stolen(result: Result, found: Explanation) -> str:
    thief = found.stolen_by
    if thief is None:
        return "The anchors that fit it are trained towards another box."
    one = thief.count == 1
    theirs, ours = f"{thief.iou:.2f}", f"{thief.own_iou:.2f}"
    if theirs == ours:
        theirs, ours = f"{thief.iou:.4f}", f"{thief.own_iou:.4f}"
    if thief.iou < thief.own_iou and result.conventions.forced_target is ForcedTarget.CLAIMING:
        best = "whose best it is and which claims it" if one else "whose best they are and which claims them"
        how = f"{best} ({theirs} with that, {ours} with this)"
    elif thief.iou == thief.own_iou:
        how = f"which comes first and which {'it overlaps' if one else 'they overlap'} just as much ({theirs})"
    else:
        of = "" if one else " for the best"
        how = f"which {'it overlaps' if one else 'they overlap'} more ({theirs} against {ours}{of})"
    noun = "anchor" if one else f"{thief.count:,} anchors"
    fits = thief.own_iou >= found.threshold
    which = "would fit it" if fits else f"the low-quality rule could give it (IoU {ours})"
    return f"The {noun} that {which} {'is' if one else 'are'} trained towards GT {thief.gt}, {how}."


def _note(result: Result, gt: int, note: Note) -> str:
    value = note.value or 0
    match note.kind:
        case NoteKind.NOT_SAMPLED:
            return f"None of its positives was drawn into this mini-batch; that happens in {value:.0%} of the draws."
        case NoteKind.LOW_QUALITY_REFUSED:
            least = result.params.match.min_pos_iou
            return f"The low-quality rule takes an anchor only from {least:.2f} on (min_pos_iou)."
        case NoteKind.EVERYTHING_POSITIVE:
            if gt in result.match.everything_positive:
                return "It touches no anchor, so the low-quality rule makes every anchor positive."
            return (
                f"{value:,.0f} of its positives do not touch it: another box touches no anchor, "
                "and the low-quality rule then makes every anchor positive."
            )
        case NoteKind.TIES:
            noun = "anchor is" if value == 1 else "anchors are"
            return f"{value:,.0f} more {noun} as good as the best but for rounding, which the trainer does not take."
        case NoteKind.TRAINER_RAISES:
            return "The trainer stops with an error on this image."
        case NoteKind.OUTSIDE:
            return "It lies outside the image, and is trained on all the same."
