"""RPN dumps: what they hold, what they are refused for, and that they give the proposals they came from."""

from __future__ import annotations

import dataclasses
import json

import h5py
import numpy as np
import pytest
import torch
from made_states import as_detectron2, as_keras, as_mmdetection, torchvision_state
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from rpnviz.core import pipeline, presets
from rpnviz.core.conventions import Padding
from rpnviz.datasets.registry import sample_dataset
from rpnviz.errors import ModelFileError
from rpnviz.export.proposals import run_model
from rpnviz.models.dump import dump_bytes, open_dump, read_dump
from rpnviz.models.registry import inspect_model, open_model


@pytest.fixture(scope="module")
def result():
    """The bundled model on the coins."""
    record = next(record for record in sample_dataset().images if record.file_name == "coins.png")
    return run_model(record, presets.load("torchvision"), open_model(None))


@pytest.fixture
def arrays(result, tmp_path):
    path = tmp_path / "whole.npz"
    path.write_bytes(dump_bytes(result, "coins.png"))
    with np.load(path) as archive:
        return dict(archive)


def write(path, arrays):
    np.savez_compressed(path, **arrays)
    return path


def proposals(dump, result):
    preset = presets.load("torchvision")
    again = pipeline.run_outputs(
        pipeline.Inputs(dump.original_size, result.inputs.gt_boxes), dump.output, preset.params, preset.conventions
    )
    return again.proposals.boxes


def test_a_dump_gives_the_proposals_it_came_from(tmp_path, result, arrays):
    dump = read_dump(write(tmp_path / "a.npz", arrays))
    assert (dump.file_name, dump.original_size, dump.step) == ("coins.png", (303, 384), None)
    assert np.array_equal(proposals(dump, result), result.proposals.boxes)


def checkpoint(path, layout):
    """A checkpoint with random weights, as a framework writes it; deltas are small, so that boxes stay finite."""
    state = torchvision_state()
    for part in ("weight", "bias"):
        state[f"rpn.head.bbox_pred.{part}"] *= 0.01
    if layout == "matterport":
        with h5py.File(path, "w") as file:
            for (layer, kind), value in as_keras(state).items():
                file[f"{layer}/{layer}/{kind}:0"] = value
        return path
    rename = {"detectron2": as_detectron2, "mmdetection": as_mmdetection, "torchvision": dict}[layout]
    torch.save({name: torch.from_numpy(value.copy()) for name, value in rename(state).items()}, path)
    return path


@pytest.mark.parametrize("layout", ["torchvision", "detectron2", "mmdetection", "matterport"])
def test_a_dump_of_every_framework_gives_its_own_boxes(tmp_path, layout):
    record = next(record for record in sample_dataset().images if record.file_name == "coins.png")
    preset = presets.load(layout)
    first = run_model(record, preset, open_model(checkpoint(tmp_path / "model.pth", layout), {"device": "cpu"}))
    path = tmp_path / "dump.npz"
    path.write_bytes(dump_bytes(first, "coins.png"))
    again = run_model(record, preset, open_model(path))
    assert again.frame == first.frame
    assert np.array_equal(again.decoded.boxes_input, first.decoded.boxes_input)
    assert np.array_equal(again.proposals.boxes, first.proposals.boxes)
    assert len(first.proposals.boxes) > 10


def test_a_clip_of_its_own_is_recorded_and_rules_of_nobody_are_refused(tmp_path, result):
    output = result.inputs.outputs
    coder = dataclasses.replace(output.settings.coder, dwh_clip=0.5)
    own = dataclasses.replace(output, settings=dataclasses.replace(output.settings, coder=coder))
    path = tmp_path / "a.npz"
    path.write_bytes(dump_bytes(with_outputs(result, own), "coins.png"))
    assert read_dump(path).output.settings.coder == coder
    odd = dataclasses.replace(output.settings.conventions, padding=Padding.CENTRED)
    own = dataclasses.replace(output, settings=dataclasses.replace(output.settings, conventions=odd))
    with pytest.raises(ModelFileError, match="those of no preset"):
        dump_bytes(with_outputs(result, own), "coins.png")


def with_outputs(result, output):
    return dataclasses.replace(result, inputs=dataclasses.replace(result.inputs, outputs=output))


def test_safetensors_and_flat_deltas_are_the_same(tmp_path, result, arrays):
    tensors = {name: np.ascontiguousarray(value) for name, value in arrays.items() if value.ndim}
    for number in range(3):
        deltas = tensors[f"level{number}.deltas"]
        tensors[f"level{number}.deltas"] = deltas.reshape(-1, *deltas.shape[-2:])
    path = tmp_path / "a.safetensors"
    save_file(tensors, path, {name: str(value) for name, value in arrays.items() if not value.ndim} | {"step": "40"})
    dump = read_dump(path)
    assert dump.step == 40
    assert np.array_equal(proposals(dump, result), result.proposals.boxes)


def test_the_order_of_the_deltas_can_be_matterports(tmp_path, result, arrays):
    turned = dict(arrays)
    for number in range(3):
        turned[f"level{number}.deltas"] = arrays[f"level{number}.deltas"][:, [1, 0, 3, 2]]
    turned["delta_order"] = np.array("dydxdhdw")
    assert np.array_equal(proposals(read_dump(write(tmp_path / "a.npz", turned)), result), result.proposals.boxes)


def test_without_anchors_those_of_the_preset_are_used(tmp_path, arrays):
    preset = presets.load("torchvision")
    inputs = pipeline.Inputs((96, 128), np.zeros((0, 4)))
    params = preset.params.with_values("resize", mode="none")
    bare = pipeline.run(inputs, params, preset.conventions)
    rng = np.random.default_rng(0)
    made = {"original_size": (96, 128), "resized_size": (96, 128), "input_size": bare.frame.input_size}
    for number, level in enumerate(bare.anchors.lattice):
        made[f"level{number}.objectness"] = rng.normal(size=(level.cells, *level.grid)).astype("f2")
        made[f"level{number}.deltas"] = rng.normal(0, 0.1, (4 * level.cells, *level.grid)).astype("f2")
    dump = read_dump(write(tmp_path / "a.npz", made))
    again = pipeline.run_outputs(inputs, dump.output, preset.params, preset.conventions)
    assert np.array_equal(again.anchors.boxes, bare.anchors.boxes)
    assert len(again.proposals.boxes) > 10


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"level1.deltas": None}, "'level1.deltas' is missing"),
        ({"original_size": None}, "'original_size' is missing"),
        ({"input_size": np.array([1, 2, 3])}, "'input_size' is [1, 2, 3], expected height and width"),
        ({"level0.objectness": np.zeros((3, 4))}, "'level0.objectness' has shape (3, 4), expected (A, H, W)"),
        ({"level0.deltas": np.zeros((3, 4, 5))}, "'level0.deltas' has shape (3, 4, 5)"),
        ({"anchors": np.zeros((7, 4))}, "the anchors have shape (7, 4)"),
        ({"format": np.array("rpn-dump/9")}, "its format is 'rpn-dump/9'"),
        ({"delta_order": np.array("xyxy")}, "delta_order is 'xyxy'"),
        ({"delta_weights": np.array("[1, 2]")}, "weights"),
        ({"preset": np.array("nobody")}, "there is no preset 'nobody'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, arrays, change, words):
    changed = {name: value for name, value in {**arrays, **change}.items() if value is not None}
    path = write(tmp_path / "a.npz", changed)
    with pytest.raises(ModelFileError) as caught:
        read_dump(path)
    assert words in str(caught.value)
    assert "docs/rpn-dump.md" in str(caught.value)


def test_anchors_that_stand_on_no_grid_are_refused(tmp_path, arrays):
    moved = {**arrays, "anchors": arrays["anchors"].copy()}
    moved["anchors"][100, 0] += 3
    with pytest.raises(ModelFileError, match="do not stand on a grid"):
        read_dump(write(tmp_path / "a.npz", moved))


def test_pickled_arrays_are_not_read(tmp_path, arrays):
    path = tmp_path / "a.npz"
    np.savez(path, **{**arrays, "strides": np.array([{"code": 1}], dtype=object)})
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_dump(path)


def test_a_folder_finds_the_dump_by_the_image(tmp_path, result, arrays):
    folder = tmp_path / "dumps"
    folder.mkdir()
    write(folder / "0001.npz", arrays)
    other = {**arrays, "file_name": np.array("coffee.jpg")}
    write(folder / "0002.npz", other)
    model = open_model(folder)
    assert model.note == "recordings of 2 images"
    image = np.zeros((303, 384, 3), np.uint8)
    output = model.propose(image, file_name="photos/coins.png")
    assert np.array_equal(output.levels[0].objectness, result.inputs.outputs.levels[0].objectness)
    with pytest.raises(ModelFileError, match=r"no dump for chelsea\.png"):
        model.propose(image, file_name="chelsea.png")
    with pytest.raises(ModelFileError, match="of 384 x 303 px; this one has 9 x 8"):
        model.propose(np.zeros((8, 9, 3), np.uint8), file_name="coins.png")


def test_a_dump_of_another_image_is_refused(tmp_path, arrays):
    path = write(tmp_path / "a.npz", arrays)
    model = open_dump(path)
    with pytest.raises(ModelFileError, match=r"recorded for coins\.png, not for coffee\.jpg"):
        model.propose(np.zeros((303, 384, 3), np.uint8), file_name="coffee.jpg")
    info = inspect_model(path)
    assert info.format == "dump"
    assert "3 levels, 6 anchors per position, its own anchors" in info.description


def test_only_what_a_dump_holds_is_unpacked_and_no_more_than_fits(tmp_path, arrays):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays, extra=np.array([{"code": 1}], dtype=object))
    assert read_dump(path).file_name == "coins.png"
    large = np.zeros(2**28 - 100, np.uint8)
    np.savez_compressed(path, **{**arrays, "level0.objectness": large, "level0.deltas": large})
    assert path.stat().st_size < 2**23
    with pytest.raises(ModelFileError, match=r"its arrays unpack to 5\d\d MB, expected at most 512"):
        read_dump(path)


def test_bfloat16_is_read_and_smaller_types_are_named(tmp_path, result, arrays):
    tensors = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items() if value.ndim}
    texts = {name: str(value) for name, value in arrays.items() if not value.ndim}
    for name, value in tensors.items():
        tensors[name] = value.bfloat16() if name.startswith("level") else value
    path = tmp_path / "a.safetensors"
    save_torch(tensors, path, texts)
    found = read_dump(path).output.levels[1]
    assert np.array_equal(found.objectness, tensors["level1.objectness"].float().numpy())
    assert np.array_equal(found.deltas, tensors["level1.deltas"].float().numpy())
    tensors["level1.deltas"] = tensors["level1.deltas"].to(torch.float8_e4m3fn)
    save_torch(tensors, path, texts)
    with pytest.raises(ModelFileError, match=r"'level1\.deltas' has the type F8_E4M3"):
        read_dump(path)


def test_truncated_files_are_refused(tmp_path, arrays):
    path = write(tmp_path / "a.npz", arrays)
    data = path.read_bytes()
    for kept in (0.1, 0.5, 0.99):
        path.write_bytes(data[: int(len(data) * kept)])
        with pytest.raises(ModelFileError):
            open_model(path)


def test_the_documentation_names_every_array_and_text(arrays):
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "rpn-dump.md").read_text()
    for name in arrays:
        assert name.split(".")[-1] in text
    assert json.loads(str(arrays["delta_weights"]))
