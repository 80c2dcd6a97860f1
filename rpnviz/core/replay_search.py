"""Which field of the conventions or parameters makes a replay equal to what the trainer recorded.

Nothing is known of what a field means: values are tried, thresholds are first narrowed down by the recorded labels,
and only what the pipeline then reproduces is an explanation.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpnviz.core import presets
from rpnviz.core.conventions import Conventions
from rpnviz.core.diff import AFTER_LABELS, Switch, find_switches, switched
from rpnviz.core.matching import AnchorState
from rpnviz.core.params import differences
from rpnviz.core.presets import Preset
from rpnviz.core.recording import RecordedStep
from rpnviz.core.replay import UNKNOWN, ImageReplay, replay_image
from rpnviz.core.replay_anchors import anchors_switch
from rpnviz.errors import ParamsError, ShapeError

_TARGETS = ("codec", "coder_pixels", "coder_weights", "encode_dtype")
"""Conventions that act after the labels, on the targets."""
_FRAME = ("resize_limit", "resize_rounding", "enlarging", "padding", "box_scaling", "outside_box")
"""Conventions of the way to the network input, which a recording does not go."""
_ENABLING = (
    frozenset({"conventions.border", "match.border_thresh"}),
    frozenset({"conventions.crowd", "match.ignore_iof_thresh"}),
)
"""Pairs of which neither does anything alone."""
_MOST_TOGETHER = 6
_WORTH_TELLING = 0.005
"""Limits of a threshold that lie closer together say no more than the threshold."""


@dataclass(frozen=True)
class Explanation:
    """What would make the replay equal to the recording, or nearer to it.

    Attributes:
        switches: fields to carry over; empty for a whole preset.
        preset: name of the trainer whose rules as a whole reproduce it; empty if fields of the present one do.
        remaining: anchors, labels and targets that still differ then; 0: it is reproduced.
        setting: the trainer with the change made.
        limits: of thresholds among the fields, by name: the labels allow any above the first, up to the second.
    """

    switches: tuple[Switch, ...]
    preset: str
    remaining: int
    setting: Preset
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """``conventions.tie_rule: all here, first at the trainer``."""
        if self.preset:
            return f"the rules and defaults of {self.preset} as a whole"
        return "; ".join(
            f"{name}: {_plain(here)} here, {_plain(there)} at the trainer{self._limits_of(name)}"
            for switch in self.switches
            for name, here, there in switch.values
        )

    def _limits_of(self, name: str) -> str:
        if name not in self.limits:
            return ""
        low, high = self.limits[name]
        if high - low < _WORTH_TELLING:
            return ""
        return f" (or any above {low:.3f}, up to {high:.3f})"


def _plain(value: Any) -> str:
    if isinstance(value, tuple) and len(value) > 1 and isinstance(value[0], tuple) and len(set(value)) == 1:
        return f"{_plain(value[0])} at every level"
    if isinstance(value, tuple):
        return f"({', '.join(_plain(part) for part in value)})"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _go_on() -> None:
    """Nobody wants the search to end early."""


class _OutOfTime(Exception):
    """The search took as long as it may."""


class _Runner:
    """Replays a step with switches carried over; the same are run once."""

    def __init__(
        self,
        step: RecordedStep,
        preset: Preset,
        images: Sequence[ImageReplay],
        check: Callable[[], None],
        budget_s: float,
    ) -> None:
        self._until = time.monotonic() + budget_s
        self._start = sum(image.distance for image in images)
        self._step, self._preset, self._check = step, preset, check
        self._base = [None if image.on_recorded else image.result for image in images]
        self._known: dict[tuple[Switch, ...], float] = {}

    def setting(self, switches: Sequence[Switch]) -> Preset | None:
        """The preset with switches carried over; None where that is not allowed."""
        try:
            params, conventions = switched(self._preset, switches)
        except ParamsError:
            return None
        return Preset(self._preset.name, params, conventions)

    def distance(self, switches: Sequence[Switch]) -> float:
        """What still differs; infinite where the switches are not allowed together."""
        key = tuple(switches)
        if key not in self._known:
            setting = self.setting(switches)
            self._known[key] = math.inf if setting is None else self.of(setting)
        return self._known[key]

    def best(self, images: Sequence[ImageReplay]) -> tuple[Explanation, ...]:
        """What helps most of what was run; empty if nothing does."""
        least = min(self._known, key=lambda key: self._known[key], default=())
        return _explanations([least], self, images) if least and self._known[least] < self._start else ()

    def of(self, preset: Preset) -> float:
        """What differs under a preset."""
        self._check()
        if time.monotonic() >= self._until:
            raise _OutOfTime
        try:
            return sum(
                replay_image(self._step, number, preset, previous).distance
                for number, previous in enumerate(self._base)
            )
        except ShapeError:
            return math.inf


def explain(
    step: RecordedStep,
    preset: Preset,
    images: Sequence[ImageReplay],
    check: Callable[[], None] = _go_on,
    budget_s: float = 30.0,
) -> tuple[Explanation, ...]:
    """Changes that reproduce a recorded step, the smallest first: single fields, a preset, pairs, more.

    Args:
        step: the recording.
        preset: under which it differs.
        images: its replay under ``preset``.
        check: called before every run; what it raises ends the search.
        budget_s: seconds after which what helps most so far is the answer.

    Returns:
        Empty if nothing differs. All single fields that reproduce the step; else all pairs; else one larger set, whose
        ``remaining`` is above 0 where nothing reproduces it.
    """
    if not any(image.distance for image in images):
        return ()
    if any(image.anchors is not None and not image.anchors.same for image in images):
        of_anchors = _explain_anchors(step, preset, check, budget_s)
        if of_anchors is not None:
            return of_anchors
        if any(image.on_recorded for image in images):
            # No field of the labels makes other anchors: only a trainer as a whole may.
            return _whole_preset(_Runner(step, preset, images, check, budget_s), preset)
    runner = _Runner(step, preset, images, check, budget_s)
    try:
        return _search(step, preset, images, runner)
    except _OutOfTime:
        return runner.best(images)


def _explain_anchors(
    step: RecordedStep, preset: Preset, check: Callable[[], None], budget_s: float
) -> tuple[Explanation, ...] | None:
    """The anchors' own fields, read off the recording, and with them what still differs of the labels."""
    switch = anchors_switch(step, preset)
    if switch is None:
        return None
    check()
    params, conventions = switched(preset, [switch])
    setting = Preset(preset.name, params, conventions)
    images = [replay_image(step, number, setting) for number in range(len(step.images))]
    remaining = sum(image.distance for image in images)
    if any(image.anchors is not None and not image.anchors.same for image in images):
        return None
    of_labels = explain(step, setting, images, check, budget_s) if remaining else ()
    alone = Explanation((switch,), "", remaining, setting)
    joined = [
        replace(explanation, switches=(switch, *explanation.switches))
        for explanation in of_labels
        if not explanation.preset
    ]
    return tuple(joined) or (alone,)


def _whole_preset(runner: _Runner, preset: Preset) -> tuple[Explanation, ...]:
    try:
        for name in presets.names():
            other = presets.load(name)
            if name != preset.name and runner.of(other) == 0:
                return (Explanation((), name, 0, other),)
    except _OutOfTime:
        pass
    return ()


def _search(
    step: RecordedStep, preset: Preset, images: Sequence[ImageReplay], runner: _Runner
) -> tuple[Explanation, ...]:
    base = float(sum(image.distance for image in images))
    switches = _candidates(preset, images)
    singles = {switch: runner.distance([switch]) for switch in switches}
    exact = [(switch,) for switch, left in singles.items() if left == 0]
    if exact:
        return _explanations(exact, runner, images)
    whole = _whole_preset(runner, preset)
    if whole:
        return whole
    helpful = {switch for switch, left in singles.items() if left < base}
    pairs = [
        pair
        for pair in combinations(switches, 2)
        if (helpful & set(pair) or frozenset(switch.name for switch in pair) in _ENABLING) and not _clash(pair)
    ]
    exact_pairs = [pair for pair in pairs if runner.distance(pair) == 0]
    if exact_pairs:
        return _explanations(exact_pairs, runner, images)
    return _descend(step, preset, images, runner, base)


def _explanations(
    found: Sequence[tuple[Switch, ...]], runner: _Runner, images: Sequence[ImageReplay]
) -> tuple[Explanation, ...]:
    """One for each set of fields: of several values that do, the first, which other presets have."""
    made: dict[tuple[str, ...], Explanation] = {}
    told = {f"match.{name}": (low, high) for name, _, low, high in _told_by_labels(images)}
    for switches in found:
        setting = runner.setting(switches)
        assert setting is not None
        names = tuple(name for switch in switches for name, _, _ in switch.values)
        # The limits hold for the IoUs at hand: another convention may change those.
        limits = {name: told[name] for name in names if name in told}
        if any(not name.startswith("match.") for name in names):
            limits = {}
        explanation = Explanation(switches, "", int(runner.distance(switches)), setting, limits)
        made.setdefault(names, explanation)
    return tuple(made.values())


def _clash(switches: Sequence[Switch]) -> bool:
    """Whether two of them set the same field."""
    names = [name for switch in switches for name, _, _ in switch.values]
    return len(set(names)) < len(names)


def _descend(
    step: RecordedStep, preset: Preset, images: Sequence[ImageReplay], runner: _Runner, base: float
) -> tuple[Explanation, ...]:
    """The switch that helps most, again and again; thresholds are narrowed down anew after each."""
    chosen: list[Switch] = []
    left = base
    present, replayed = preset, list(images)
    while left and len(chosen) < _MOST_TOGETHER:
        taken = {name for switch in chosen for name, _, _ in switch.values}
        offered = [
            switch for switch in _candidates(present, replayed) if not taken & {name for name, _, _ in switch.values}
        ]
        distances = [runner.distance([*chosen, switch]) for switch in offered]
        best = int(np.argmin(distances)) if distances else -1
        if best < 0 or distances[best] >= left:
            break
        chosen.append(offered[best])
        left = distances[best]
        setting = runner.setting(chosen)
        assert setting is not None
        present = setting
        replayed = [replay_image(step, number, present) for number in range(len(step.images))]
    return _explanations([tuple(chosen)], runner, images) if chosen else ()


def _candidates(preset: Preset, images: Sequence[ImageReplay]) -> tuple[Switch, ...]:
    """Single changes worth a try: what other presets do, what else a convention may be, what the labels tell."""
    skipped = {f"conventions.{name}" for name in _FRAME}
    found: dict[tuple[tuple[str, Any], ...], Switch] = {}

    def offer(switch: Switch) -> None:
        fields = tuple((name, there) for name, _, there in switch.values)
        if switch.name not in skipped and not switch.name.startswith("resize."):
            found.setdefault(fields, switch)

    others = [presets.load(name) for name in presets.names()]
    for other in others:
        for switch in find_switches(preset, other):
            offer(switch)
        for entry in differences(preset.params, other.params):
            if entry[0] == "coder.weights":
                offer(Switch(entry[0], (entry,)))
    for name, value, _, _ in _told_by_labels(images):
        if getattr(preset.params.match, name) != value:
            offer(_of_match(preset, name, value))
    for convention in dataclasses.fields(Conventions):
        here = getattr(preset.conventions, convention.name)
        if convention.name in AFTER_LABELS and convention.name not in _TARGETS:
            continue
        for value in type(here):
            if value is not here:
                where = f"conventions.{convention.name}"
                offer(Switch(where, ((where, here, value),)))
    offer(_of_match(preset, "allow_low_quality_matches", not preset.params.match.allow_low_quality_matches))
    offer(_of_match(preset, "border_thresh", 0.0))
    return tuple(found.values())


def _of_match(preset: Preset, field: str, value: Any) -> Switch:
    name = f"match.{field}"
    return Switch(name, ((name, getattr(preset.params.match, field), value),))


def _told_by_labels(images: Sequence[ImageReplay]) -> list[tuple[str, float, float, float]]:
    """Thresholds that the recorded labels allow, given the present IoUs: name, a round one, and the limits."""
    iou, labels, states = [], [], []
    for image in images:
        if image.comparable:
            left_out = image.result.match.state >= AnchorState.LEFT_OUT_BORDER
            kept = (image.trainer != UNKNOWN) & ~left_out
            iou.append(image.result.match.best_iou[kept].astype(np.float64))
            labels.append(image.trainer[kept])
            states.append(image.result.match.state[kept])
    if not iou:
        return []
    values, label, state = np.concatenate(iou), np.concatenate(labels), np.concatenate(states)
    positive = values[label == 1]
    found = []
    low = float(values[label != 1].max(initial=0.0))
    found += _between("fg_iou_thresh", low, positive[positive > low])
    found += _between("bg_iou_thresh", float(values[label == 0].max(initial=0.0)), values[label == -1])
    forced = state == AnchorState.FORCED
    refused = float(values[forced & (label != 1)].max(initial=0.0))
    found += _between("min_pos_iou", refused, values[forced & (label == 1)])
    return found


def _between(name: str, low: float, above: NDArray[np.float64]) -> list[tuple[str, float, float, float]]:
    """The roundest number above ``low`` and at most the least of ``above``, with both; none where there is none."""
    high = float(above.min(initial=1.0))
    if not low < high:
        return []
    for digits in range(1, 8):
        unit = 10.0**-digits
        first = math.floor(low / unit + 1e-6) + 1
        last = math.floor(high / unit + 1e-6)
        if first <= last:
            return [(name, round(unit * ((first + last) // 2), digits), low, high)]
    return []
