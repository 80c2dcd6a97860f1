"""Which size and share of the mini-batch make the numbers that a trainer recorded; the labels are its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rpnviz.core import presets
from rpnviz.core.diff import Switch
from rpnviz.core.params import SampleParams
from rpnviz.core.presets import Preset
from rpnviz.core.replay import ImageReplay, SampleCheck, drawn_numbers
from rpnviz.core.replay_search import Explanation

_FIELDS = ("batch_size_per_image", "positive_fraction")


def explain_draw(preset: Preset, images: Sequence[ImageReplay]) -> tuple[Explanation, ...]:
    """The change of ``sample.*`` under which every recorded mini-batch has the numbers that it should have.

    Convention:
        One field before both; a value that another trainer has before one that the numbers alone tell.

    Returns:
        Empty where nothing contradicts the parameters, and where no such change would help.
    """
    checks = [image.sample for image in images if image.sample is not None and image.sample.labelled is not None]
    here = preset.params.sample
    if not checks or _fits(checks, here):
        return ()
    others = [presets.load(name).params.sample for name in presets.names()]
    most = max(checks, key=lambda check: check.positive + check.negative)
    total, positive = most.positive + most.negative, max(check.positive for check in checks)
    batches = list(dict.fromkeys([here.batch_size_per_image, total, *(other.batch_size_per_image for other in others)]))
    shares = list(dict.fromkeys([here.positive_fraction, *(other.positive_fraction for other in others)]))
    if total:
        shares.append(round((positive + 0.5) / total, 6) if positive < total else 1.0)
    tried = [
        replace(here, batch_size_per_image=batch, positive_fraction=share)
        for batch in batches
        if batch
        for share in shares
    ]
    tried.sort(key=lambda params: len(_changed(here, params)))
    for params in tried:
        if _fits(checks, params):
            changed = _changed(here, params)
            switch = Switch(", ".join(name for name, _, _ in changed), changed)
            setting = Preset(preset.name, replace(preset.params, sample=params), preset.conventions)
            return (Explanation((switch,), "", 0, setting),)
    return ()


def _fits(checks: Sequence[SampleCheck], params: SampleParams) -> bool:
    return all(
        check.labelled is None or drawn_numbers(*check.labelled, params) == (check.positive, check.negative)
        for check in checks
    )


def _changed(here: SampleParams, there: SampleParams) -> tuple[tuple[str, object, object], ...]:
    pairs = [(f"sample.{name}", getattr(here, name), getattr(there, name)) for name in _FIELDS]
    return tuple(pair for pair in pairs if pair[1] != pair[2])
