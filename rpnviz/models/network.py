"""A small region proposal network with a feature pyramid; the one module that needs torch at import.

N images, L levels, A anchors at one position, grids of (H, W) positions. Layer names are the keys of rpnviz's own
weight files, so renaming a layer here makes older files unreadable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)
"""Input pixels between the positions of each level, finest first."""
_MEAN, _SPREAD = 127.5, 64.0
"""Pixels 0..255 enter as (value - 127.5) / 64, so that padding with 0 is mid-grey and not a black edge."""


class Widths(NamedTuple):
    """Channels of the network.

    Attributes:
        stem: of the two convolutions at strides 2 and 4.
        stages: of the stages at strides 8, 16 and 32.
        pyramid: of the feature pyramid and of the head.
    """

    stem: tuple[int, int] = (16, 24)
    stages: tuple[int, int, int] = (48, 80, 112)
    pyramid: int = 64


class HeadOutput(NamedTuple):
    """Raw outputs of one level: ``objectness`` logits (N, A, H, W) and ``deltas`` (N, A, 4, H, W), dx dy dw dh."""

    objectness: Tensor
    deltas: Tensor


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class _Stage(nn.Module):
    """Halves the resolution, then one residual block."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = _conv(inputs, outputs, 2)
        self.first = _conv(outputs, outputs)
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / 2, W / 2)."""
        x = self.down(x)
        return functional.relu(x + self.second(self.first(x)))


class Network(nn.Module):
    """Stem, three stages, feature pyramid, and a head shared by the levels.

    Args:
        cells: A, anchors at one position, the same on every level.
        widths: channels.
    """

    def __init__(self, cells: int, widths: Widths = Widths()) -> None:  # noqa: B008 (an immutable tuple)
        super().__init__()
        self.cells = cells
        self.widths = widths
        inputs = (widths.stem[1], *widths.stages[:-1])
        pyramid = widths.pyramid
        self.stem = nn.Sequential(_conv(3, widths.stem[0], 2), _conv(*widths.stem, 2))
        self.stages = nn.ModuleList(_Stage(a, b) for a, b in zip(inputs, widths.stages, strict=True))
        self.lateral = nn.ModuleList(nn.Conv2d(width, pyramid, 1) for width in widths.stages)
        self.smooth = nn.ModuleList(_conv(pyramid, pyramid) for _ in widths.stages)
        self.head = nn.Sequential(nn.Conv2d(pyramid, pyramid, 3, 1, 1), nn.ReLU(inplace=True))
        self.objectness = nn.Conv2d(pyramid, cells, 1)
        self.deltas = nn.Conv2d(pyramid, cells * 4, 1)
        for layer in (self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor, checkpoint: Callable[[], None] = lambda: None) -> list[HeadOutput]:
        """Run the network.

        Args:
            images: (N, 3, H, W) float32 as :func:`normalise` makes them; H and W are multiples of 32.
            checkpoint: called between stages; whatever it raises ends the run.
        """
        x = self.stem(images)
        features = []
        for stage in self.stages:
            checkpoint()
            x = stage(x)
            features.append(x)
        checkpoint()
        merged = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for level in range(len(merged) - 2, -1, -1):
            merged[level] = merged[level] + functional.interpolate(merged[level + 1], scale_factor=2.0, mode="nearest")
        outputs = []
        for smooth, feature in zip(self.smooth, merged, strict=True):
            checkpoint()
            x = self.head(smooth(feature))
            deltas = self.deltas(x)
            outputs.append(HeadOutput(self.objectness(x), deltas.unflatten(1, (self.cells, 4))))
        return outputs


def normalise(images: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 RGB to (N, 3, H, W) float32 as the network takes it."""
    return images.permute(0, 3, 1, 2).float().sub_(_MEAN).div_(_SPREAD)
