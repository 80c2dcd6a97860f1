"""What a loaded model brings with it, and how that goes together with the settings on the screen."""

from __future__ import annotations

from dataclasses import replace

from rpnviz.app.texts import anchors_against
from rpnviz.core import presets
from rpnviz.core.inputs import ModelSettings
from rpnviz.core.params import Params, ProposalParams
from rpnviz.core.presets import Preset


class LentThresholds:
    """Thresholds and top-n while a model is shown that has some: they go with it, and what was set by hand stays."""

    def __init__(self) -> None:
        self._lent: tuple[ProposalParams, ProposalParams] | None = None

    def take(
        self, present: ProposalParams, own: ProposalParams | None, default: ProposalParams
    ) -> tuple[ProposalParams, bool]:
        """Another model is shown.

        Args:
            present: on the screen.
            own: the model's; None: it has none.
            default: the trainer's.

        Returns:
            What holds now, with the mode of ``present``, and whether the user's own were kept although the model has
            others.
        """
        lent = self._lent is not None and present == self._lent[1]
        before = self._lent[0] if lent and self._lent is not None else present
        wanted = replace(before if own is None else own, mode=present.mode)
        if own is not None and not lent and present != replace(default, mode=present.mode):
            self._lent = None
            return present, wanted != present
        self._lent = (before, wanted) if wanted != before else None
        return wanted, False


def thresholds_words(params: ProposalParams) -> str:
    """``keep before NMS 1,000, score 0, ...``."""
    return (
        f"keep before NMS {params.pre_nms:,}, score {params.score_thresh:g}, NMS IoU {params.nms_thresh:g}, keep after "
        f"NMS {params.post_nms:,}."
    )


def mismatch(settings: ModelSettings, preset: Preset, params: Params) -> str:
    """What of a model does not go together with the trainer and parameters on the screen; empty if all does."""
    lines = []
    if settings.preset not in ("", preset.name):
        lines.append(f"It belongs to {settings.preset}; the top-k, NMS and labels of {preset.name} are applied.")
    lines.append(anchors_against(settings, params, preset.name))
    return " ".join(line for line in lines if line)


def trained_like(settings: ModelSettings, preset: Preset, params: Params) -> tuple[Preset, Params]:
    """Trainer and parameters under which training sees the resize, anchors, coder and rules of a model.

    Where the model belongs to another trainer, the rest is that one's default.
    """
    own = presets.load(settings.preset or preset.name)
    if own.name != preset.name:
        params = replace(own.params, proposals=settings.proposals or own.params.proposals)
    params, _ = settings.applied_to(params, own.conventions)
    return replace(own, conventions=settings.conventions), params
