"""torchvision and Keras as oracles: their wheels without their dependencies, beside the CPU build of torch.

torchvision's compiled operators need CUDA's libraries, which that build lacks: two schemas and a plain NMS stand in
for them (pytorch/vision#8985). Run with ``make test-parity``; the default run leaves this folder out.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "core"))
sys.path.insert(0, str(Path(__file__).parent))

from dense import greedy_nms

_KERAS_HOME = tempfile.TemporaryDirectory()  # where Keras writes its settings when it is imported
os.environ |= {"KERAS_BACKEND": "torch", "KERAS_HOME": _KERAS_HOME.name}

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


@pytest.fixture(autouse=True)
def _same_weights_in_any_order():
    """Weights that a test draws depend on no test before it."""
    torch.manual_seed(0)


@pytest.fixture
def randomise():
    """Random weights and statistics, spread so that scores differ.

    With the weights of its normalisations up to 1, the residuals of a deep ResNet add up to logits whose probability is
    1 to the last bit, or beyond float32.
    """

    def change(model, seed=0, gain=(0.4, 0.8)):
        torch.manual_seed(seed)
        for module in model.modules():
            if hasattr(module, "running_var"):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.data.uniform_(*gain)
                module.bias.data.uniform_(-0.1, 0.1)
        torch.nn.init.normal_(model.rpn.head.cls_logits.weight, std=0.5)
        torch.nn.init.normal_(model.rpn.head.bbox_pred.weight, std=0.1)
        return model.eval()

    return change


@pytest.fixture
def photo():
    from rpnviz.imaging import read_image
    from rpnviz.paths import sample_images

    return np.array(read_image(sample_images() / "coffee.jpg"))


@pytest.fixture
def share_found():
    """Measures how many of a framework's proposals are among ours."""

    def share(own, boxes, scores):
        """Share of the first 300 reference proposals that have a partner within 0.5 px and 0.002."""
        found = 0
        for box, score in list(zip(boxes, scores, strict=True))[:300]:
            near = np.abs(own.proposals.boxes - box).max(axis=1) < 0.5
            found += bool((near & (np.abs(own.proposals.scores - score) < 0.002)).any())
        return found / max(min(300, len(boxes)), 1)

    return share
