"""Outputs that were computed before come from memory, or from disk, bit by bit; and neither grows without bound."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

from made_states import torchvision_state

from rpnviz.app.outputs import OutputStore, identity
from rpnviz.core import presets
from rpnviz.core.inputs import ModelSettings, RPNOutput
from rpnviz.models.playback import open_playback
from rpnviz.models.registry import open_model
from tools.scenes import make_scene


class Counting:
    """The bundled model, that counts its runs."""

    def __init__(self):
        self._model, self.runs = open_model(None), 0
        self.name, self.note, self.settings = self._model.name, self._model.note, self._model.settings

    def propose(self, image, cancelled=None, file_name=""):
        self.runs += 1
        return self._model.propose(image, cancelled, file_name)


def same(a, b):
    assert (a.resized_size, a.input_size, a.settings) == (b.resized_size, b.input_size, b.settings)
    assert a.source == b.source
    for x, y in zip(a.levels, b.levels, strict=True):
        assert np.array_equal(x.objectness, y.objectness)
        assert np.array_equal(x.deltas, y.deltas)


IMAGE = make_scene(3, 64).image


def test_what_took_long_is_read_from_disk_in_the_next_session(tmp_path):
    model = Counting()
    first = OutputStore(tmp_path, slow=0).run(("model", "image"), model, lambda: IMAGE, "a.png")
    fresh = OutputStore(tmp_path, slow=0)
    assert fresh.at_hand("model", "image") is None
    assert fresh.is_kept("model", "image")
    same(fresh.run(("model", "image"), model, lambda: IMAGE, "a.png"), first)
    same(fresh.at_hand("model", "image"), first)
    assert model.runs == 1


def test_what_is_quick_is_kept_in_memory_alone(tmp_path):
    model, store = Counting(), OutputStore(tmp_path, slow=60)
    store.run(("model", "image"), model, lambda: IMAGE, "a.png")
    store.run(("model", "image"), model, lambda: IMAGE, "a.png")
    assert model.runs == 1
    assert list(tmp_path.iterdir()) == []


def test_memory_is_bounded_and_the_longest_unused_go_first(tmp_path):
    model = Counting()
    one = OutputStore(tmp_path, slow=0).run(("model", "0"), model, lambda: IMAGE, "")
    size = sum(level.objectness.nbytes + level.deltas.nbytes for level in one.levels)
    store = OutputStore(tmp_path, memory=3 * size)
    for number in range(3):
        store.run(("model", str(number)), model, lambda: IMAGE, "")
    store.at_hand("model", "0")
    store.run(("model", "3"), model, lambda: IMAGE, "")
    assert [store.at_hand("model", str(number)) is not None for number in range(4)] == [True, False, True, True]


def test_disk_is_bounded(tmp_path):
    model = Counting()
    store = OutputStore(tmp_path, slow=0)
    store.run(("model", "0"), model, lambda: IMAGE, "")
    (only,) = tmp_path.iterdir()
    os.utime(only, (1, 1))
    store = OutputStore(tmp_path, slow=0, disk=2 * only.stat().st_size)
    for number in (1, 2):
        store.run(("model", str(number)), model, lambda: IMAGE, "")
    assert [store.is_kept("model", str(number)) for number in range(3)] == [False, True, True]


@pytest.mark.parametrize("damage", [lambda data: data[:50], lambda data: b"", lambda data: data[:-4]])
def test_a_damaged_file_counts_as_none(tmp_path, damage):
    model = Counting()
    OutputStore(tmp_path, slow=0).run(("model", "image"), model, lambda: IMAGE, "")
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    OutputStore(tmp_path, slow=0).run(("model", "image"), model, lambda: IMAGE, "")
    assert model.runs == 2


def test_a_folder_that_cannot_be_made_is_no_reason_to_stop(tmp_path):
    (tmp_path / "file").write_text("")
    model, store = Counting(), OutputStore(tmp_path / "file" / "outputs", slow=0)
    assert store.run(("model", "image"), model, lambda: IMAGE, "").levels
    assert not store.is_kept("model", "image")


def test_a_file_that_was_written_again_is_another(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(b"a")
    first = identity(path, {"bn_eps": "1e-5"})
    assert first == identity(path, {"bn_eps": "1e-5"})
    assert first != identity(path, {"bn_eps": "0"})
    path.write_bytes(b"bb")
    assert first != identity(path, {"bn_eps": "1e-5"})


def test_a_folder_in_which_a_file_was_written_again_is_another(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"a")
    (tmp_path / "b.npz").write_bytes(b"b")
    first = identity(tmp_path)
    before = tmp_path.stat().st_mtime_ns
    (tmp_path / "b.npz").write_bytes(b"bb")
    assert tmp_path.stat().st_mtime_ns == before
    second = identity(tmp_path)
    assert second != first
    (tmp_path / "b.npz").rename(tmp_path / "c.npz")
    os.utime(tmp_path, ns=(before, before))
    assert identity(tmp_path) not in (first, second)


def test_every_file_of_a_step_counts(tmp_path):
    files = (tmp_path / "a.npz", tmp_path / "b.npz")
    for file in files:
        file.write_bytes(b"a")
    first = identity(files)
    files[1].write_bytes(b"bb")
    assert identity(files) != first


def test_a_step_comes_back_from_disk_with_its_own_settings(tmp_path):
    for number, cells in ((1, 3), (2, 15)):
        state = torchvision_state(cells=cells)
        weights = {name: torch.from_numpy(value) for name, value in state.items()}
        torch.save(weights, tmp_path / f"epoch_{number}.pth")
    first = open_playback(tmp_path, {"device": "cpu"}).models[0]
    made = OutputStore(tmp_path / "kept", slow=0).run(("first", "image"), first, lambda: IMAGE, "a.png")
    assert made.settings.anchors.cells == (3,) * 5
    assert made.settings != first.settings
    same(OutputStore(tmp_path / "kept", slow=0).run(("first", "image"), first, lambda: IMAGE, "a.png"), made)


@pytest.mark.parametrize("name", presets.names())
@pytest.mark.parametrize("with_proposals", [False, True])
def test_the_settings_of_every_preset_are_the_same_from_disk(tmp_path, name, with_proposals):
    preset = presets.load(name)
    params = preset.params.with_values("resize", min_size=333, scale=0.1).with_values("proposals", nms_thresh=0.1)
    settings = ModelSettings(
        params.resize,
        params.anchors,
        params.coder,
        preset.conventions,
        params.proposals if with_proposals else None,
        name if with_proposals else "",
        not with_proposals,
    )
    model = Counting()
    ran = model.propose(IMAGE)
    model.propose = lambda *_: RPNOutput(ran.levels, ran.resized_size, ran.input_size, settings, "somebody's")
    made = OutputStore(tmp_path, slow=0).run(("model", "image"), model, lambda: IMAGE, "")
    del model.propose
    same(OutputStore(tmp_path, slow=0).run(("model", "image"), model, lambda: IMAGE, ""), made)
    assert model.runs == 1
