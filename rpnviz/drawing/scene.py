"""What is drawn of a result: layers of boxes, back to front, and their key; pure data, no pixels.

A layer never hides boxes silently: ``shown`` below ``total`` says that it does, and ``why`` says by which rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.boxes import box_iou
from rpnviz.core.conventions import DrawRule
from rpnviz.core.frame import Frame
from rpnviz.core.matching import WEAK_IOU, AnchorState, Rank
from rpnviz.core.pipeline import Result
from rpnviz.core.proposals import Candidates, Decoded, Fate, sigmoid
from rpnviz.drawing.colouring import Shade, colour_groups
from rpnviz.drawing.filtering import passing
from rpnviz.drawing.options import (
    EVERY_BOX,
    LAYERS,
    RANK_TEXT,
    STATES,
    BoxFilter,
    ColourBy,
    Heat,
    LayerKey,
    LayerOptions,
    LayerSpec,
    World,
    default_options,
)
from rpnviz.drawing.population import Population, anchor_population
from rpnviz.palette import RGB, Role, Theme, rgb

__all__ = [
    "LAYERS",
    "RANK_TEXT",
    "Layer",
    "LayerKey",
    "LayerOptions",
    "LegendEntry",
    "World",
    "default_options",
    "gt_roles",
    "legend",
    "make_layers",
    "summary",
]

MAX_OUTLINES = 300
"""A layer of more boxes than this turns to density, or to the best of each ground-truth box."""
BEST_PER_GT = 3
"""Positives that stand for each ground-truth box until all are asked for."""
BEST_KEPT = 50
"""Proposals that are drawn until all are asked for."""
FINDS_IOU = 0.5
"""A proposal is drawn for a selected ground-truth box if its IoU with it is at least this."""
_LONGEST_NAME = 24
"""Letters of a category on the picture."""
BACKGROUND_OPACITY = 0.35
"""Of the other ground truth while one box is selected."""
NOT_DRAWN_OPACITY = 0.3
"""Of positives behind the mini-batch: those that it draws stand in front of them."""


_BACK_TO_FRONT = (
    LayerKey.EVERYTHING,
    LayerKey.NEGATIVE,
    LayerKey.LEFT_OUT,
    LayerKey.NEUTRAL,
    LayerKey.DROPPED,
    LayerKey.CANDIDATES,
    LayerKey.SUPPRESSED,
    LayerKey.POSITIVE,
    LayerKey.KEPT,
    LayerKey.FORCED,
    LayerKey.MINI_BATCH,
    LayerKey.GT,
)


@dataclass(frozen=True, eq=False)
class Layer:
    """N boxes that look alike.

    Attributes:
        key: the switch they belong to; several layers may have the same key (ground truth, colours).
        role: how they look.
        title: on screen.
        population: all boxes of their kind.
        rows: (N,) int64, which of the population.
        ids: (N,) int64, ground-truth index for the key GT, else anchor index.
        shown: boxes drawn of this key; N, except where a key comes as several layers.
        total: boxes of this key in the image.
        dense: drawn as density, not as outlines.
        labels: N texts to write beside the boxes, or None.
        why: the rule by which ``shown`` is below ``total``, such as "best 3 per GT"; empty if it is not.
        opacity: 0 to 1.
        shade: colour that says something else than the role; None: the role's own.
    """

    key: LayerKey
    role: Role
    title: str
    population: Population
    rows: NDArray[np.int64]
    ids: NDArray[np.int64]
    shown: int
    total: int
    dense: bool = False
    labels: tuple[str, ...] | None = None
    why: str = ""
    opacity: float = 1.0
    shade: Shade | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def boxes(self) -> NDArray[np.float64]:
        """(N, 4) xyxy, original pixels; broken ground truth stays in, NaN and all."""
        return self.population.original(self.rows)

    def rgb(self, theme: Theme) -> RGB:
        """Colour on the ground of a theme."""
        return rgb(self.role, theme) if self.shade is None else self.shade.rgb(theme)


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


_Group = tuple[Shade | None, NDArray[np.int64], NDArray[np.int64]]
"""Colour, rows and anchors of boxes of one colour."""


@dataclass(frozen=True, eq=False)
class _Choice:
    """The boxes of one key that are drawn: ``rows`` of a population, and the anchors that they are or come from."""

    population: Population
    rows: NDArray[np.int64]
    ids: NDArray[np.int64]
    total: int
    why: str = ""
    scores: NDArray[np.float32] | None = None
    groups: dict[ColourBy, list[_Group]] = field(default_factory=dict)

    @property
    def large(self) -> bool:
        """Whether there are too many for outlines."""
        return len(self.rows) > MAX_OUTLINES


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
        if key is LayerKey.GT:
            if key in options.visible:
                layers += _gt_layers(result, world, options, gt_names)
        elif options.heat is not Heat.NONE:
            continue
        elif key is LayerKey.EVERYTHING:
            if options.everything:
                layers += _box_layers(result, world, _everything_spec(result, world), options)
        elif key in specs and key in options.visible:
            layers += _box_layers(result, world, specs[key], options)
    return tuple(layers)


def legend(result: Result, world: World, options: LayerOptions) -> tuple[LegendEntry, ...]:
    """Numbers of every layer of the world, hidden ones too, in the order of :data:`LAYERS`.

    A heat map hides all but ground truth. With ``options.everything`` an entry of the key EVERYTHING comes last.
    """
    entries: list[LegendEntry] = []
    outlines = options.heat is Heat.NONE
    for spec in LAYERS[world]:
        visible = spec.key in options.visible
        if visible and outlines and spec.key is not LayerKey.GT:
            choice = _choose(result, world, spec.key, options)
            shown, total, why = len(choice.rows), choice.total, choice.why
            dense = _is_dense(choice, spec.key, options)
        else:
            total = _total(result, world, spec.key)
            visible = visible and spec.key is LayerKey.GT
            shown, dense, why = total if visible else 0, False, ""
        entries.append(LegendEntry(spec.key, spec.role, spec.title, shown, total, visible, dense, why))
    if options.everything and outlines:
        spec, choice = _everything_spec(result, world), _choose(result, world, LayerKey.EVERYTHING, options)
        entries.append(
            LegendEntry(
                spec.key,
                spec.role,
                spec.title,
                len(choice.rows),
                choice.total,
                True,
                _is_dense(choice, spec.key, options),
                choice.why,
            )
        )
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
    if key is LayerKey.MINI_BATCH:
        return len(_drawn(result))
    if world is World.TRAINING:
        return sum(result.match.counts[state] for state in STATES[key])
    if result.proposals is None:
        return 0
    return len(_candidate_rows(result, key))


def _drawn(result: Result) -> NDArray[np.int64]:
    """Anchors of the mini-batch, positives last; none where the trainer draws none."""
    if result.conventions.draw is DrawRule.NONE:
        return np.zeros(0, np.int64)
    return np.concatenate([result.sample.negative, result.sample.positive])


def _candidate_rows(result: Result, key: LayerKey) -> NDArray[np.int64]:
    """Rows of the candidates that belong to a key of the Model world; KEPT best first."""
    proposals = result.proposals
    if proposals is None:
        return np.zeros(0, np.int64)
    if key is LayerKey.KEPT:
        return proposals.kept
    if key is LayerKey.DROPPED:
        return np.flatnonzero((proposals.fate != Fate.KEPT) & (proposals.fate != Fate.SUPPRESSED))
    if key is LayerKey.SUPPRESSED:
        return np.flatnonzero(proposals.fate == Fate.SUPPRESSED)
    return np.flatnonzero((proposals.fate != Fate.SMALL) & (proposals.fate != Fate.LOW_SCORE))


@dataclass(frozen=True)
class _Question:
    """What the choice of a layer depends on."""

    world: World
    key: LayerKey
    show_all: bool
    selected_gt: int | None
    only: BoxFilter


_choices: WeakKeyDictionary[Result, dict[_Question, _Choice]] = WeakKeyDictionary()
"""Of every result that is still in use: toggling one layer leaves the rows of the others the same arrays, whose counts
are remembered."""


def _choose(result: Result, world: World, key: LayerKey, options: LayerOptions) -> _Choice:
    """The boxes of a visible layer that are drawn."""
    question = _Question(world, key, key in options.show_all, options.selected_gt, options.only)
    answers = _choices.setdefault(result, {})
    found = answers.get(question)
    if found is None:
        # An export may ask in a thread of its own: what another thread forgets here is still answered.
        found = _find(result, question)
        if len(answers) > 64:
            answers.clear()  # somebody drags a filter
        answers[question] = found
    return found


def _find(result: Result, asked: _Question) -> _Choice:
    if asked.key is LayerKey.EVERYTHING:
        return _narrowed(result, asked, _all_boxes(result, asked.world))
    if asked.world is World.MODEL:
        return _choose_proposals(result, asked)
    if asked.key in (LayerKey.POSITIVE, LayerKey.FORCED):
        return _choose_positives(result, asked)
    if asked.key is LayerKey.MINI_BATCH:
        return _narrowed(result, asked, _choose_drawn(result, asked))
    return _narrowed(result, asked, _choose_others(result, asked))


def _narrowed(result: Result, asked: _Question, choice: _Choice) -> _Choice:
    """The boxes that pass the filter."""
    if asked.only == EVERY_BOX:
        return choice
    population = choice.population
    # Boxes of a model have sizes of their own, anchors those of the anchors.
    boxes = None if population.levels else population.boxes[choice.rows]
    passes = passing(result, asked.only, choice.ids, boxes, choice.scores)
    if passes.all():
        return choice
    scores = None if choice.scores is None else choice.scores[passes]
    why = f"{choice.why}, filtered" if choice.why else "filtered"
    return _Choice(population, choice.rows[passes], choice.ids[passes], choice.total, why, scores)


def _all_boxes(result: Result, world: World) -> _Choice:
    if world is World.MODEL and result.decoded is not None:
        population = _decoded_population(result.decoded, result.frame)
        scores = sigmoid(result.decoded.objectness)
        return _Choice(population, population.every_row, population.every_row, len(population), scores=scores)
    population = anchor_population(result.anchors, result.frame)
    return _Choice(population, population.every_row, population.every_row, len(population))


def _choose_others(result: Result, asked: _Question) -> _Choice:
    """Neutral, negative and left-out anchors."""
    match, states = result.match, STATES[asked.key]
    index = np.flatnonzero(np.isin(match.state, states) if len(states) > 1 else match.state == states[0])
    total, why = len(index), ""
    if asked.selected_gt is not None:
        # An anchor that touches no box has the first as its nearest, by the order alone.
        index = index[(match.matched_gt[index] == asked.selected_gt) & (match.best_iou[index] > 0)]
        why = _of_gt(asked.selected_gt, len(index), total)
    return _Choice(anchor_population(result.anchors, result.frame), index, index, total, why)


def _choose_drawn(result: Result, asked: _Question) -> _Choice:
    """The mini-batch; of a selected box, what it draws of those that have it as their nearest."""
    match, index = result.match, _drawn(result)
    total, why = len(index), ""
    if asked.selected_gt is not None:
        index = index[(match.matched_gt[index] == asked.selected_gt) & (match.best_iou[index] > 0)]
        why = _of_gt(asked.selected_gt, len(index), total)
    return _Choice(anchor_population(result.anchors, result.frame), index, index, total, why)


def _choose_positives(result: Result, asked: _Question) -> _Choice:
    match = result.match
    positives = match.positives
    ours = match.state[positives] == STATES[asked.key][0]
    total = int(np.count_nonzero(ours))
    # The filter comes first: the best three are those among the boxes that the user asks for.
    passes = passing(result, asked.only, positives)
    filtered = bool((ours & ~passes).any())
    ours &= passes
    why = ["filtered"] if filtered else []
    if asked.selected_gt is not None:
        ours &= match.matched_gt[positives] == asked.selected_gt
        if np.count_nonzero(ours) < total:
            why.insert(0, f"of GT {asked.selected_gt}")
    elif not asked.show_all and asked.only.position is None:
        best = ours & _best_per_gt(match.matched_gt[positives], np.where(ours, match.best_iou[positives], -1))
        if np.count_nonzero(best) < np.count_nonzero(ours):
            why.insert(0, f"best {BEST_PER_GT} per GT")
        ours = best
    index = positives[ours]
    return _Choice(anchor_population(result.anchors, result.frame), index, index, total, ", ".join(why))


def _best_per_gt(gt: NDArray[np.int64], iou: NDArray, number: int = BEST_PER_GT) -> NDArray[np.bool_]:
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


def _choose_proposals(result: Result, asked: _Question) -> _Choice:
    if result.proposals is None:
        none = np.zeros(0, np.int64)
        return _Choice(Population(np.zeros((0, 4))), none, none, 0)
    candidates = result.proposals.candidates
    rows = _candidate_rows(result, asked.key)
    total, why = len(rows), ""
    selected = asked.selected_gt
    if selected is not None and selected < len(result.gt.boxes):
        box = result.gt.boxes[selected : selected + 1].astype(np.float32)
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            iou = box_iou(candidates.boxes[rows], box)[:, 0]
        rows = rows[iou >= FINDS_IOU]
        why = f"IoU ≥ {FINDS_IOU:g} with GT {selected}" if len(rows) < total else ""
    population, scores = _candidate_population(candidates, result.frame), candidates.objectness_prob[rows]
    # The filter comes before the cut: the best 50 are those among the boxes that the user asks for.
    choice = _narrowed(result, asked, _Choice(population, rows, candidates.anchor_index[rows], total, why, scores))
    if asked.key is LayerKey.KEPT and selected is None and not asked.show_all and len(choice.rows) > BEST_KEPT:
        rows, ids = choice.rows[:BEST_KEPT], choice.ids[:BEST_KEPT]
        why = f"best {BEST_KEPT}, {choice.why}".rstrip(", ")
        return _Choice(population, rows, ids, total, why, candidates.objectness_prob[rows])
    return choice


def _of_gt(gt: int, shown: int, total: int) -> str:
    return f"of GT {gt}" if shown < total else ""


@lru_cache(maxsize=2)
def _decoded_population(decoded: Decoded, frame: Frame) -> Population:
    return Population(decoded.boxes_input, frame)


@lru_cache(maxsize=2)
def _candidate_population(candidates: Candidates, frame: Frame) -> Population:
    return Population(candidates.boxes, frame)


def _everything_spec(result: Result, world: World) -> LayerSpec:
    in_model = world is World.MODEL and result.decoded is not None
    title = "All decoded boxes" if in_model else "All anchors"
    return LayerSpec(LayerKey.EVERYTHING, title, Role.NEGATIVE, False, 0)


def _box_layers(result: Result, world: World, spec: LayerSpec, options: LayerOptions) -> list[Layer]:
    """One layer, or one for every colour; the mini-batch has one for every label."""
    choice = _choose(result, world, spec.key, options)
    if not len(choice.population):
        return []
    dense = _is_dense(choice, spec.key, options)
    shown = len(choice.rows)
    behind = spec.key in (LayerKey.POSITIVE, LayerKey.FORCED) and LayerKey.MINI_BATCH in options.visible
    faint = behind and result.conventions.draw is not DrawRule.NONE
    return [
        Layer(
            spec.key,
            role,
            spec.title,
            choice.population,
            rows,
            ids,
            shown,
            choice.total,
            dense,
            why=choice.why,
            opacity=NOT_DRAWN_OPACITY if faint else 1.0,
            shade=shade,
        )
        for role, shade, rows, ids in _by_role(result, spec, _coloured(result, choice, options.colour_by))
    ]


def _by_role(
    result: Result, spec: LayerSpec, groups: Sequence[_Group]
) -> list[tuple[Role, Shade | None, NDArray[np.int64], NDArray[np.int64]]]:
    """Groups of one colour as they look: a layer's own role, those of the mini-batch by their label."""
    if spec.key is not LayerKey.MINI_BATCH:
        return [(spec.role, *group) for group in groups]
    looks = {AnchorState.NEGATIVE: Role.NEGATIVE, AnchorState.POSITIVE: Role.POSITIVE, AnchorState.FORCED: Role.FORCED}
    found = []
    for state, role in looks.items():
        for shade, rows, ids in groups:
            own = result.match.state[ids] == state
            if own.any():
                found.append((role, shade, rows[own], ids[own]))
    return found


def _is_dense(choice: _Choice, key: LayerKey, options: LayerOptions) -> bool:
    """Whether boxes are drawn as density.

    Negatives are never told apart by outlines, unless a filter leaves few of them: there are too many whatever the
    selection, and a box's few are no more telling than the rest.
    """
    crowd = key in (LayerKey.NEGATIVE, LayerKey.EVERYTHING) and options.only == EVERY_BOX
    return choice.large or (crowd and len(choice.rows) > 0)


def _coloured(result: Result, choice: _Choice, colour_by: ColourBy) -> list[_Group]:
    """A choice by colours; the same arrays for the same choice."""
    if colour_by not in choice.groups:
        groups: list[_Group] = [(None, choice.rows, choice.ids)]
        if colour_by is not ColourBy.LABEL and len(choice.rows):
            boxes = None if choice.population.levels else choice.population.boxes[choice.rows]
            places = colour_groups(result, colour_by, choice.ids, choice.scores, boxes)
            groups = [(shade, choice.rows[members], choice.ids[members]) for shade, members in places]
        choice.groups[colour_by] = groups
    return choice.groups[colour_by]


def _gt_layers(result: Result, world: World, options: LayerOptions, names: Sequence[str]) -> list[Layer]:
    """Ground truth by role, problems in front; the selected box in front of all."""
    boxes = result.inputs.gt_boxes
    population = Population(boxes)
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
            population,
            np.array(members, np.int64),
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
    name = f"{gt} {_brief(names[gt])}" if gt < len(names) and names[gt] else str(gt)
    if role is Role.LEFT_OUT:
        return f"{name} (not trained on)"
    if role is Role.GT_PROBLEM:
        none = result.match.ranks[gt] is Rank.NONE
        return f"{name} ! no positive" if none else f"{name} ! forced {float(result.match.gt_best_iou[gt]):.2f}"
    return name


def _brief(name: str) -> str:
    """A category that leaves room for the boxes; the table has the whole of it."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1].rstrip()}…"
