"""Model files opened through the window: a checkpoint, a dump, a folder of dumps, and what is refused."""

from __future__ import annotations

import pickle
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PySide6.QtWidgets import QComboBox, QFileDialog
from support import open_image, settled

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

import h5py
import onnx
from made_onnx import plain
from made_states import as_detectron2, as_keras, as_mmdetection, torchvision_state

from rpnviz.drawing.options import World
from rpnviz.models import checkpoint
from rpnviz.models.dump import dump_bytes
from rpnviz.models.pickles import read_pickle
from rpnviz.ui.dialogs.model_options import ModelOptionsDialog
from rpnviz.ui.dialogs.open_model import is_model


@pytest.fixture
def small(window, qtbot):
    """The window on its smallest photo."""
    open_image(window, qtbot, "coins.png")
    window.state.update("resize", min_size=64, max_size=128)
    return window


def save(path, state, wrap=lambda state: state):
    torch.save(wrap({name: torch.from_numpy(value.copy()) for name, value in state.items()}), path)
    return path


def wait_for_model(window, qtbot, name):
    qtbot.waitUntil(
        lambda: (
            window.state.model is not None
            and window.state.model.name == name
            and window.state.result is not None
            and window.state.result.proposals is not None
            and settled(window)
        ),
        timeout=60000,
    )


def test_a_torchvision_checkpoint_is_opened_from_the_menu(small, qtbot, tmp_path, monkeypatch):
    path = save(tmp_path / "fasterrcnn.pth", torchvision_state())
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    small.do_open_model()
    wait_for_model(small, qtbot, "fasterrcnn.pth")
    assert small.state.world is World.MODEL
    assert "FPN with 4 + 1 levels" in small.model_note.text()
    assert len(small.state.result.anchors) == sum(
        level.objectness.size for level in small.state.result.inputs.outputs.levels
    )


def write_keras(path):
    with h5py.File(path, "w") as file:
        for (layer, kind), value in as_keras(torchvision_state(depths=(3, 4, 6, 3))).items():
            file[f"{layer}/{layer}/{kind}:0"] = value


def write_old_detectron2(path):
    with path.open("wb") as file:
        pickle.dump({"model": as_detectron2(torchvision_state()), "__author__": "test"}, file)


@pytest.mark.parametrize(
    ("name", "write", "asked", "words"),
    [
        ("d2.pth", lambda path: save(path, as_detectron2(torchvision_state())), {"channel_order"}, "detectron2"),
        ("d2.pkl", write_old_detectron2, {"channel_order"}, "detectron2"),
        (
            "mm.pth",
            lambda path: save(path, as_mmdetection(torchvision_state()), lambda state: {"state_dict": state}),
            {"style"},
            "mmdetection",
        ),
        ("mask_rcnn.h5", write_keras, set(), "matterport"),
        ("model.onnx", lambda path: onnx.save(plain(torchvision_state()), path), {"preset", "pixels"}, "ONNX graph"),
    ],
)
def test_every_format_opens_through_the_window(small, qtbot, tmp_path, name, write, asked, words):
    write(tmp_path / name)
    small.open_paths([tmp_path / name])
    if asked:
        qtbot.waitUntil(lambda: bool(small.findChildren(ModelOptionsDialog)), timeout=30000)
        (dialog,) = small.findChildren(ModelOptionsDialog)
        assert set(dialog.fields) >= asked
        dialog.accept()
    wait_for_model(small, qtbot, name)
    assert words in small.model_note.text()
    assert len(small.state.result.proposals.scores) > 0


def test_the_models_own_settings_can_be_trained_with(small, qtbot, tmp_path):
    path = save(tmp_path / "fifteen.pth", torchvision_state(cells=15))
    small.open_paths([path])
    wait_for_model(small, qtbot, "fifteen.pth")
    told = small.banner.text.text()
    assert "It was built with 15 anchors per cell on 5 levels (strides 4, 8, 16, 32, 64)" in told
    assert "torchvision is set here to 3 anchors per cell" in told
    before = small.state.params
    small.do_use_model_settings()
    qtbot.waitUntil(lambda: settled(small))
    assert small.state.params.anchors.cells == (15,) * 5
    assert np.array_equal(small.state.shown.training.anchors.boxes, small.state.shown.model.anchors.boxes)
    small.do_undo()
    assert small.state.params == before


def test_what_a_file_does_not_say_is_asked_once(small, qtbot, tmp_path):
    path = save(tmp_path / "d2.pth", as_detectron2(torchvision_state()), lambda state: {"model": state})
    small.open_paths([path])
    qtbot.waitUntil(lambda: bool(small.findChildren(ModelOptionsDialog)), timeout=30000)
    (dialog,) = small.findChildren(ModelOptionsDialog)
    assert dialog.isVisible()
    box = dialog.fields["channel_order"]
    assert isinstance(box, QComboBox)
    box.setCurrentIndex(box.findData("rgb"))
    dialog.accept()
    wait_for_model(small, qtbot, "d2.pth")
    assert "rgb" in (tmp_path / "d2.pth.rpnviz.json").read_text()
    small.state.load_model(None)
    qtbot.waitUntil(lambda: small.state.model.name != "d2.pth" and settled(small), timeout=30000)
    small.open_paths([path])
    wait_for_model(small, qtbot, "d2.pth")
    assert small.state.model._pixels.bgr is False, "the answer of last time holds"


def test_a_cancelled_question_leaves_the_old_model(small, qtbot, tmp_path):
    path = save(tmp_path / "d2.pth", as_detectron2(torchvision_state()), lambda state: {"model": state})
    small.open_paths([path])
    qtbot.waitUntil(lambda: bool(small.findChildren(ModelOptionsDialog)), timeout=30000)
    small.findChildren(ModelOptionsDialog)[0].reject()
    qtbot.waitUntil(lambda: settled(small))
    assert small.state.model is None
    assert small.state.world is World.TRAINING
    assert not (tmp_path / "d2.pth.rpnviz.json").exists()


def test_a_dump_shows_the_same_proposals_as_the_model_it_comes_from(small, qtbot, tmp_path, monkeypatch):
    small.state.load_model(None, show=True)
    qtbot.waitUntil(lambda: small.state.result is not None and settled(small), timeout=60000)
    before = small.state.result
    folder = tmp_path / "dumps"
    folder.mkdir()
    (folder / "coins.npz").write_bytes(dump_bytes(before, "coins.png"))
    small.open_paths([folder / "coins.npz"])
    wait_for_model(small, qtbot, "coins.npz")
    after = small.state.result
    assert np.array_equal(before.proposals.boxes, after.proposals.boxes)
    assert np.array_equal(before.anchors.boxes, after.anchors.boxes)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    small.do_open_training()
    wait_for_model(small, qtbot, "dumps")
    open_image(small, qtbot, "coffee.jpg")
    qtbot.waitUntil(lambda: "no dump for coffee.jpg" in small.banner.text.text(), timeout=10000)


def test_thresholds_of_a_whole_model_are_taken_and_can_be_undone(small, qtbot, tmp_path):
    path = save(tmp_path / "mobile.pth", torchvision_state())
    before = small.state.params.proposals
    small.open_paths([path])
    wait_for_model(small, qtbot, "mobile.pth")
    own = small.state.model.settings.proposals
    assert small.state.params.proposals == own
    if own != before:
        small.do_undo()
        assert small.state.params.proposals == before


def test_a_broken_checkpoint_is_one_message(small, qtbot, tmp_path):
    path = save(tmp_path / "cut.pth", torchvision_state())
    path.write_bytes(path.read_bytes()[:5000])
    small.open_paths([path])
    qtbot.waitUntil(lambda: "Could not load the model" in small.banner.text.text(), timeout=10000)
    assert small.state.world is World.TRAINING


def test_a_checkpoint_named_tar_and_folders_with_one_model_open_as_models(small, qtbot, tmp_path):
    path = save(tmp_path / "checkpoint.pth.tar", torchvision_state())
    small.open_paths([path])
    wait_for_model(small, qtbot, "checkpoint.pth.tar")
    recorded = small.state.result
    small.state.load_model(None)
    qtbot.waitUntil(lambda: small.state.model.name != "checkpoint.pth.tar" and settled(small), timeout=30000)
    small.open_paths([tmp_path])
    wait_for_model(small, qtbot, "checkpoint.pth.tar")
    folder = tmp_path / "dumps"
    folder.mkdir()
    (folder / "coins.npz").write_bytes(dump_bytes(recorded, "coins.png"))
    small.open_paths([folder])
    wait_for_model(small, qtbot, "dumps")


def test_a_data_set_with_a_checkpoint_in_it_stays_a_data_set(tmp_path):
    save(tmp_path / "model.pth", torchvision_state())
    assert is_model(tmp_path)
    (tmp_path / "images").mkdir()
    assert not is_model(tmp_path)
    (tmp_path / "images").rmdir()
    (tmp_path / "a.jpg").write_bytes(b"")
    assert not is_model(tmp_path)
    assert not is_model(tmp_path / "nowhere")


def test_files_of_a_training_that_are_no_steps_are_told(small, qtbot, tmp_path):
    for number in (1, 2):
        save(tmp_path / f"epoch_{number}.pth", torchvision_state(seed=number))
    torch.save({"state": {}, "param_groups": []}, tmp_path / "optimizer.pth")
    (tmp_path / "epoch_3.pth").write_bytes((tmp_path / "epoch_2.pth").read_bytes()[:9000])
    told = []
    small.state.told.connect(told.append)
    small.open_paths([tmp_path])
    wait_for_model(small, qtbot, f"{tmp_path.name}, epoch 2")
    (message,) = (message for message in told if message.title == "Left out of the training")
    assert message.detail.startswith("epoch_3.pth, optimizer.pth\nepoch_3.pth: this is a damaged zip archive")
    assert "optimizer.pth: it holds 0 tensors" in message.detail


def test_loading_ends_where_it_is_cancelled(small, qtbot, tmp_path, monkeypatch):
    path = save(tmp_path / "large.pth", torchvision_state())
    begun, go_on, read = threading.Event(), threading.Event(), []

    def slow(file, numbers=True):
        begun.set()
        go_on.wait(30)
        read.append(read_pickle(file, numbers))
        return read[-1]

    monkeypatch.setattr(checkpoint, "read_pickle", slow)
    small.open_paths([path])
    assert begun.wait(30)
    (job,) = small.state.jobs.running
    job.cancel()
    go_on.set()
    qtbot.waitUntil(lambda: not small.state.models.loading and settled(small), timeout=30000)
    assert not read, "the file was read to its end"
    assert small.state.model is None
    small.open_paths([path])
    wait_for_model(small, qtbot, "large.pth")


def test_a_wrong_answer_is_asked_for_again_and_not_kept(small, qtbot, tmp_path):
    path = save(tmp_path / "d2.pth", as_detectron2(torchvision_state()), lambda state: {"model": state})
    small.open_paths([path])
    qtbot.waitUntil(lambda: bool(small.findChildren(ModelOptionsDialog)), timeout=60000)
    (dialog,) = small.findChildren(ModelOptionsDialog)
    dialog.fields["bn_eps"].setText("x")
    dialog.accept()
    qtbot.waitUntil(lambda: any(d.isVisible() for d in small.findChildren(ModelOptionsDialog)), timeout=60000)
    assert "an option is no number" in small.banner.text.text()
    assert not (tmp_path / "d2.pth.rpnviz.json").exists()
    (again,) = (d for d in small.findChildren(ModelOptionsDialog) if d.isVisible())
    assert again.fields["bn_eps"].text() == "x"
    again.fields["bn_eps"].setText("1e-4")
    again.accept()
    wait_for_model(small, qtbot, "d2.pth")
    small.do_model_options()
    qtbot.waitUntil(lambda: any(d.isVisible() for d in small.findChildren(ModelOptionsDialog)), timeout=60000)
    (third,) = (d for d in small.findChildren(ModelOptionsDialog) if d.isVisible())
    assert third.fields["bn_eps"].text() == "1e-4"
    third.reject()


def test_answers_that_depend_on_another_follow_it(small, qtbot, tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(plain(torchvision_state()), path)
    small.open_paths([path])
    qtbot.waitUntil(lambda: bool(small.findChildren(ModelOptionsDialog)), timeout=60000)
    (dialog,) = small.findChildren(ModelOptionsDialog)
    preset, pixels = dialog.fields["preset"], dialog.fields["pixels"]
    assert dialog.answers["pixels"] == "unit"
    preset.setFocus()
    qtbot.keyClicks(preset, "detectron2")
    assert dialog.answers["pixels"] == "bgr"
    pixels.setFocus()
    qtbot.keyClicks(pixels, "rgb")
    qtbot.keyClicks(preset, "torchvision")
    assert dialog.answers["pixels"] == "rgb", "chosen by hand"
    dialog.reject()


def test_resetting_takes_the_rules_back_too(small, qtbot, tmp_path):
    path = save(tmp_path / "mm.pth", as_mmdetection(torchvision_state()), lambda state: {"state_dict": state})
    small.state.load_model(path, {}, show=True)
    wait_for_model(small, qtbot, "mm.pth")
    assert "It belongs to mmdetection" in small.banner.text.text()
    small.do_use_model_settings()
    assert small.state.preset.name == "mmdetection"
    small.state.set_preset("torchvision")
    rules = small.state.preset.conventions
    other = replace(small.state.preset, conventions=rules.overridden({"tie_rule": "first"}))
    small.state.take_preset(replace(other, params=small.state.params), "a rule")
    assert [name for name, *_ in small.state.changed_fields()] == ["conventions.tie_rule"]
    assert small.changed.text() == "1 changed"
    small.state.reset_field("conventions.tie_rule")
    assert small.state.preset.conventions == rules
    small.state.undo()
    small.do_reset_params()
    assert small.state.preset.conventions == rules
