"""Runs the backbone, pyramid and RPN head that a checkpoint describes; everything is inferred from names and shapes.

Weights are named as torchvision names them (``backbone.body``, ``backbone.fpn``, ``rpn.head``); other frameworks'
names are translated before. This module needs torch at import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from rpnviz.errors import ModelFileError
from rpnviz.models.base import stop_if_asked

State = Mapping[str, NDArray]


@dataclass(frozen=True)
class NetOptions:
    """What no file tells.

    Attributes:
        bn_eps: epsilon of every batch normalisation.
        stride_in_1x1: whether a bottleneck halves the resolution in its first convolution (Caffe) and not in its 3x3.
        same_pool: whether the stem's pooling pads only at the right and bottom (Keras).
    """

    bn_eps: float = 1e-5
    stride_in_1x1: bool = False
    same_pool: bool = False


@dataclass(frozen=True, eq=False)
class Frozen:
    """A normalisation with fixed statistics, as torchvision ``ops.misc.FrozenBatchNorm2d`` computes it."""

    scale: Tensor
    shift: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C, H, W) of the same shape."""
        return x * self.scale + self.shift


@dataclass(frozen=True, eq=False)
class BatchNorm:
    """``nn.BatchNorm2d`` at inference."""

    mean: Tensor
    variance: Tensor
    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C, H, W) of the same shape."""
        return functional.batch_norm(x, self.mean, self.variance, self.weight, self.bias, False, 0.0, self.eps)


@dataclass(frozen=True, eq=False)
class Conv:
    """A convolution and the normalisation behind it; pads so that stride 1 keeps the size.

    They stay apart, and in torch's usual memory order: folded they would be a fifth faster, but equal scores, of which
    saturated or flat outputs have thousands, would fall out in another order than in the framework itself.
    """

    weight: Tensor
    bias: Tensor | None
    norm: Frozen | BatchNorm | None = None
    stride: int = 1
    groups: int = 1
    dilation: int = 1

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride)."""
        pad = self.dilation * (self.weight.shape[-1] - 1) // 2
        y = functional.conv2d(x, self.weight, self.bias, self.stride, pad, self.dilation, self.groups)
        return y if self.norm is None else self.norm(y)


class Weights:
    """Takes named arrays out of a state_dict."""

    def __init__(self, state: State, options: NetOptions, device: str) -> None:
        self._state = state
        self._device = device
        self.options = options

    def __contains__(self, name: str) -> bool:
        return name in self._state

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of an array, () if it is not there."""
        return tuple(self._state[name].shape) if name in self._state else ()

    def count(self, pattern: str) -> int:
        """How many of ``pattern.format(0)``, ``pattern.format(1)``, ... there are in a row."""
        number = 0
        while pattern.format(number) in self._state:
            number += 1
        return number

    def take(self, name: str) -> NDArray[np.float32]:
        """An array as float32."""
        stop_if_asked()
        if name not in self._state:
            raise ModelFileError(f"the weight {name!r} is missing.")
        return np.array(self._state[name], np.float32, order="C")  # of its own: what was read may be read-only

    def conv(self, name: str, norm: str | None = None, stride: int = 1) -> Conv:
        """The convolution ``name``, with the normalisation ``norm`` behind it if that is there."""
        weight = self.take(f"{name}.weight")
        if weight.ndim != 4 or weight.shape[2] != weight.shape[3]:
            raise ModelFileError(f"the weight '{name}.weight' has shape {weight.shape}, expected (out, in, k, k).")
        bias = self._tensor(f"{name}.bias") if f"{name}.bias" in self._state else None
        behind = self._norm(norm) if norm is not None and f"{norm}.running_var" in self._state else None
        return Conv(torch.from_numpy(weight).to(self._device), bias, behind, stride)

    def _norm(self, name: str) -> Frozen | BatchNorm:
        """The normalisation of that name: one that counts its batches is not frozen."""
        weight, bias, mean, variance = (
            self._tensor(f"{name}.{part}") for part in ("weight", "bias", "running_mean", "running_var")
        )
        if f"{name}.num_batches_tracked" in self._state:
            return BatchNorm(mean, variance, weight, bias, self.options.bn_eps)
        weight, bias, mean, variance = (part.reshape(1, -1, 1, 1) for part in (weight, bias, mean, variance))
        scale = weight * (variance + self.options.bn_eps).rsqrt()
        return Frozen(scale, bias - mean * scale)

    def _tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.take(name)).to(self._device)


@dataclass(frozen=True, eq=False)
class _Block:
    """A residual block: two or three convolutions, and the shortcut where the shape changes."""

    convs: tuple[Conv, ...]
    shortcut: Conv | None

    def __call__(self, x: Tensor) -> Tensor:
        y = x
        for conv in self.convs[:-1]:
            y = functional.relu_(conv(y))
        y = self.convs[-1](y)
        y += x if self.shortcut is None else self.shortcut(x)
        return functional.relu_(y)


class ResNet:
    """ResNet and ResNeXt of any depth, with blocks of two or three convolutions.

    Attributes:
        widths: channels of the stages.
        strides: input px between their positions.
        name: such as ResNet-50.
    """

    def __init__(self, weights: Weights, prefix: str, dilated: bool) -> None:
        """``dilated``: the fourth stage keeps the resolution, and its 3x3 convolutions reach twice as far (DC5)."""
        self.strides = (4, 8, 16, 16 if dilated else 32)
        self._same_pool = weights.options.same_pool
        self._stem = weights.conv(f"{prefix}conv1", f"{prefix}bn1", 2)
        self._stages: list[list[_Block]] = []
        deep = f"{prefix}layer1.0.conv3.weight" in weights
        last = 3 if deep else 2
        for stage in range(1, 5):
            blocks = []
            kept = dilated and stage == 4
            for number in range(weights.count(f"{prefix}layer{stage}.{{}}.conv1.weight")):
                here = f"{prefix}layer{stage}.{number}."
                stride = 2 if stage > 1 and number == 0 and not kept else 1
                first = stride if not deep or weights.options.stride_in_1x1 else 1
                strides = (first, stride // first, 1)[:last]
                convs = [
                    _grouped(weights.conv(f"{here}conv{k + 1}", f"{here}bn{k + 1}", strides[k]), before, 1 + kept)
                    for k, before in zip(range(last), _inputs(weights, here, last), strict=True)
                ]
                down = f"{here}downsample.0"
                shortcut = weights.conv(down, f"{here}downsample.1", stride) if f"{down}.weight" in weights else None
                blocks.append(_Block(tuple(convs), shortcut))
            if blocks:
                self._stages.append(blocks)
        self.widths = tuple(int(stage[-1].convs[-1].weight.shape[0]) for stage in self._stages)
        self.name = _resnet_name([len(stage) for stage in self._stages], deep, self._stages)

    def __call__(self, x: Tensor, checkpoint: Callable[[], None]) -> list[Tensor]:
        """The output of every stage."""
        x = functional.relu_(self._stem(x))
        if self._same_pool:
            x = functional.max_pool2d(functional.pad(x, (0, 1, 0, 1)), 3, 2)
        else:
            x = functional.max_pool2d(x, 3, 2, 1)
        found = []
        for stage in self._stages:
            for block in stage:
                checkpoint()
                x = block(x)
            found.append(x)
        return found


def _inputs(weights: Weights, here: str, last: int) -> list[int]:
    """Channels that enter the convolutions of a block: the outputs of the one before, from shapes."""
    first = weights.shape(f"{here}conv1.weight")
    return [first[1] if len(first) == 4 else 0] + [
        (weights.shape(f"{here}conv{k}.weight") or (0,))[0] for k in range(1, last)
    ]


def _grouped(conv: Conv, inputs: int, dilation: int) -> Conv:
    """With as many groups as its shape says; dilation of a 1x1 means nothing."""
    groups = inputs // conv.weight.shape[1] if conv.weight.shape[1] else 1
    return replace(conv, groups=max(groups, 1), dilation=dilation)


_DEPTHS: dict[tuple[int, ...], int] = {(2, 2, 2, 2): 18, (3, 4, 6, 3): 50, (3, 4, 23, 3): 101, (3, 8, 36, 3): 152}


def _resnet_name(depths: Sequence[int], deep: bool, stages: list[list[_Block]]) -> str:
    depth = _DEPTHS.get(tuple(depths), 0)
    if not deep and depth == 50:
        depth = 34
    groups = stages[0][0].convs[1].groups if stages else 1
    kind = "ResNeXt" if groups > 1 else "ResNet"
    return f"{kind}-{depth}" if depth else f"{kind} with {'+'.join(map(str, depths))} blocks"


class MobileNetV3:
    """MobileNetV3-Large up to its last convolution, as torchvision's detectors use it.

    Source: Searching for MobileNetV3, table 1; torchvision ``models/mobilenetv3.py``, ``detection/backbone_utils.py``.
    """

    widths = (160, 960)
    strides = (32, 32)
    name = "MobileNetV3-Large"
    _HALVING = (2, 4, 7, 13)
    _HARD_FROM = 7

    def __init__(self, weights: Weights, prefix: str) -> None:
        self._stem = weights.conv(f"{prefix}0.0", f"{prefix}0.1", 2)
        self._blocks = [self._block(weights, prefix, number) for number in range(1, 16)]
        self._last = weights.conv(f"{prefix}16.0", f"{prefix}16.1")

    def _block(self, weights: Weights, prefix: str, number: int) -> Callable[[Tensor], Tensor]:
        here = f"{prefix}{number}.block."
        stride = 2 if number in self._HALVING else 1
        act = functional.hardswish if number >= self._HARD_FROM else functional.relu
        layers: list[Conv] = []
        gate: tuple[Conv, Conv] | None = None
        gate_after = -1
        part = 0
        while True:
            if f"{here}{part}.0.weight" in weights:
                conv = weights.conv(f"{here}{part}.0", f"{here}{part}.1")
                deep = conv.weight.shape[1] == 1 and conv.weight.shape[0] > 1
                groups = conv.weight.shape[0] if deep else 1
                layers.append(replace(conv, stride=stride if deep else 1, groups=groups))
            elif f"{here}{part}.fc1.weight" in weights:
                gate = weights.conv(f"{here}{part}.fc1"), weights.conv(f"{here}{part}.fc2")
                gate_after = len(layers)
            else:
                break
            part += 1
        if not layers:
            raise ModelFileError(f"the weight '{here}0.0.weight' is missing.")

        def run(x: Tensor) -> Tensor:
            y = x
            for place, conv in enumerate(layers):
                if gate is not None and place == gate_after:
                    squeezed = functional.relu(gate[0](functional.adaptive_avg_pool2d(y, 1)))
                    y = y * functional.hardsigmoid(gate[1](squeezed))
                y = conv(y)
                if place < len(layers) - 1:
                    y = act(y)
            return y + x if y.shape == x.shape else y

        return run

    def __call__(self, x: Tensor, checkpoint: Callable[[], None]) -> list[Tensor]:
        """The outputs of the 13th block and of the last convolution."""
        x = functional.hardswish(self._stem(x))
        found = []
        for number, block in enumerate(self._blocks, 1):
            checkpoint()
            x = block(x)
            if number == 13:
                found.append(x)
        return [*found, functional.hardswish(self._last(x))]


@dataclass(frozen=True, eq=False)
class _Head:
    """Convolutions, then logits and deltas, shared by the levels."""

    convs: tuple[Conv, ...]
    objectness: Conv
    deltas: Conv

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for conv in self.convs:
            x = functional.relu(conv(x))
        return self.objectness(x), self.deltas(x)


class Detector:
    """Backbone, pyramid and head up to the raw outputs of the RPN.

    Attributes:
        cells: anchors at one position, the same on every level.
        strides: input px between the positions of each level, finest first.
        description: what was recognised, in words.
    """

    def __init__(self, state: State, options: NetOptions, device: str = "cpu") -> None:
        weights = Weights(state, options, device)
        body, fpn = "backbone.body.", "backbone.fpn."
        levels = weights.count(fpn + "inner_blocks.{}.0.weight")
        # Without a pyramid the frameworks' only models of four stages are dilated: detectron2 Base-RCNN-DilatedC5.yaml,
        # mmdet faster-rcnn_r50-caffe-dc5.py.
        self._body: ResNet | MobileNetV3 = (
            MobileNetV3(weights, body) if f"{body}0.0.weight" in weights else ResNet(weights, body, dilated=not levels)
        )
        inputs = [weights.shape(f"{fpn}inner_blocks.{k}.0.weight")[1] for k in range(levels)]
        # Without a pyramid the head stands on the last stage there is: a C4 model has three.
        self._used = _positions(inputs, self._body.widths) if levels else [len(self._body.widths) - 1]
        self._inner, self._layer = (
            [weights.conv(f"{fpn}{group}.{k}.0", f"{fpn}{group}.{k}.1") for k in range(levels)]
            for group in ("inner_blocks", "layer_blocks")
        )
        head = "rpn.head."
        convs = tuple(weights.conv(f"{head}conv.{k}.0") for k in range(weights.count(head + "conv.{}.0.weight")))
        self._head = _Head(convs, weights.conv(f"{head}cls_logits"), weights.conv(f"{head}bbox_pred"))
        self.cells = int(self._head.objectness.weight.shape[0])
        if self._head.deltas.weight.shape[0] != 4 * self.cells:
            raise ModelFileError(
                f"it has {self.cells} logits and {self._head.deltas.weight.shape[0]} deltas per position, expected "
                "four deltas for each logit."
            )
        strides = [self._body.strides[k] for k in self._used]
        self.strides = (*strides, 2 * strides[-1]) if levels else tuple(strides)
        norm = f"{fpn}inner_blocks.0.1.running_var" in weights
        pyramid = f"FPN with {levels} + 1 levels{' and batch normalisation' if norm else ''}"
        if not levels:
            dilated = "D" if len(self._body.widths) == 4 else ""
            pyramid = f"{dilated}C{len(self._body.widths) + 1} without a pyramid"
        depth = f"a head of {len(convs)} convolution{'' if len(convs) == 1 else 's'}"
        self.description = f"{self._body.name}, {pyramid}, {depth}, {self.cells} anchors per position"

    def __call__(self, images: Tensor, checkpoint: Callable[[], None]) -> list[tuple[Tensor, Tensor]]:
        """Logits (N, A, H, W) and deltas (N, 4 A, H, W) of every level, from normalised images (N, 3, H, W)."""
        features = self._body(images, checkpoint)
        if not self._inner:
            checkpoint()
            return [self._head(features[-1])]
        merged = [inner(features[k]) for inner, k in zip(self._inner, self._used, strict=True)]
        for level in range(len(merged) - 2, -1, -1):
            checkpoint()
            size = merged[level].shape[-2:]
            merged[level] = merged[level] + functional.interpolate(merged[level + 1], size=size, mode="nearest")
        pyramid = []
        for layer, feature in zip(self._layer, merged, strict=True):
            checkpoint()
            pyramid.append(layer(feature))
        pyramid.append(functional.max_pool2d(pyramid[-1], 1, 2, 0))
        found = []
        for feature in pyramid:
            checkpoint()
            found.append(self._head(feature))
        return found


def _positions(inputs: Sequence[int], widths: Sequence[int]) -> list[int]:
    """Which stages feed the pyramid, by their channels."""
    found: list[int] = []
    for channels in inputs:
        start = found[-1] + 1 if found else 0
        place = next((k for k in range(start, len(widths)) if widths[k] == channels), None)
        if place is None:
            raise ModelFileError(f"the pyramid takes {channels} channels, but the stages have {tuple(widths)}.")
        found.append(place)
    return found
