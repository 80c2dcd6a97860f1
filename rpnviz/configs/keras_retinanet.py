"""keras-retinanet's INI file of anchors, as ``--config`` takes it.

Source: keras-retinanet ``utils/config.py: read_config_file, parse_anchor_parameters``, ``utils/anchors.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

from rpnviz.configs.base import TrainerConfig
from rpnviz.configs.documents import Document, Kind
from rpnviz.configs.draft import Draft, Section
from rpnviz.core import presets
from rpnviz.core.params import Params
from rpnviz.core.presets import Preset
from rpnviz.errors import ConfigFileError

_SECTION = "anchor_parameters"
_KEYS = ("sizes", "strides", "ratios", "scales")
_ARGUMENT = "it is an argument of anchor_targets_bbox, which the file cannot give"


class KerasRetinanet:
    """See :class:`~rpnviz.configs.base.ConfigFormat`."""

    name = "keras-retinanet"
    presets = ("keras-retinanet",)
    kind = Kind.INI
    names: Mapping[str, str] = {
        "match.fg_iou_thresh": "anchor_targets_bbox(positive_overlap=...)",
        "match.bg_iou_thresh": "anchor_targets_bbox(negative_overlap=...), itself still negative",
        "match.allow_low_quality_matches": "no such rule",
        "anchors.sizes": "[anchor_parameters] sizes times scales",
        "anchors.aspect_ratios": "[anchor_parameters] ratios",
        "sample.batch_size_per_image": "no mini-batch: all positives and negatives train (focal loss)",
        "sample.positive_fraction": "no mini-batch: all positives and negatives train (focal loss)",
    }
    limits: Mapping[str, str] = {
        "resize.": "it is --image-min-side, --image-max-side and the generator's code, which the file cannot give",
        "anchors.offset": "anchors stand in the middle of their cells",
        "anchors.aspect_ratios": "all levels have the same ratios",
        "anchors.base_sizes": "a level has one whole number as its size, and all levels have the same scales",
        "anchors.sizes": "a level has one whole number as its size, and all levels have the same scales",
        "anchors.scales": "all levels have the same scales",
        "anchors.strides": "the pyramid has the levels P3 to P7 unless [pyramid_levels] says otherwise",
        "anchors.": "the file knows sizes, strides, ratios and scales alone",
        "match.fg_iou_thresh": _ARGUMENT,
        "match.bg_iou_thresh": _ARGUMENT,
        "match.": "there is no such rule",
        "sample.": "there is no mini-batch",
        "coder.": "it is fixed in bbox_transform",
        "proposals.": "there are no proposals",
        "conventions.": "it is fixed in the code",
    }

    def sniff(self, document: Document) -> int:
        """See :meth:`~rpnviz.configs.base.ConfigFormat.sniff`."""
        return 90 if document.kind is Kind.INI and _SECTION in document.value else 0

    def read(self, document: Document, preset: str) -> TrainerConfig:
        """See :meth:`~rpnviz.configs.base.ConfigFormat.read`."""
        draft = Draft(document.path, presets.load(preset))
        root = Section(draft, document.value)
        given = root.section(_SECTION)
        numbers = {}
        for key in _KEYS:
            raw = given.get(key)
            if raw is None:
                raise ConfigFileError(
                    f"{key} is missing; keras-retinanet needs all of {', '.join(_KEYS)}.",
                    where=f"{document.path}, [{_SECTION}]",
                    way_out="Add it, numbers separated by one space.",
                )
            numbers[key] = _numbers(draft, key, raw, whole=key in ("sizes", "strides"))
        levels = len(numbers["strides"])
        if len(numbers["sizes"]) != levels:
            raise draft.refuse(
                f"[{_SECTION}] sizes", given.get("sizes"), f"expected {levels} numbers: one per entry of strides"
            )
        for key, fields in (
            ("strides", {"anchors.strides": numbers["strides"]}),
            ("sizes", {"anchors.base_sizes": numbers["sizes"]}),
            ("scales", {"anchors.scales": numbers["scales"]}),
            ("ratios", {"anchors.aspect_ratios": [numbers["ratios"]] * levels}),
        ):
            draft.put(fields, f"[{_SECTION}] {key}", given.get(key))
        pyramid = root.section("pyramid_levels")
        raw = pyramid.get("levels")
        if raw is not None:
            named = _numbers(draft, "levels", raw, whole=True, section="pyramid_levels")
            if [2**level for level in named] != numbers["strides"]:
                raise draft.refuse(
                    "[pyramid_levels] levels", raw, f"its strides are not those given, {numbers['strides']}"
                )
            draft.put({}, "[pyramid_levels] levels", raw)
        elif numbers["strides"] != [8, 16, 32, 64, 128]:
            draft.assume("[pyramid_levels]", "the network's levels have the strides given")
        root.close()
        return draft.finish(self.name)

    def write(self, params: Params, preset: Preset, flip: bool | None = None) -> str:
        """See :meth:`~rpnviz.configs.base.ConfigFormat.write`."""
        anchors = params.anchors
        bases = anchors.base_sizes if isinstance(anchors.base_sizes, tuple) else (0.0,) * len(anchors.strides)
        lines = [
            f"[{_SECTION}]",
            "sizes   = " + " ".join(str(int(size)) for size in bases),
            "strides = " + " ".join(map(str, anchors.strides)),
            "ratios  = " + " ".join(map(repr, anchors.aspect_ratios[0])),
            "scales  = " + " ".join(map(repr, anchors.scales)),
        ]
        levels = [stride.bit_length() - 1 for stride in anchors.strides]
        if levels != [3, 4, 5, 6, 7]:
            lines += ["", "[pyramid_levels]", "levels = " + " ".join(map(str, levels))]
        return "\n".join(lines) + "\n"


def _numbers(draft: Draft, key: str, raw: str, *, whole: bool, section: str = _SECTION) -> list[float]:
    try:
        found: list[float] = [int(part) if whole else float(part) for part in raw.split()]
    except ValueError as error:
        kind = "whole numbers" if whole else "numbers"
        raise draft.refuse(f"[{section}] {key}", raw, f"expected {kind} separated by one space") from error
    if not found:
        raise draft.refuse(f"[{section}] {key}", raw, "expected at least one number")
    if any(abs(number) > 1e6 for number in found):
        raise draft.refuse(f"[{section}] {key}", raw, "expected numbers up to 1,000,000")
    return found
