"""The losses per anchor add up to what torch's own functions make of the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_replay import recorded, with_image
from torch.nn import functional

from rpnviz.core.losses import RULES, cross_entropy, smooth_l1, step_losses


def of_batch(step):
    """Logits, labels, deltas and targets of the sampled anchors of all images, as tensors."""
    logits, labels, deltas, targets = [], [], [], []
    for image in step.images:
        sampled = image.sampled
        logits.append(image.objectness[sampled])
        labels.append(image.labels[sampled].astype(np.float32))
        deltas.append(image.deltas[image.sampled_positive])
        rows = np.searchsorted(image.target_anchor, image.sampled_positive)
        targets.append(image.target_deltas[rows])
    return [torch.from_numpy(np.concatenate(part)) for part in (logits, labels, deltas, targets)]


def reference(name, step):
    """The two losses as each framework computes them; by its own lines, with torch's functions."""
    logits, labels, deltas, targets = of_batch(step)
    entropy = functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    both = torch.stack([torch.zeros_like(logits), logits], 1)  # background, foreground
    softmax = functional.cross_entropy(both, labels.long(), reduction="mean")
    match name:
        case "torchvision":
            boxes = functional.smooth_l1_loss(deltas, targets, beta=1 / 9, reduction="sum") / len(logits)
            return entropy / len(logits), boxes
        case "detectron2":
            return entropy / 512, (deltas - targets).abs().sum() / 512
        case "mmdetection":
            # Two images, each with at least one positive and one negative.
            return entropy / len(logits), functional.l1_loss(deltas, targets, reduction="sum") / len(logits)
        case "matterport" | "matterport-old":
            return softmax, functional.smooth_l1_loss(deltas, targets, beta=1.0, reduction="mean")
        case _:
            x = (deltas - targets).abs().double()
            sigma = torch.where(x < 1 / 9, 0.5 * 9 * x * x, x - 0.5 / 9)
            return softmax, sigma.sum() / len(logits)


@pytest.mark.parametrize("name", RULES)
def test_the_sums_are_those_of_the_framework(name):
    step = recorded()
    found = step_losses(step, RULES[name], 256)
    objectness, box = reference(name, step)
    assert found.objectness == pytest.approx(float(objectness), rel=1e-5)
    assert found.box == pytest.approx(float(box), rel=1e-5)
    parts = found.images
    assert [len(part.anchor) for part in parts] == [len(image.sampled) for image in step.images]
    assert all((part.box[~part.positive] == 0).all() for part in parts)
    assert sum(part.total.sum() for part in parts) == pytest.approx(found.objectness + found.box)


def test_an_image_without_positives_counts_one_of_them_in_mmdetection():
    step = with_image(recorded(), 1, sampled_positive=np.zeros(0, np.int64))
    found = step_losses(step, RULES["mmdetection"], 256)
    logits, labels, _, _ = of_batch(step)
    wanted = functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / (len(logits) + 1)
    assert found.objectness == pytest.approx(float(wanted), rel=1e-5)


def test_the_logged_losses_are_found_by_the_names_of_the_framework():
    step = recorded(losses={"rpn_class_loss": 0.5, "loss_objectness": 0.25})
    assert step_losses(step, RULES["matterport"], 256).logged_objectness == 0.5
    found = step_losses(step, RULES["torchvision"], 256)
    assert (found.logged_objectness, found.logged_box) == (0.25, None)


@pytest.mark.parametrize("name", ["sampled_positive", "objectness", "deltas", "target_deltas"])
def test_nothing_is_made_up_where_an_array_is_missing(name):
    assert step_losses(with_image(recorded(), 1, **{name: None}), RULES["torchvision"], 256) is None


def test_a_sampled_positive_without_a_target_gives_no_losses():
    image = recorded().images[0]
    fewer = {"target_anchor": image.target_anchor[1:], "target_deltas": image.target_deltas[1:]}
    step = with_image(recorded(), 0, **fewer)
    assert image.target_anchor[0] in image.sampled_positive
    assert step_losses(step, RULES["torchvision"], 256) is None


@given(st.lists(st.floats(-500, 500, width=32), min_size=1, max_size=20), st.booleans())
def test_cross_entropy_never_overflows_and_is_that_of_torch(logits, positive):
    values = np.array(logits)
    found = cross_entropy(values, np.full(len(values), positive))
    wanted = functional.binary_cross_entropy_with_logits(
        torch.from_numpy(values), torch.full((len(values),), float(positive), dtype=torch.float64), reduction="none"
    )
    assert found == pytest.approx(wanted.numpy(), rel=1e-9, abs=1e-12)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=20), st.sampled_from([0.0, 1 / 9, 1.0]))
def test_smooth_l1_is_that_of_torch(errors, beta):
    values = torch.tensor(errors, dtype=torch.float64)
    wanted = functional.smooth_l1_loss(values, torch.zeros_like(values), beta=beta, reduction="none")
    assert smooth_l1(values.numpy(), beta) == pytest.approx(wanted.numpy(), rel=1e-12)
