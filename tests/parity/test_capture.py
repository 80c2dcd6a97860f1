"""Steps of a real torchvision training, captured and replayed: the same labels, targets and losses, or the reason."""

from __future__ import annotations

import copy
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.models import detection
from torchvision.models.detection import anchor_utils
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from rpnviz import capture
from rpnviz.core import presets
from rpnviz.core.conventions import ForcedTarget, TieRule
from rpnviz.core.finite import find_cause
from rpnviz.core.losses import RULES, step_losses
from rpnviz.core.presets import Preset
from rpnviz.core.replay import replay, sentence
from rpnviz.core.replay_search import explain
from rpnviz.datasets.base import load_image
from rpnviz.datasets.captures import capture_files, read_pixels, read_step
from rpnviz.datasets.registry import sample_dataset

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torchvision's own use of torch.jit

TORCHVISION = presets.load("torchvision")
SIZES = {"min_size": 320, "max_size": 480}


def make_model(backbone="resnet18", **options):
    torch.manual_seed(0)
    net = resnet_fpn_backbone(backbone_name=backbone, weights=None, trainable_layers=5)
    return detection.FasterRCNN(net, 91, box_batch_size_per_image=16, rpn_post_nms_top_n_train=50, **SIZES | options)


def batch(names):
    """Sample photos with their ground truth as torchvision's data sets hand them over."""
    dataset = sample_dataset()
    images, targets = [], []
    for record in dataset.images:
        if record.path.stem in names:
            pixels = np.array(load_image(record).pixels)
            images.append(torch.from_numpy(pixels).permute(2, 0, 1).float() / 255)
            boxes = torch.tensor(record.gt.boxes, dtype=torch.float32)
            targets.append({"boxes": boxes, "labels": torch.tensor(record.gt.labels) + 1})
    return images, targets


def train(model, folder, steps=3, lr=1e-3, batches=(("coffee", "nested"), ("rocket", "coins")), **options):
    """A few steps of SGD under capture, as in torchvision's reference scripts; the losses of every step."""
    handle = capture.torchvision(model, folder, **{"every": 1} | options)
    optimiser = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    model.train()
    logged = []
    for step in range(steps):
        images, targets = batch(batches[step % len(batches)])
        assert images, batches[step % len(batches)]
        losses = model(images, targets)
        logged.append({name: value.item() for name, value in losses.items()})
        total = sum(losses.values())
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    handle.remove()
    assert not handle.recorder.off
    return logged


@pytest.fixture(scope="module", autouse=True)
def no_compiling():
    """torchvision compiles its own RoIAlign where its operators are missing; interpreted it does the same."""
    with torch._dynamo.config.patch(disable=True):
        yield


@pytest.fixture(scope="module")
def trained(no_compiling, tmp_path_factory):
    folder = tmp_path_factory.mktemp("capture")
    logged = train(make_model(), folder)
    return [read_step(path) for path in capture_files(folder)], logged, folder


def test_labels_targets_and_losses_of_real_steps_are_equal(trained):
    steps, logged, _ = trained
    assert len(steps) == 3
    assert all(len(step.images) == 2 for step in steps)
    for step, losses in zip(steps, logged, strict=True):
        images = replay(step, TORCHVISION)
        theirs = sum(image.count(1)[0] for image in images)
        assert theirs > 20, theirs
        assert sentence(images) == f"trainer {theirs:,} positive, rpnviz {theirs:,}, 0 differ"
        assert sum(image.distance for image in images) == 0
        assert all(image.anchors.same and image.anchors.largest == 0 for image in images)
        assert all(image.sample.fits for image in images)
        assert max(image.target_error for image in images) <= 1e-5
        assert explain(step, TORCHVISION, images) == ()
        found = step_losses(step, RULES["torchvision"], TORCHVISION.params.sample.batch_size_per_image)
        assert found.objectness == pytest.approx(losses["loss_objectness"], rel=1e-5, abs=1e-5)
        assert found.box == pytest.approx(losses["loss_rpn_box_reg"], rel=1e-5, abs=1e-5)
        assert (found.logged_objectness, found.logged_box) == (losses["loss_objectness"], losses["loss_rpn_box_reg"])
        assert find_cause(step) is None


def test_the_pixels_are_those_the_network_saw(trained):
    steps, _, folder = trained
    shown = read_pixels(capture_files(folder)[0], 1)
    model = make_model()
    images, _ = model.transform(batch(("coffee", "nested"))[0])
    mean, std = (
        torch.tensor(values)[:, None, None] for values in (model.transform.image_mean, model.transform.image_std)
    )
    height, width = images.image_sizes[1]
    seen = ((images.tensors[1] * std + mean) * 255)[:, :height, :width].permute(1, 2, 0)
    assert steps[0].images[1].size == (height, width) == shown.shape[:2]
    assert np.abs(shown - seen.numpy()).max() <= 0.501


CHANGED = {
    "fg": (lambda p: p.with_values("match", fg_iou_thresh=0.6), {}, "match.fg_iou_thresh"),
    "bg": (lambda p: p.with_values("match", bg_iou_thresh=0.25), {}, "match.bg_iou_thresh"),
    "no low quality": (
        lambda p: p.with_values("match", allow_low_quality_matches=False),
        {},
        "match.allow_low_quality_matches",
    ),
    "forced target": (lambda p: p, {"forced_target": ForcedTarget.CLAIMING}, "conventions.forced_target"),
    "tie rule": (lambda p: p, {"tie_rule": TieRule.FIRST}, "conventions.tie_rule"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_convention_changed_on_our_side_is_named(trained, name):
    change, conventions, field = CHANGED[name]
    wrong = Preset("torchvision", change(TORCHVISION.params), replace(TORCHVISION.conventions, **conventions))
    step = trained[0][0]
    images = replay(step, wrong)
    assert sum(image.distance for image in images) > 0
    found = explain(step, wrong, images)
    assert field in [switch.name for explanation in found for switch in explanation.switches]
    assert all(explanation.remaining == 0 for explanation in found)
    assert all(sum(image.distance for image in replay(step, e.setting)) == 0 for e in found)


def test_thresholds_of_the_trainer_that_no_preset_has_are_found(tmp_path):
    train(make_model(rpn_fg_iou_thresh=0.6, rpn_bg_iou_thresh=0.35), tmp_path, steps=1)
    step = read_step(capture_files(tmp_path)[0])
    images = replay(step, TORCHVISION)
    assert sum(len(image.labels_differ) for image in images) > 0
    (found,) = explain(step, TORCHVISION, images)
    assert found.remaining == 0
    assert {switch.name for switch in found.switches} == {"match.fg_iou_thresh", "match.bg_iou_thresh"}
    assert found.setting.params.match.fg_iou_thresh == pytest.approx(0.6, abs=0.02)
    assert found.setting.params.match.bg_iou_thresh == pytest.approx(0.35, abs=0.02)


def test_a_trainer_without_the_low_quality_rule_is_told(tmp_path):
    model = make_model()
    model.rpn.proposal_matcher.allow_low_quality_matches = False
    train(model, tmp_path, steps=1)
    step = read_step(capture_files(tmp_path)[0])
    images = replay(step, TORCHVISION)
    found = explain(step, TORCHVISION, images)
    assert "match.allow_low_quality_matches" in [e.switches[0].name for e in found]


def test_other_anchors_of_the_trainer_are_seen(tmp_path):
    generator = anchor_utils.AnchorGenerator(((24,), (48,), (96,), (192,), (384,)), ((0.5, 1.0, 2.0),) * 5)
    train(make_model(rpn_anchor_generator=generator), tmp_path, steps=1)
    step = read_step(capture_files(tmp_path)[0])
    images = replay(step, TORCHVISION)
    assert not images[0].anchors.same
    assert images[0].anchors.largest > 10
    assert "anchors stand elsewhere" in sentence(images)


@pytest.mark.parametrize("side", [2, 3])
def test_an_empty_box_past_the_check_is_named_as_the_cause_of_a_nan(tmp_path, monkeypatch, side):
    model = make_model()
    monkeypatch.setattr(torch, "_assert", lambda *arguments: None)  # torchvision's check goes through it
    handle = capture.torchvision(model, tmp_path, every=1000)
    images, targets = batch(("coffee", "coins"))
    targets[1]["boxes"][0, side] = targets[1]["boxes"][0, side - 2]
    model.train()
    model(*batch(("rocket",)))
    # The second stage cannot be run on such a box; the RPN's losses are what counts.
    monkeypatch.setattr(model.roi_heads, "forward", lambda features, proposals, sizes, targets: (proposals, {}))
    losses = model(images, targets)
    handle.remove()
    assert not math.isfinite(losses["loss_rpn_box_reg"].item())
    paths = capture_files(tmp_path)
    assert [path.name for path in paths] == ["step_00000000.npz", "step_00000001_nonfinite.npz"]
    cause = find_cause(read_step(paths[1]), [read_step(paths[0])])
    assert (cause.where, cause.image, cause.gt) == ("ground truth", 1, 0)
    assert ("width 0" if side == 2 else "height 0") in cause.text
    assert "log(0)" in cause.text


def test_a_learning_rate_of_a_million_is_named(tmp_path):
    logged = train(make_model(), tmp_path, steps=4, lr=1e6, every=1)
    assert not math.isfinite(sum(logged[-1].values()))
    steps = [read_step(path) for path in capture_files(tmp_path)]
    first = next(number for number, step in enumerate(steps) if not step.finite)
    cause = find_cause(steps[first], steps[:first])
    assert cause.where in ("logits", "deltas", "losses")
    assert "the learning rate is too high" in cause.text
    assert "is NaN" in cause.text or "is infinite" in cause.text


def test_the_model_is_as_before_when_the_handle_is_removed(tmp_path):
    model = make_model()
    before = [set(vars(part)) for part in (model, model.rpn, model.rpn.head, model.transform)]
    sampler = model.rpn.fg_bg_sampler
    handle = capture.torchvision(model, tmp_path)
    copied = copy.deepcopy(model)
    again = pickle.loads(pickle.dumps(model))
    handle.remove()
    assert [set(vars(part)) for part in (model, model.rpn, model.rpn.head, model.transform)] == before
    assert model.rpn.fg_bg_sampler is sampler
    for other in (copied, again):
        assert "rpnviz" not in repr(vars(other.rpn))
        assert type(other.rpn.fg_bg_sampler) is type(sampler)
        other.train()
        other(*batch(("rocket",)))
    assert not list(tmp_path.iterdir())
