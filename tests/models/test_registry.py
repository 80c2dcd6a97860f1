import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from rpnviz.core.inputs import LevelOutput, RPNOutput
from rpnviz.errors import Cancelled, ModelFileError, ShapeError
from rpnviz.imaging import write_png
from rpnviz.models.registry import open_model, sanity
from rpnviz.paths import bundled_model

BUNDLED = bundled_model()


@pytest.fixture(scope="module")
def model():
    return open_model(None)


class Malicious:
    """Makes a file when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def bundled_parts():
    """Weights and metadata of the bundled model, to be written again with one thing changed."""
    with safe_open(BUNDLED, "np") as file:
        metadata = file.metadata()
    return load_file(BUNDLED), metadata


def refused(path, *words):
    """The file is refused, and the message names it and everything in ``words``."""
    with pytest.raises(ModelFileError) as caught:
        open_model(path)
    message = str(caught.value)
    assert caught.value.where == str(path)
    for word in words:
        assert word in message, message
    return caught.value


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.pth", b"", ["an empty file", "Copy or download it again"]),
        ("notes.txt", b"these are not weights\n", ["a text file", "docs/rpn-dump.md"]),
        ("no_model.pt", b"text with the 9th byte {", ["a text file"]),
        (
            "pointer.safetensors",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            ["a Git LFS pointer", "git lfs pull"],
        ),
        ("page.pth", b"\n<!DOCTYPE html><html>404</html>", ["a web page", "Download the file itself"]),
        ("instances.json", b'{"images": []}', ["JSON text", "annotations"]),
        ("keras.pth", b"\x89HDF\r\n\x1a\n" + bytes(100), ["HDF5", "cannot be read"]),
        ("photo.pth", b"\xff\xd8\xff\xe0" + bytes(100), ["a JPEG image", "Open it as an image"]),
        ("photo.bmp", b"BM\x00\x01\x00\x00" + bytes(20), ["an image"]),
        ("car.txt", b"BMW is not a bitmap", ["a text file"]),
        ("graph.onnx", b"\x08\x07\x12\x07pytorch", ["holds no graph of operators"]),
        ("weights.bin", b"\x00\x01\x02\x03\x04\x05\x06\x07\x08", ["unknown kind", "00 01 02 03"]),
        ("broken.pth", b"PK\x03\x04" + bytes(200), ["a damaged zip archive", "Copy or download it again"]),
        ("cut.safetensors", b"\x00\x01\x00\x00\x00\x00\x00\x00{", ["cut off", "its header alone takes 264"]),
        ("header.safetensors", b"\x06\x00\x00\x00\x00\x00\x00\x00{12345", ["its header is not readable"]),
        ("list.safetensors", b'\x0a\x00\x00\x00\x00\x00\x00\x00{"a":[1]} ', ["its header is not readable"]),
        ("huge.safetensors", b'\x20\x00\x00\x00\x00\x00\x00\x00{"a":{"data_offsets":[0,1e999]}}', ["not readable"]),
        ("nothing.safetensors", b"\x02\x00\x00\x00\x00\x00\x00\x00{}", ["0 tensors: none"]),
    ],
)
def test_what_is_no_model_is_named_with_the_way_out(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    refused(path, *words)


def test_an_image_is_recognised(tmp_path):
    path = tmp_path / "renamed.pth"
    write_png(path, np.zeros((4, 4, 3), np.uint8))
    refused(path, "a PNG image")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_recognised_and_its_code_never_runs(tmp_path, protocol):
    trace, path = tmp_path / "trace", tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Malicious(trace), protocol))
    refused(path, "0 tensors", "no region proposal network")
    assert not trace.exists()
    pickle.loads(path.read_bytes())
    assert trace.exists(), "the test's own file is not malicious"


def test_code_in_a_pytorch_checkpoint_never_runs(tmp_path):
    trace, path = tmp_path / "trace", tmp_path / "model.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps(Malicious(trace), 2))
    refused(path, "0 tensors", "no region proposal network")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("members", "what"),
    [
        (["model/data.pkl", "model/constants.pkl"], "a TorchScript program"),
        (["level0.objectness.npy"], "a NumPy archive"),
        (["config.json", "model.weights.h5"], "a Keras model"),
        (["readme.md"], "a zip archive"),
    ],
)
def test_zip_archives_are_told_apart_by_their_contents(tmp_path, members, what):
    path = tmp_path / "file.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.writestr(member, b"")
    refused(path, what)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    refused(tmp_path / "gone.safetensors", "cannot be read: No such file")
    refused(tmp_path, "holds no RPN dump")
    with pytest.raises(ModelFileError, match="no file can have this name"):
        open_model(tmp_path / "a\0b")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_at_once(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    refused(path, "no regular file")


@pytest.mark.parametrize("kept", [0.001, 0.5, 0.999])
def test_a_truncated_weight_file_is_refused(tmp_path, kept):
    path = tmp_path / "model.safetensors"
    data = BUNDLED.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    refused(path, "cut off", f"{int(len(data) * kept):,} bytes", "transfer was not complete")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("proposal_generator.rpn_head.conv.weight", "another network"),
        ("encoder.weight", "another network"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, key, words):
    path = tmp_path / "other.safetensors"
    save_file({key: np.zeros((3, 4), np.float32)}, path)
    refused(path, words, "1 tensors", key)


def test_a_future_format_asks_for_a_newer_program(tmp_path):
    path = tmp_path / "future.safetensors"
    save_file({"x": np.zeros(1, np.float32)}, path, {"format": "rpnviz-rpn/2"})
    refused(path, "rpnviz-rpn/2", "newer rpnviz")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("settings", None, ["hold no 'settings'"]),
        ("settings", "{", ["not JSON"]),
        ("settings", "[]", ["expected a JSON object"]),
        ("settings", '{"resize": {}}', ["settings are not usable", "anchors: is missing"]),
        ("widths", '{"stem": [16], "stages": [48, 80, 112], "pyramid": 64}', ["widths.stem", "2 items"]),
        ("widths", '{"stem": [16, 24], "stages": [48, 80, 112], "pyramid": 32}', ["do not fit", "more"]),
    ],
)
def test_wrong_metadata_are_named(tmp_path, key, value, words):
    tensors, metadata = bundled_parts()
    if value is None:
        del metadata[key]
    else:
        metadata[key] = value
    path = tmp_path / "changed.safetensors"
    save_file(tensors, path, metadata)
    refused(path, *words)


@pytest.mark.parametrize(
    ("group", "field", "value", "words"),
    [
        ("anchors", "strides", [4, 8, 16], ["(4, 8, 16)", "(8, 16, 32)"]),
        ("anchors", "aspect_ratios", [[1.0], [1.0, 2.0], [1.0]], ["(2, 4, 2) shapes per position"]),
        ("resize", "pad_multiple", 16, ["multiples of 16 px", "multiples of 32"]),
    ],
)
def test_settings_that_the_network_cannot_have_are_refused(tmp_path, group, field, value, words):
    tensors, metadata = bundled_parts()
    settings = json.loads(metadata["settings"])
    settings[group][field] = value
    path = tmp_path / "changed.safetensors"
    save_file(tensors, path, {**metadata, "settings": json.dumps(settings)})
    refused(path, *words)


def test_missing_extra_and_undefined_weights_are_all_named(tmp_path):
    tensors, metadata = bundled_parts()
    changed = dict(tensors)
    changed["extra.weight"] = changed.pop("head.0.bias")
    path = tmp_path / "changed.safetensors"
    save_file(changed, path, metadata)
    refused(path, "head.0.bias is missing", "extra.weight is unknown")
    broken = {**tensors, "deltas.bias": np.full_like(tensors["deltas.bias"], np.nan)}
    save_file(broken, path, metadata)
    refused(path, "infinite or undefined", "deltas.bias")


def test_looking_at_files_loads_no_torch(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(pickle.dumps({}))
    code = (
        "import sys, pathlib, rpnviz.models.registry, rpnviz.models.base\n"
        "from rpnviz.errors import ModelFileError\n"
        "try: rpnviz.models.registry.open_model(pathlib.Path(sys.argv[1]))\n"
        "except ModelFileError: pass\n"
        "else: raise SystemExit('opened')\n"
        "assert not {'torch', 'PySide6'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def test_outputs_fit_the_settings_and_the_frame(model):
    output = model.propose(np.zeros((300, 384, 3), np.uint8))
    assert output.resized_size == (320, 409)
    assert output.input_size == (320, 416)
    assert output.settings is model.settings
    assert output.source == model.name
    for level, stride, cells in zip(
        output.levels, model.settings.anchors.strides, model.settings.anchors.cells, strict=True
    ):
        assert level.objectness.shape == (cells, 320 // stride, 416 // stride)
        assert level.objectness.dtype == level.deltas.dtype == np.float32


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 2000, 3), (2000, 1, 3), (17, 33, 3)])
def test_images_of_any_size_run(model, shape):
    output = model.propose(np.full(shape, 200, np.uint8))
    assert all(side % 32 == 0 for side in output.input_size)
    assert all(np.isfinite(level.objectness).all() for level in output.levels)


@pytest.mark.parametrize(
    "image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), "u1")]
)
def test_what_is_no_colour_image_is_refused(model, image):
    with pytest.raises(ShapeError, match=r"expected \(H, W, 3\) uint8 RGB"):
        model.propose(image)


def test_proposing_leaves_the_image_alone_and_repeats_itself(model):
    image = np.random.default_rng(0).integers(0, 256, (320, 320, 3), dtype=np.uint8)
    image.flags.writeable = False
    before = image.copy()
    first, second = model.propose(image), model.propose(image)
    np.testing.assert_array_equal(image, before)
    for a, b in zip(first.levels, second.levels, strict=True):
        np.testing.assert_array_equal(a.objectness, b.objectness)
        assert not a.objectness.flags.writeable


def test_a_cancelled_run_ends_between_stages(model):
    asked = []

    def cancelled():
        asked.append(None)
        return len(asked) == 3

    with pytest.raises(Cancelled):
        model.propose(np.zeros((64, 64, 3), np.uint8), cancelled)
    assert len(asked) == 3
    assert not issubclass(Cancelled, Exception)


def outputs(objectness, deltas):
    """One level of 2 x 8 x 8 anchors with all outputs given."""
    rng = np.random.default_rng(0)
    level = LevelOutput(
        (objectness + rng.normal(0, 1e-3, (2, 8, 8))).astype(np.float32),
        (deltas * rng.normal(0, 1, (2, 4, 8, 8))).astype(np.float32),
    )
    return RPNOutput((level,), (64, 64), (64, 64), open_model(None).settings, "test")


@pytest.mark.parametrize(
    ("objectness", "deltas", "words"),
    [
        (4.0, 0.1, "mean objectness 0.98 everywhere"),
        (0.0, 0.1, "mean objectness 0.50 everywhere"),
        (-20.0, 0.1, "no objectness above"),
        (np.linspace(-6, 2, 128).reshape(2, 8, 8), 0.0, "no delta moves a box"),
        (np.nan, 0.1, "128 of 640 outputs are infinite or undefined"),
    ],
)
def test_untrained_or_mis_mapped_weights_are_noticed(objectness, deltas, words):
    warning = sanity(outputs(objectness, deltas))
    assert warning is not None
    assert words in warning
    assert warning.endswith("weights look untrained or mis-mapped.")
