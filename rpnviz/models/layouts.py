"""Who wrote a state_dict, told by the names of its weights, and the same weights under torchvision's names.

Sources: torchvision ``models/detection``; detectron2 ``modeling/backbone/{resnet,fpn}.py``,
``modeling/proposal_generator/rpn.py``; mmdet ``models/necks/fpn.py``, ``models/dense_heads/rpn_head.py``,
``models/detectors/rpn.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

State = Mapping[str, NDArray]


class Layout(StrEnum):
    """Whose names the weights have; also the name of the preset."""

    TORCHVISION = "torchvision"
    DETECTRON2 = "detectron2"
    MMDETECTION = "mmdetection"
    MATTERPORT = "matterport"
    """Keras files; see :mod:`rpnviz.models.keras_h5`."""


_SIGNS = (
    (Layout.DETECTRON2, "proposal_generator.rpn_head.objectness_logits.weight"),
    (Layout.MMDETECTION, "rpn_head.rpn_cls.weight"),
    (Layout.MMDETECTION, "bbox_head.rpn_cls.weight"),  # the detector RPN of mmdet 3, which has no other head
    (Layout.TORCHVISION, "rpn.head.cls_logits.weight"),
)
_PREFIXES = re.compile(r"^(?:(?:module|model|_orig_mod|ema|student|teacher)\.)+")
"""What wrappers put before all names: DistributedDataParallel, Lightning, torch.compile, averages of weights."""

_NORM = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
_DETECTRON2_NAMES = [
    (r"backbone\.(?:bottom_up\.)?stem\.conv1\.weight", "backbone.body.conv1.weight"),
    (rf"backbone\.(?:bottom_up\.)?stem\.conv1\.norm\.{_NORM}", r"backbone.body.bn1.\1"),
    (r"backbone\.(?:bottom_up\.)?res(\d)\.(\d+)\.conv(\d)\.weight", r"backbone.body.layer<\1>.\2.conv\3.weight"),
    (rf"backbone\.(?:bottom_up\.)?res(\d)\.(\d+)\.conv(\d)\.norm\.{_NORM}", r"backbone.body.layer<\1>.\2.bn\3.\4"),
    (r"backbone\.(?:bottom_up\.)?res(\d)\.(\d+)\.shortcut\.weight", r"backbone.body.layer<\1>.\2.downsample.0.weight"),
    (
        rf"backbone\.(?:bottom_up\.)?res(\d)\.(\d+)\.shortcut\.norm\.{_NORM}",
        r"backbone.body.layer<\1>.\2.downsample.1.\3",
    ),
    (r"backbone\.fpn_lateral(\d)\.(weight|bias)", r"backbone.fpn.inner_blocks.<<\1>>.0.\2"),
    (rf"backbone\.fpn_lateral(\d)\.norm\.{_NORM}", r"backbone.fpn.inner_blocks.<<\1>>.1.\2"),
    (r"backbone\.fpn_output(\d)\.(weight|bias)", r"backbone.fpn.layer_blocks.<<\1>>.0.\2"),
    (rf"backbone\.fpn_output(\d)\.norm\.{_NORM}", r"backbone.fpn.layer_blocks.<<\1>>.1.\2"),
    (r"proposal_generator\.rpn_head\.conv\.(weight|bias)", r"rpn.head.conv.0.0.\1"),
    (r"proposal_generator\.rpn_head\.conv\.conv(\d+)\.(weight|bias)", r"rpn.head.conv.\1.0.\2"),
    (r"proposal_generator\.rpn_head\.objectness_logits\.(weight|bias)", r"rpn.head.cls_logits.\1"),
    (r"proposal_generator\.rpn_head\.anchor_deltas\.(weight|bias)", r"rpn.head.bbox_pred.\1"),
]
_MMDETECTION_NAMES = [
    (r"backbone\.((?:conv1|bn1|layer\d)\..*)", r"backbone.body.\1"),
    (r"neck\.lateral_convs\.(\d)\.conv\.(weight|bias)", r"backbone.fpn.inner_blocks.\1.0.\2"),
    (rf"neck\.lateral_convs\.(\d)\.bn\.{_NORM}", r"backbone.fpn.inner_blocks.\1.1.\2"),
    (r"neck\.fpn_convs\.(\d)\.conv\.(weight|bias)", r"backbone.fpn.layer_blocks.\1.0.\2"),
    (rf"neck\.fpn_convs\.(\d)\.bn\.{_NORM}", r"backbone.fpn.layer_blocks.\1.1.\2"),
    (r"(?:rpn|bbox)_head\.rpn_conv\.(weight|bias)", r"rpn.head.conv.0.0.\1"),
    (r"(?:rpn|bbox)_head\.rpn_conv\.(\d+)\.conv\.(weight|bias)", r"rpn.head.conv.\1.0.\2"),
    (r"(?:rpn|bbox)_head\.rpn_cls\.(weight|bias)", r"rpn.head.cls_logits.\1"),
    (r"(?:rpn|bbox)_head\.rpn_reg\.(weight|bias)", r"rpn.head.bbox_pred.\1"),
]
# Before 0.13 torchvision's pyramid and head had no Sequential around their convolutions.
_TORCHVISION_NAMES = [
    (r"rpn\.head\.conv\.(weight|bias)", r"rpn.head.conv.0.0.\1"),
    (r"backbone\.fpn\.(inner|layer)_blocks\.(\d)\.(weight|bias)", r"backbone.fpn.\1_blocks.\2.0.\3"),
]
_NAMES = {
    Layout.TORCHVISION: _TORCHVISION_NAMES,
    Layout.DETECTRON2: _DETECTRON2_NAMES,
    Layout.MMDETECTION: _MMDETECTION_NAMES,
}


def layout_of(names: Mapping[str, object]) -> Layout | None:
    """Whose weights these are; None if they are no RPN's of a known framework."""
    bare = {_PREFIXES.sub("", name) for name in names}
    for layout, sign in _SIGNS:
        if sign in bare or sign.removesuffix(".weight") in bare:
            return layout
    return None


def weight_sets(state: State) -> dict[str, State]:
    """The weights that belong together, by what stands before all their names, without the last dot: empty for nothing.

    A student and its teacher, or a network and the average of its weights, are two sets. Sets without a head are left
    out: a file has other things beside its network.
    """
    sets: dict[str, dict[str, NDArray]] = {}
    for name, value in state.items():
        found = _PREFIXES.match(name)
        sets.setdefault(found[0].rstrip(".") if found else "", {})[name] = value
    return {prefix: held for prefix, held in sets.items() if layout_of(held) is not None}


def usual_set(sets: Mapping[str, State]) -> str:
    """Which of several translated sets is evaluated: of the complete ones the teacher or average, else the first.

    Source: mmdet ``models/detectors/semi_base.py`` (``predict_on`` is the teacher); averages are kept to be evaluated.
    """
    most = max(map(size_of, sets.values()))
    complete = [prefix for prefix, held in sets.items() if size_of(held) == most]
    averages = [prefix for prefix in complete if {"teacher", "ema"} & set(prefix.split("."))]
    return (averages or complete)[0]


def size_of(state: State) -> int:
    """Number of tensors of a translated set that make proposals, without counters, which averages lack."""
    return sum(name.startswith(("backbone.", "rpn.")) and not name.endswith("num_batches_tracked") for name in state)


def translate(state: State, layout: Layout) -> dict[str, NDArray]:
    """The weights under torchvision's present names; what has no such name keeps its own."""
    bare = {_PREFIXES.sub("", name): value for name, value in state.items()}
    if layout not in _NAMES:
        return bare
    rules = [(re.compile(pattern), new) for pattern, new in _NAMES[layout]]
    renamed = {}
    for name, value in bare.items():
        for pattern, new in rules:
            if pattern.fullmatch(name):
                name = pattern.sub(new, name)
                break
        renamed[name] = value
    if layout is not Layout.DETECTRON2:
        return renamed
    # Stages count from res2; the pyramid from the finest level there is.
    laterals = [int(found) for name in renamed for found in re.findall(r"inner_blocks\.<<(\d)>>", name)]
    first = min(laterals, default=2)
    final = {}
    for name, value in renamed.items():
        name = re.sub(r"layer<(\d)>", lambda found: f"layer{int(found[1]) - 1}", name)
        final[re.sub(r"<<(\d)>>", lambda found: str(int(found[1]) - first), name)] = value
    return final


def merge_softmax(state: State, foreground: int) -> dict[str, NDArray]:
    """A head with a logit for background and one for foreground as a head with one logit: their difference.

    Args:
        state: under torchvision's names; ``cls_logits`` has twice as many channels as anchors.
        foreground: which of the two of an anchor, 0 or 1.
    """
    merged = dict(state)
    for part in ("weight", "bias"):
        name = f"rpn.head.cls_logits.{part}"
        pairs = np.asarray(state[name], np.float32)
        pairs = pairs.reshape(-1, 2, *pairs.shape[1:])
        merged[name] = pairs[:, foreground] - pairs[:, 1 - foreground]
    return merged


def is_softmax(state: State) -> bool:
    """Whether a head under torchvision's names has two logits per anchor."""
    logits, deltas = state.get("rpn.head.cls_logits.weight"), state.get("rpn.head.bbox_pred.weight")
    return logits is not None and deltas is not None and 2 * logits.shape[0] == deltas.shape[0]
