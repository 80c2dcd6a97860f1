"""Changes that let a ground-truth box be matched in every training view, each checked by running all of them.

What is tried answers the cause in the view where the box fares worst; where no single change is enough, the one that
helps most is kept and what is left in the worst view then is answered too.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rpnviz.core.conventions import Conventions
from rpnviz.core.explain import explain
from rpnviz.core.fixes import MOST, Change, Closest, Fix, Search, ViewsAfter, changes_for, cost_of, patch_of
from rpnviz.core.inputs import Inputs
from rpnviz.core.matching import Rank
from rpnviz.core.params import Params, differences
from rpnviz.core.views import Outcome, Seen, matched_views, outcome_of, see_views, views_with
from rpnviz.errors import ParamsError

_ROUNDS = 3
"""Changes that are made one after another, at most."""


@dataclass(frozen=True, eq=False)
class _Run:
    """All views under some parameters.

    Attributes:
        params: which.
        outcomes: of every view.
        worst: the view in which the box fares worst; None where it is matched in all that train on it.
    """

    params: Params
    outcomes: tuple[Outcome, ...]
    worst: Seen | None

    def after(self, gt: int) -> ViewsAfter:
        return ViewsAfter(matched_views(self.outcomes, gt), views_with(self.outcomes, gt))


def search_view_fixes(
    inputs: Inputs, params: Params, conventions: Conventions, gt: int, check: Callable[[], None] = lambda: None
) -> Search:
    """Changes after which a box is matched in every training view that shows it, the cheapest first.

    Args:
        inputs, params, conventions: of the image.
        gt: index of the box in ``Inputs``.
        check: called before every run of a view; what it raises ends the search.

    Returns:
        Fixes with ``views_after``; where there are none, ``closest`` tells in how many views the best change does.
    """
    inputs = dataclasses.replace(inputs, outputs=None)

    def run(wanted: Params) -> _Run:
        return _run(inputs, wanted, conventions, gt, check)

    before = here = run(params)
    best: tuple[str, _Run] | None = None
    text, tried = "", {params}
    for _ in range(_ROUNDS):
        if here.worst is None:
            break
        runs = []
        for change in itertools.islice(_changes(here, gt, text, tried), MOST):
            runs.append((change.text, run(change.params)))
        fixes = [_fix(before, after, gt, words) for words, after in runs if after.worst is None]
        if fixes:
            return Search(tuple(sorted(fixes, key=cost_of)), None, views_before=before.after(gt))
        better = max(runs, key=lambda made: _height(made[1], gt), default=None)
        if better is None or _height(better[1], gt) <= _height(here, gt):
            break
        best = better
        text, here = better
    if best is None:
        return Search((), None, views_before=before.after(gt))
    words, after = best
    closest = Closest(words, _worst_iou(after, gt), params.match.fg_iou_thresh, after.after(gt))
    return Search((), closest, views_before=before.after(gt))


def _run(inputs: Inputs, params: Params, conventions: Conventions, gt: int, check: Callable[[], None]) -> _Run:
    """All views; only the worst keeps its anchors: a dozen would fill the memory."""
    outcomes, worst, least = [], None, (0, 0.0)
    for seen in see_views(inputs, params, conventions, check):
        outcome = outcome_of(seen, inputs, params)
        outcomes.append(outcome)
        rank = outcome.ranks[gt]
        if rank not in (Rank.NONE, Rank.FORCED):
            continue
        standing = rank.height, float(outcome.best_iou[gt])
        if worst is None or standing < least:
            worst, least = seen, standing
    return _Run(params, tuple(outcomes), worst)


def _height(run: _Run, gt: int) -> tuple[int, float]:
    """How well a box fares over all views: matched ones first, then the best IoU of the worst."""
    return run.after(gt).matched, _worst_iou(run, gt)


def _worst_iou(run: _Run, gt: int) -> float:
    """The lowest best IoU of the views that train on a box."""
    found = [outcome.best_iou[gt] for outcome in run.outcomes if not np.isnan(outcome.best_iou[gt])]
    return float(min(found, default=0.0))


def _changes(run: _Run, gt: int, text: str, tried: set[Params]) -> Iterator[Change]:
    """Changes of all views that answer the cause in the worst one; new ones only."""
    seen = run.worst
    assert seen is not None
    row = int(np.flatnonzero(seen.gt == gt)[0])
    for change in changes_for(seen.result, explain(seen.result, row)):
        try:
            made = _for_all(run.params, seen.result.params, change)
        except ParamsError:
            continue  # an input that would be too large
        if made is None or made.params in tried:
            continue
        tried.add(made.params)
        words = f"{text} and {made.text[0].lower()}{made.text[1:]}" if text else made.text
        yield Change(words, made.params)


def _for_all(params: Params, of_view: Params, change: Change) -> Change | None:
    """A change that was made for one view, for all of them: an input that is enlarged is so at every short side."""
    groups: dict[str, dict[str, object]] = {}
    for where, _, value in differences(of_view, change.params):
        group, name = where.split(".")
        groups.setdefault(group, {})[name] = value
    enlarged = groups.pop("resize", None)
    words = change.text
    if enlarged is not None:
        factor = change.params.resize.min_size / of_view.resize.min_size
        groups["resize"] = {name: round(getattr(params.resize, name) * factor) for name in ("min_size", "max_size")}
        views = params.views
        if views is not None and isinstance(views.min_sizes, tuple):
            sides = tuple(round(side * factor) for side in views.min_sizes)
            params = params.with_views(dataclasses.replace(views, min_sizes=sides))
        words = f"Enlarge the input of every view {factor:.3g} times"
    for group, values in groups.items():
        params = params.with_values(group, **values)
    return Change(words, params) if groups else None


def _fix(before: _Run, after: _Run, gt: int, text: str) -> Fix:
    """What a change does over all views."""
    trained = [outcome for outcome in after.outcomes if outcome.ranks[gt] not in (None, Rank.NOT_TRAINED)]
    steps = [
        matched_views(after.outcomes, other) - matched_views(before.outcomes, other)
        for other in range(len(before.outcomes[0].ranks))
    ]
    return Fix(
        after.params,
        patch_of(before.params, after.params),
        text,
        Rank.MATCHED,
        min(int(outcome.positives[gt]) for outcome in trained),
        _worst_iou(after, gt),
        _anchors(after.outcomes) - _anchors(before.outcomes),
        tuple(other for other, step in enumerate(steps) if step > 0 and other != gt),
        tuple(other for other, step in enumerate(steps) if step < 0 and other != gt),
        after.after(gt),
    )


def _anchors(outcomes: Sequence[Outcome]) -> int:
    """Anchors of a view, on average."""
    return round(sum(outcome.anchors for outcome in outcomes) / len(outcomes))
