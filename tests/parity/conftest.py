"""torchvision as an oracle: its wheel without its dependencies, beside the CPU build of torch.

Its compiled operators need CUDA's libraries, which that build lacks: two schemas and a plain NMS stand in for them
(pytorch/vision#8985). Run with ``make test-parity``; the default run leaves this folder out.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "core"))

from dense import greedy_nms

_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")


def _nms(boxes, scores, threshold):
    kept = greedy_nms(boxes.numpy(), scores.numpy(), threshold)
    return torch.tensor(kept, dtype=torch.int64)


for _name in ("nms", "qnms"):
    _LIBRARY.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_LIBRARY.impl("nms", _nms, "CPU")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torchvision

torchvision.ops.boxes._assert_has_ops = lambda: None


@pytest.fixture
def randomise():
    """Random weights and statistics, spread so that scores differ."""

    def change(model, seed=0, gain=(0.7, 1.3)):
        torch.manual_seed(seed)
        for module in model.modules():
            if hasattr(module, "running_var"):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.data.uniform_(*gain)
                module.bias.data.uniform_(-0.1, 0.1)
        torch.nn.init.normal_(model.rpn.head.cls_logits.weight, std=0.05)
        torch.nn.init.normal_(model.rpn.head.bbox_pred.weight, std=0.01)
        return model.eval()

    return change


@pytest.fixture
def photo():
    from rpnviz.imaging import read_image
    from rpnviz.paths import sample_images

    return np.array(read_image(sample_images() / "coffee.jpg"))
