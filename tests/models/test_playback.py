"""Folders that hold a training: which files are its steps, in which order, and that each gives its own outputs."""

from __future__ import annotations

import shutil
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from made_states import torchvision_state

from rpnviz.core import presets
from rpnviz.datasets.registry import sample_dataset
from rpnviz.errors import Cancelled, ModelFileError
from rpnviz.export.proposals import run_model
from rpnviz.models.base import cancellable
from rpnviz.models.dump import dump_bytes
from rpnviz.models.playback import find_steps, inspect_playback, model_in, open_last, open_playback
from rpnviz.models.registry import open_model
from rpnviz.paths import bundled_model, bundled_playback
from tools.scenes import make_scene


def checkpoint(path, seed=0):
    state = torchvision_state()
    state["rpn.head.cls_logits.bias"] = np.full_like(state["rpn.head.cls_logits.bias"], float(seed))
    torch.save({name: torch.from_numpy(value.copy()) for name, value in state.items()}, path)


def labels(folder):
    return [step.label for step in find_steps(folder)]


def test_the_sample_model_comes_with_its_training():
    training = open_playback(None)
    assert [model.step.number for model in training.models] == [0, 50, 200, 500, 1000, 2000, 6000]
    assert training.models[-1].step.paths == (bundled_model(),)
    assert training.models[0].name == "Sample model, step 0"
    image = make_scene(5).image
    by_step = [model.propose(image).levels[0].objectness for model in training.models]
    for a, b in pairwise(by_step):
        assert not np.array_equal(a, b)
    assert np.array_equal(by_step[-1], open_model(None).propose(image).levels[0].objectness)


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["model_0004999.pth", "model_0000999.pth", "model_final.pth"], ["step 999", "step 4,999", "model_final"]),
        (["epoch_12.pth", "epoch_2.pth"], ["epoch 2", "epoch 12"]),
        (["epoch=1-step=200.ckpt", "epoch=0-step=100.ckpt"], ["step 100", "step 200"]),
        (["resnet50_best.pth", "resnet50_3.pth"], ["step 3", "resnet50_best"]),
    ],
)
def test_steps_are_read_from_names(tmp_path, names, wanted):
    for name in names:
        checkpoint(tmp_path / name)
    (tmp_path / "log.txt").write_text("step 1\n")
    (tmp_path / "broken_7.pth").write_bytes(b"nothing")
    assert labels(tmp_path) == wanted


def test_a_link_to_the_last_checkpoint_is_no_step_of_its_own(tmp_path):
    for number in (1, 2):
        checkpoint(tmp_path / f"epoch_{number}.pth")
    (tmp_path / "latest.pth").symlink_to(tmp_path / "epoch_2.pth")
    assert labels(tmp_path) == ["epoch 1", "epoch 2"]


def test_every_checkpoint_gives_its_own_outputs(tmp_path):
    for number in (1, 2, 3):
        checkpoint(tmp_path / f"epoch_{number}.pth", seed=number)
    training = open_playback(tmp_path, {"device": "cpu"})
    image = make_scene(1, 64).image
    means = [float(model.propose(image).levels[0].objectness.mean()) for model in training.models]
    assert np.allclose(np.diff(means), 1, atol=1e-4)
    assert float(open_last(tmp_path).propose(image).levels[0].objectness.mean()) == pytest.approx(means[-1])


@pytest.fixture(scope="module")
def dumps():
    """Dumps of two images, by name."""
    preset, model = presets.load("torchvision"), open_model(None)
    records = {record.file_name: record for record in sample_dataset().images}
    names = ("coins.png", "coffee.jpg")
    return {name: dump_bytes(run_model(records[name], preset, model), name) for name in names}


def with_step(data, path, step):
    path.write_bytes(data)
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez_compressed(path, **arrays, step=np.array(step))


def test_dumps_are_grouped_by_the_step_that_they_state(tmp_path, dumps):
    for step in (200, 0):
        for name, data in dumps.items():
            with_step(data, tmp_path / f"{step}_{name}.npz", step)
    steps = find_steps(tmp_path)
    assert [(step.label, len(step.paths)) for step in steps] == [("step 0", 2), ("step 200", 2)]
    records = {record.file_name: record for record in sample_dataset().images}
    model = open_playback(tmp_path).models[0]
    for name in dumps:
        assert run_model(records[name], presets.load("torchvision"), model).proposals is not None


def test_folders_of_dumps_are_steps_by_their_names(tmp_path, dumps):
    for step in (10, 9):
        (tmp_path / f"step_{step}").mkdir()
        for name, data in dumps.items():
            (tmp_path / f"step_{step}" / f"{name}.npz").write_bytes(data)
    assert labels(tmp_path) == ["step 9", "step 10"]


def test_dumps_without_a_step_are_images_of_one_model(tmp_path, dumps):
    for name, data in dumps.items():
        (tmp_path / f"{name}.npz").write_bytes(data)
    assert len(find_steps(tmp_path)) < 2
    assert open_last(tmp_path).note == "recordings of 2 images"
    with pytest.raises(ModelFileError, match="two or more steps"):
        open_playback(tmp_path)


def test_a_step_that_was_deleted_since_is_named(tmp_path):
    for name in ("step-0000.safetensors", "step-0050.safetensors", "step-6000.safetensors"):
        shutil.copy(bundled_playback() / name, tmp_path)
    training = open_playback(tmp_path)
    (tmp_path / "step-0050.safetensors").unlink()
    with pytest.raises(ModelFileError, match=r"step-0050\.safetensors"):
        training.models[1].propose(make_scene(1, 64).image)


def test_what_is_no_step_is_left_out_and_named(tmp_path):
    for number in (100, 150):
        checkpoint(tmp_path / f"model_{number}.pth", seed=number)
    torch.save({"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []}, tmp_path / "optimizer.pth")
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other_120.pth", _use_new_zipfile_serialization=False)
    data = (tmp_path / "model_150.pth").read_bytes()
    (tmp_path / "model_200.pth").write_bytes(data[: len(data) // 2])
    (tmp_path / "log.txt").write_text("step 1\n")
    training = open_playback(tmp_path, {"device": "cpu"})
    assert [model.step.label for model in training.models] == ["step 100", "step 150"]
    assert [entry.split(":")[0] for entry in training.left_out] == ["model_200.pth", "optimizer.pth", "other_120.pth"]
    assert "model_200.pth: this is a damaged zip archive" in training.note
    assert "optimizer.pth: it holds 0 tensors (none), but no region proposal network" in training.note
    assert "other_120.pth: it holds 1 tensors (fc.weight)" in training.note
    assert inspect_playback(tmp_path).format == "torchvision"
    image = make_scene(1, 64).image
    assert open_last(tmp_path).propose(image).levels[0].objectness.shape[0] == 3


def test_last_steps_that_cannot_be_opened_are_left_out_but_not_all(tmp_path):
    for number in (1, 2, 3):
        checkpoint(tmp_path / f"epoch_{number}.pth")
    state = {name: torch.from_numpy(v) for name, v in torchvision_state().items() if "bbox_pred.weight" not in name}
    torch.save(state, tmp_path / "epoch_4.pth")
    training = open_playback(tmp_path)
    assert [model.step.number for model in training.models] == [1, 2, 3]
    assert training.note == ("epoch_4.pth\nepoch_4.pth: the weight 'rpn.head.bbox_pred.weight' is missing.")
    assert inspect_playback(tmp_path).format == "torchvision"
    with pytest.raises(ModelFileError, match="no option 'colour'"):
        open_playback(tmp_path, {"colour": "red"})


def test_a_folder_with_one_checkpoint_is_that_checkpoint(tmp_path):
    checkpoint(tmp_path / "checkpoint.pth.tar")
    (tmp_path / "model_2.pth").write_bytes(b"PK nothing")
    assert model_in(tmp_path) == tmp_path / "checkpoint.pth.tar"
    assert open_last(tmp_path).name == "checkpoint.pth.tar"
    assert model_in(tmp_path / "checkpoint.pth.tar") == tmp_path / "checkpoint.pth.tar"
    checkpoint(tmp_path / "epoch_1.pth.tar")
    assert model_in(tmp_path) == tmp_path
    assert labels(tmp_path) == ["epoch 1", "checkpoint.pth"]


def test_looking_through_a_folder_can_be_cancelled(tmp_path):
    for number in (1, 2, 3):
        checkpoint(tmp_path / f"epoch_{number}.pth")
    with cancellable(lambda: True), pytest.raises(Cancelled):
        find_steps(tmp_path)
    model = open_playback(tmp_path).models[0]
    with pytest.raises(Cancelled):
        model.propose(make_scene(1, 64).image, lambda: True)


def test_an_empty_folder_and_a_missing_one(tmp_path):
    assert find_steps(tmp_path) == ()
    with pytest.raises(ModelFileError, match="cannot be read"):
        find_steps(tmp_path / "nowhere")
