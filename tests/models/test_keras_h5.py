"""Matterport's Keras files: the old layer groups and the newer places, read without running anything."""

from __future__ import annotations

import sys

import h5py
import numpy as np
import pytest
import torch
from made_states import as_keras, torchvision_state

from rpnviz.core.frame import make_frame
from rpnviz.errors import ModelFileError
from rpnviz.models.convnet import Detector, NetOptions
from rpnviz.models.keras_h5 import read_arrays, translate
from rpnviz.models.registry import inspect_model, open_model

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def write(path, arrays, place="{layer}/{layer}/{kind}:0"):
    with h5py.File(path, "w") as file:
        for (layer, kind), value in arrays.items():
            file[place.format(layer=layer, kind=kind)] = value
    return path


PLACES = (
    "{layer}/{layer}/{kind}:0",
    "rpn_model/{layer}/{kind}:0",
    "model_weights/{layer}/{layer}/{kind}",
    "{layer}/{kind}",
)


@pytest.mark.parametrize("place", PLACES)
def test_every_version_of_keras_has_the_same_last_two_parts(tmp_path, place):
    state = torchvision_state()
    found = translate(read_arrays(write(tmp_path / "m.h5", as_keras(state), place)))
    assert set(found) == set(state)
    for name, value in state.items():
        assert np.allclose(found[name], value, atol=1e-5), name


def test_the_network_is_the_same_with_keras_own_pooling(tmp_path):
    state = torchvision_state(depths=(3, 4, 6, 3))
    path = write(tmp_path / "mask_rcnn_coco.h5", as_keras(state))
    info = inspect_model(path)
    assert (info.format, info.preset) == ("matterport", "matterport")
    assert info.description.startswith("ResNet-50, FPN with 4 + 1 levels")
    own = Detector(translate(read_arrays(path)), NetOptions(1e-3, True, True))
    straight = Detector(state, NetOptions(1e-3, True, True))
    images = torch.rand(1, 3, 64, 128)
    with torch.inference_mode():
        expected = straight(images, lambda: None)
        for ours, theirs in zip(own(images, lambda: None), expected, strict=True):
            for a, b in zip(ours, theirs, strict=True):
                assert float((a - b).abs().max() / b.abs().max()) < 1e-4
        # torch pads the pool at all sides: another network.
        other = Detector(state, NetOptions(1e-3, True, False))(images, lambda: None)[0][0]
        assert float((other - expected[0][0]).abs().max() / expected[0][0].abs().max()) > 0.05


def test_it_runs_on_the_square_with_black_around(tmp_path):
    model = open_model(write(tmp_path / "m.h5", as_keras(torchvision_state())), {"device": "cpu"})
    found = model.propose(IMAGE)
    assert (found.resized_size, found.input_size) == ((768, 1024), (1024, 1024))
    assert [level.objectness.shape for level in found.levels] == [(3, 1024 // s, 1024 // s) for s in (4, 8, 16, 32, 64)]
    frame = make_frame((60, 80), model.settings.resize, model.settings.conventions)
    prepared = model._prepared(IMAGE, frame)
    assert torch.allclose(prepared[0, :, 0, 0], -torch.tensor([123.7, 116.8, 103.9])), "black, less the mean"


def test_other_files_are_refused(tmp_path, monkeypatch):
    other = write(tmp_path / "other.h5", {("dense", "kernel"): np.zeros((2, 2))})
    with pytest.raises(ModelFileError, match="1 Keras arrays, but not those of Matterport"):
        open_model(other)
    whole = write(tmp_path / "m.h5", as_keras(torchvision_state()))
    data = whole.read_bytes()
    cut = tmp_path / "cut.h5"
    cut.write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelFileError, match="cannot be read"):
        open_model(cut)
    flat = {**as_keras(torchvision_state()), ("fpn_p3", "kernel"): np.zeros(5, "f4")}
    with pytest.raises(ModelFileError, match="other shapes than those of Matterport"):
        open_model(write(tmp_path / "flat.h5", flat))
    missing = {key: value for key, value in as_keras(torchvision_state()).items() if key[0] != "fpn_p3"}
    with pytest.raises(ModelFileError, match=r"layer_blocks\.1\.0\.weight' is missing"):
        open_model(write(tmp_path / "less.h5", missing))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ModelFileError, match="pip install h5py"):
        read_arrays(whole)


def test_links_out_of_the_file_are_not_followed(tmp_path):
    secret = write(tmp_path / "secret.h5", {("conv1", "kernel"): np.ones((7, 7, 3, 4), "f4")})
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file["link"] = h5py.ExternalLink(str(secret), "/conv1/conv1/kernel:0")
        file.create_group("conv1")["kernel"] = h5py.ExternalLink(str(secret), "/conv1/conv1/kernel:0")
    with pytest.raises(ModelFileError, match="holds 0 Keras arrays"):
        read_arrays(path)


def test_what_was_never_written_takes_no_memory(tmp_path):
    path = write(tmp_path / "m.h5", as_keras(torchvision_state()))
    with h5py.File(path, "a") as file:
        file.create_dataset("mrcnn_mask/kernel", shape=(2**36,), dtype="f4", chunks=(2**20,))
    assert ("mrcnn_mask", "kernel") not in read_arrays(path), "no layer that makes proposals"
    with h5py.File(path, "a") as file:
        file.create_dataset("res9z_branch2a/kernel", shape=(2**36,), dtype="f4", chunks=(2**20,))
    with pytest.raises(ModelFileError, match=r"its arrays take 274,.* bytes, but the file has"):
        read_arrays(path)
