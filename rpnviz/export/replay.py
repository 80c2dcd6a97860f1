"""A captured step replayed, for reading and as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rpnviz.core import presets
from rpnviz.core.finite import Cause, find_cause
from rpnviz.core.losses import RULES, StepLosses, step_losses
from rpnviz.core.matching import AnchorState
from rpnviz.core.presets import Preset
from rpnviz.core.recording import RecordedStep
from rpnviz.core.replay import UNKNOWN, ImageReplay, replay, sentence
from rpnviz.core.replay_draw import explain_draw
from rpnviz.core.replay_search import Explanation, explain
from rpnviz.export.tables import number

_MOST_ANCHORS = 1000
"""Differing anchors of an image that are listed; the count is always whole."""
_MOST_LINES = 4
SAME_LOSS = 1e-5
"""Sums of losses are the logged ones up to this, relative above 1."""


@dataclass(frozen=True, eq=False)
class StepReplay:
    """Everything there is to say of a captured step.

    Attributes:
        step: the recording.
        preset: under which it was replayed.
        images: one by one.
        explanations: changes that would make it equal; None where they were not looked for.
        losses: per anchor; None where the recording lacks what they need, or the trainer has no RPN.
        cause: of a step that is not finite, else None.
    """

    step: RecordedStep
    preset: Preset
    images: tuple[ImageReplay, ...]
    explanations: tuple[Explanation, ...] | None
    losses: StepLosses | None
    cause: Cause | None

    @property
    def passes(self) -> bool:
        """Whether something was compared, and everything is reproduced and finite."""
        return not self.cause and self.step.finite and self.reproduced and any(image.tells for image in self.images)

    @property
    def reproduced(self) -> bool:
        """Whether nothing that is recorded differs, the numbers of the mini-batch included."""
        return all(image.reproduced for image in self.images)

    @property
    def sentence(self) -> str:
        """``trainer 131 positive, rpnviz 131, 0 differ``."""
        return sentence(self.images)


def preset_of(step: RecordedStep) -> Preset:
    """The preset that the recording names, else torchvision's."""
    return presets.load(step.framework or "torchvision")


def replay_step(
    step: RecordedStep,
    preset: Preset,
    earlier: Sequence[RecordedStep] = (),
    check: Callable[[], None] = lambda: None,
    *,
    search: bool = True,
) -> StepReplay:
    """Replay a step, and look for what would make it equal.

    Args:
        step: the recording.
        preset: trainer, parameters and conventions.
        earlier: recorded steps before it.
        check: called now and then; what it raises ends the work.
        search: look for an explanation where something differs.

    Raises:
        ShapeError: the recorded anchors do not stand on the recorded grids.
    """
    images = replay(step, preset)
    check()
    found = (*explain(step, preset, images, check), *explain_draw(preset, images)) if search else None
    return StepReplay(step, preset, images, found, losses_of(step, preset), find_cause(step, earlier))


def losses_of(step: RecordedStep, preset: Preset) -> StepLosses | None:
    """The losses per anchor by the rule of the recorded trainer, else of the preset."""
    rule = RULES.get(step.framework or preset.name)
    return None if rule is None else step_losses(step, rule, preset.params.sample.batch_size_per_image)


def replay_table(found: StepReplay, path: Path) -> dict[str, Any]:
    """Strict JSON; ``differ`` lists at most 1,000 anchors of an image, ``labels_differ`` counts them all."""
    step = found.step
    return {
        "file": str(path),
        "step": step.step,
        "framework": step.framework or step.stated_framework,
        "preset": found.preset.name,
        "finite": step.finite,
        "losses": {name: number(value) for name, value in step.losses.items()},
        "cause": None
        if found.cause is None
        else {"where": found.cause.where, "text": found.cause.text, "image": found.cause.image, "gt": found.cause.gt},
        "sentence": found.sentence,
        "equal": found.reproduced,
        "compared": any(image.tells for image in found.images),
        "images": [_image_table(image) for image in found.images],
        "explanations": None
        if found.explanations is None
        else [
            {
                "preset": explanation.preset or None,
                "fields": [
                    {"field": name, "here": str(here), "trainer": str(there)}
                    for switch in explanation.switches
                    for name, here, there in switch.values
                ],
                "remaining": explanation.remaining,
            }
            for explanation in found.explanations
        ],
        "rpn_losses": _losses_table(found.losses),
    }


def _image_table(image: ImageReplay) -> dict[str, Any]:
    counts = {name: image.count(label) for name, label in (("positive", 1), ("negative", 0), ("neutral", -1))}
    state = image.result.match.state
    anchors, sample = image.anchors, image.sample
    return {
        "comparable": image.comparable,
        "trainer": {name: both[0] for name, both in counts.items()},
        "rpnviz": {name: both[1] for name, both in counts.items()},
        "labels_differ": len(image.labels_differ),
        "targets_differ": len(image.targets_differ),
        "largest_target_error": number(image.target_error),
        "differ": [
            {
                "anchor": index,
                "trainer": label_text(int(image.trainer[index])),
                "rpnviz": AnchorState(state[index]).name,
            }
            for index in image.labels_differ[:_MOST_ANCHORS].tolist()
        ],
        "anchors": None
        if anchors is None
        else {
            "recorded": anchors.recorded,
            "rpnviz": anchors.own,
            "differ": len(anchors.differ),
            "largest": number(anchors.largest),
            "reordered": anchors.reordered,
        },
        "sample": None
        if sample is None
        else {
            "positive": sample.positive,
            "negative": sample.negative,
            "expected_positive": sample.expected_positive,
            "expected_negative": sample.expected_negative,
            "other_label": len(sample.wrong),
        },
    }


def _losses_table(losses: StepLosses | None) -> dict[str, Any] | None:
    if losses is None:
        return None
    return {
        name: {"sum": number(total), "logged": None if logged is None else number(logged)}
        for name, total, logged in (
            ("objectness", losses.objectness, losses.logged_objectness),
            ("box", losses.box, losses.logged_box),
        )
    }


def label_text(label: int) -> str:
    """A recorded label in words."""
    return {1: "positive", 0: "negative", -1: "neutral", UNKNOWN: "not told"}[label]


def same_loss(total: float, logged: float) -> bool:
    """Whether a sum is the logged loss."""
    if not math.isfinite(total) or not math.isfinite(logged):
        return total == logged or (math.isnan(total) and math.isnan(logged))
    return abs(total - logged) <= SAME_LOSS * max(1.0, abs(logged))


def replay_lines(found: StepReplay, path: Path) -> list[str]:
    """For reading: the sentence, the cause of what is not finite, what would make it equal, the losses."""
    noun = "image" if len(found.images) == 1 else "images"
    lines = [f"{path.name}, step {found.step.step:,}, {len(found.images)} {noun}: {found.sentence}"]
    if found.step.stated_framework:
        lines.append(f"  {unknown_trainer(found.step)}")
    if found.cause is not None:
        lines.append(f"  not finite: {found.cause.text}")
    explanations = found.explanations or ()
    for explanation in explanations[:_MOST_LINES]:
        rest = "" if not explanation.remaining else f" ({explanation.remaining:,} would still differ)"
        lines.append(f"  explained by {explanation.text}{rest}")
    if len(explanations) > _MOST_LINES:
        lines.append(f"  or {len(explanations) - _MOST_LINES} more")
    if found.explanations == () and not found.reproduced:
        lines.append("  no convention or threshold that was tried explains it")
    if found.losses is not None:
        lines.append(f"  {losses_text(found.losses)}")
    return lines


def unknown_trainer(step: RecordedStep) -> str:
    """What to say of a recording whose ``framework`` is no preset."""
    known = ", ".join(presets.names())
    return f"no rules are known for its framework {step.stated_framework!r}; those of another trainer apply ({known})"


def losses_text(losses: StepLosses) -> str:
    """``losses of the sampled anchors: objectness 0.693147 = logged, boxes 0.05 (logged 0.06)``."""
    parts = []
    for name, total, logged in (
        ("objectness", losses.objectness, losses.logged_objectness),
        ("boxes", losses.box, losses.logged_box),
    ):
        told = "" if logged is None else " = logged" if same_loss(total, logged) else f" (logged {logged:.6g})"
        parts.append(f"{name} {total:.6g}{told}")
    return f"losses of the sampled anchors: {', '.join(parts)}"
