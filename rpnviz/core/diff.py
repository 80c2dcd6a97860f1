"""Two trainers on one image: which boxes and anchors fare differently, and the fields that make the difference.

A field's part is found by switching it from the first trainer's value to the second's and running the pipeline, never
by knowing what it means.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpnviz.core import pipeline
from rpnviz.core.anchors import Anchors
from rpnviz.core.conventions import Conventions
from rpnviz.core.inputs import Inputs
from rpnviz.core.matching import Rank
from rpnviz.core.params import Params, differences
from rpnviz.core.pipeline import Result
from rpnviz.core.presets import Preset
from rpnviz.errors import ParamsError

_GROUPS = ("resize", "anchors", "match")
"""Parameter groups that reach the labels; the others act after them."""

_LAYOUT = tuple(f"anchors.{name}" for name in ("strides", "sizes", "aspect_ratios", "base_sizes", "scales"))
"""Anchor fields of which one alone may not fit the others: lists of one length, sizes either listed or multiplied."""

AFTER_LABELS = frozenset(
    {
        "flip",
        "draw",
        "codec",
        "coder_pixels",
        "coder_weights",
        "end_corner",
        "encode_dtype",
        "decode_clamp",
        "proposal_stages",
        "proposal_frame",
        "score",
        "top_k",
        "small_box",
        "non_finite",
        "clip",
        "nms_compare",
        "nms_pixels",
        "nms_grouping",
        "tie_order",
    }
)
"""Conventions that act after the labels, or in training views alone (a test switches each and sees none change)."""


@dataclass(frozen=True)
class Switch:
    """One difference between two trainers that can be carried over by itself.

    Attributes:
        name: ``match.min_pos_iou``, ``conventions.tie_rule``; several joined by ", " where one alone is not allowed.
        values: (field, value of the first, value of the second) of each of them, ``field`` with its group.
    """

    name: str
    values: tuple[tuple[str, Any, Any], ...]


@dataclass(frozen=True)
class GtOutcome:
    """How one ground-truth box fares: its rank, and the positives (forced ones included) whose target it is."""

    rank: Rank
    positives: int

    def __str__(self) -> str:
        return f"{self.rank}, {self.positives:,} positive"


@dataclass(frozen=True)
class GtDifference:
    """A box that fares differently.

    Attributes:
        gt: its index in ``Inputs``.
        a, b: how it fares under each.
        fields: sets of switches each of which, carried over to the first trainer, gives the second's outcome: all
            single ones; else all pairs; else one larger set none of which can be left out.
        rank_only: they give the second's rank, but another number of positives: nothing smaller gives both.
    """

    gt: int
    a: GtOutcome
    b: GtOutcome
    fields: tuple[tuple[Switch, ...], ...]
    rank_only: bool


@dataclass(frozen=True)
class SwitchEffect:
    """What one switch does alone.

    Attributes:
        switch: which.
        gts: boxes whose outcome it changes.
        anchors: anchors whose state it changes; None where the anchors are others.
    """

    switch: Switch
    gts: tuple[int, ...]
    anchors: int | None


@dataclass(frozen=True, eq=False)
class Diff:
    """Two trainers on one image.

    Attributes:
        a, b: their results.
        gts: the boxes that fare differently, by index.
        anchors: (N,) indices, in ``a``, of the anchors whose state differs; None where the grids differ, so that
            no anchor of one is an anchor of the other.
        effects: of every switch alone, those that change something first.
    """

    a: Result
    b: Result
    gts: tuple[GtDifference, ...]
    anchors: NDArray[np.int64] | None
    effects: tuple[SwitchEffect, ...]


def _go_on() -> None:
    """Nobody wants the comparison to end early."""


def compare(inputs: Inputs, a: Preset, b: Preset, check: Callable[[], None] = _go_on) -> Diff:
    """Run two trainers on one image and find what makes the difference.

    Args:
        inputs: the image's size and ground truth; network outputs are left aside, labels do not depend on them.
        a: the first trainer; switches are carried over to it.
        b: the second.
        check: called before every run; what it raises ends the comparison.
    """
    inputs = dataclasses.replace(inputs, outputs=None)
    runner = _Runner(inputs, a, check)
    first = runner.base
    second = pipeline.run(inputs, b.params, b.conventions)
    switches = find_switches(a, b)
    before, after = outcomes(first), outcomes(second)
    differing = [gt for gt, (x, y) in enumerate(zip(before, after, strict=True)) if x != y]
    effects = _effects(switches, runner, before)  # first: each switch alone is then known
    found = _explain(differing, before, after, switches, runner.outcomes)
    return Diff(first, second, found, differing_anchors(first, second), effects)


def find_switches(a: Preset, b: Preset) -> tuple[Switch, ...]:
    """The differences between two trainers that reach the labels, in document order."""
    values = [entry for entry in differences(a.params, b.params) if entry[0].split(".")[0] in _GROUPS]
    layout = [entry for entry in values if entry[0] in _LAYOUT]
    tied = _tied(a, layout)
    together = Switch(", ".join(entry[0] for entry in tied), tuple(tied))
    switches = []
    for entry in values:
        if entry not in tied:
            switches.append(Switch(entry[0], (entry,)))
        elif entry is tied[0]:
            switches.append(together)
    for field in dataclasses.fields(Conventions):
        x, y = getattr(a.conventions, field.name), getattr(b.conventions, field.name)
        if x != y and field.name not in AFTER_LABELS:
            name = f"conventions.{field.name}"
            switches.append(Switch(name, ((name, x, y),)))
    return tuple(switches)


def _tied(preset: Preset, layout: Sequence[tuple[str, Any, Any]]) -> list[tuple[str, Any, Any]]:
    """Those of some differences that only work together: what is refused alone, and the factors of base sizes."""
    tied = [entry for entry in layout if not _allowed(preset, (entry,))]
    if any(entry[0] == "anchors.base_sizes" for entry in tied):
        tied = [entry for entry in layout if entry in tied or entry[0] == "anchors.scales"]
    return tied if _allowed(preset, tied) else list(layout)


def _allowed(preset: Preset, values: Sequence[tuple[str, Any, Any]]) -> bool:
    try:
        switched(preset, [Switch("", tuple(values))])
    except ParamsError:
        return False
    return True


def switched(preset: Preset, switches: Sequence[Switch]) -> tuple[Params, Conventions]:
    """The preset's parameters and conventions with some switches carried over.

    Raises:
        ParamsError: together they are not allowed.
    """
    groups: dict[str, dict[str, Any]] = {}
    for switch in switches:
        for where, _, value in switch.values:
            group, name = where.split(".")
            groups.setdefault(group, {})[name] = value
    conventions = dataclasses.replace(preset.conventions, **groups.pop("conventions", {}))
    params = preset.params
    for group, values in groups.items():
        params = params.with_values(group, **values)
    return params, conventions


class _Runner:
    """Runs the first trainer with switches carried over."""

    def __init__(self, inputs: Inputs, preset: Preset, check: Callable[[], None]) -> None:
        self._preset = preset
        self._check = check
        self._known: dict[tuple[Switch, ...], tuple[GtOutcome, ...] | None] = {}
        self.base = pipeline.run(inputs, preset.params, preset.conventions)

    def run(self, switches: Sequence[Switch]) -> Result | None:
        """The result; None where the switches together are not allowed."""
        self._check()
        try:
            params, conventions = switched(self._preset, switches)
        except ParamsError:
            self._known[tuple(switches)] = None
            return None
        result = pipeline.run(self.base.inputs, params, conventions, self.base)
        self._known[tuple(switches)] = outcomes(result)
        return result

    def outcomes(self, switches: Sequence[Switch]) -> tuple[GtOutcome, ...] | None:
        """How the boxes fare; the same switches are run once."""
        if tuple(switches) not in self._known:
            self.run(switches)
        return self._known[tuple(switches)]


def outcomes(result: Result) -> tuple[GtOutcome, ...]:
    """How every ground-truth box fares."""
    match = result.match
    return tuple(
        GtOutcome(rank, positives) for rank, positives in zip(match.ranks, match.gt_positives.tolist(), strict=True)
    )


_Outcomes = Callable[[Sequence[Switch]], "tuple[GtOutcome, ...] | None"]


def _explain(
    gts: Sequence[int],
    before: Sequence[GtOutcome],
    after: Sequence[GtOutcome],
    switches: Sequence[Switch],
    run: _Outcomes,
) -> tuple[GtDifference, ...]:
    """The fewest switches for each box: the whole outcome first, at each number of switches, then the rank alone."""
    sets: dict[int, list[tuple[Switch, ...]]] = {}
    by_rank: dict[int, list[tuple[Switch, ...]]] = {}
    for number in (1, 2):
        left = [gt for gt in gts if gt not in sets and gt not in by_rank]
        if not left:
            break
        for chosen in combinations(switches, number):
            result = run(chosen)
            if result is None:
                continue
            for gt in left:
                if result[gt] == after[gt]:
                    sets.setdefault(gt, []).append(chosen)
                elif before[gt].rank is not after[gt].rank is result[gt].rank:
                    by_rank.setdefault(gt, []).append(chosen)
    found = []
    for gt in gts:
        whole = gt in sets or gt not in by_rank
        fields = sets.get(gt) or by_rank.get(gt) or [_thinned(gt, after[gt], switches, run)]
        found.append(GtDifference(gt, before[gt], after[gt], tuple(fields), not whole))
    return tuple(found)


def _thinned(gt: int, wanted: GtOutcome, switches: Sequence[Switch], run: _Outcomes) -> tuple[Switch, ...]:
    """All switches less those without which the outcome stays what it is."""
    kept = list(switches)
    for switch in switches:
        fewer = [other for other in kept if other is not switch]
        result = run(fewer)
        if result is not None and result[gt] == wanted:
            kept = fewer
    return tuple(kept)


def _effects(switches: Sequence[Switch], runner: _Runner, before: Sequence[GtOutcome]) -> tuple[SwitchEffect, ...]:
    effects = []
    for switch in switches:
        result = runner.run([switch])
        if result is None:
            continue
        changed = tuple(gt for gt, outcome in enumerate(outcomes(result)) if outcome != before[gt])
        anchors = differing_anchors(runner.base, result)
        effects.append(SwitchEffect(switch, changed, None if anchors is None else len(anchors)))
    return tuple(sorted(effects, key=lambda effect: (-len(effect.gts), -(effect.anchors or 0))))


def differing_anchors(a: Result, b: Result) -> NDArray[np.int64] | None:
    """Indices, in ``a``, of the anchors whose state differs; None where the grids differ.

    Anchors correspond by level, position and shape, whatever the order of the shapes.
    """
    there = partners(a.anchors, b.anchors)
    if there is None:
        return None
    return np.flatnonzero(a.match.state != b.match.state[there])


def partners(a: Anchors, b: Anchors) -> NDArray[np.int64] | None:
    """(A,) index in ``b`` of every anchor of ``a``; None unless each level has the same positions and shapes."""
    if len(a.lattice) != len(b.lattice):
        return None
    parts = []
    for left, right in zip(a.lattice, b.lattice, strict=True):
        if left.grid != right.grid or left.cells != right.cells:
            return None
        sides = [
            np.log(np.maximum(np.stack([part.x2[:, 0] - part.x1[:, 0], part.y2[:, 0] - part.y1[:, 0]], 1), 1e-6))
            for part in (left, right)
        ]
        apart = np.abs(sides[0][:, None] - sides[1][None]).max(axis=2)
        order = apart.argmin(axis=1)
        if len(set(order.tolist())) < len(order) or float(apart.min(axis=1).max(initial=0.0)) > _SAME_SHAPE:
            return None
        positions = np.arange(left.grid[0] * left.grid[1])[:, None] * right.cells
        parts.append((right.start + positions + order[None]).ravel())
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


_SAME_SHAPE = 0.15
"""Largest difference of the logarithm of a side at which two shapes are one: rounding of small base anchors."""
