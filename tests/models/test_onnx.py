"""ONNX graphs: found heads, equal values, and refusals; graphs are written by hand with the weights of a checkpoint."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import warnings

import made_onnx
import numpy as np
import onnx
import pytest
import torch
from made_onnx import CLS, Maker, model, network, plain, renamed, whole
from made_states import torchvision_state
from onnx import TensorProto, helper, numpy_helper

from rpnviz import cli
from rpnviz.core import pipeline, presets
from rpnviz.errors import Cancelled, ModelFileError
from rpnviz.imaging import write_png
from rpnviz.models.checkpoint import write_sidecar
from rpnviz.models.convnet import Detector, NetOptions
from rpnviz.models.registry import inspect_model, open_model

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def state():
    return torchvision_state(width=4)


@pytest.fixture(scope="module")
def expected(state, tmp_path_factory):
    """What the same weights give as a checkpoint."""
    path = tmp_path_factory.mktemp("checkpoint") / "model.pth"
    torch.save({name: torch.from_numpy(value) for name, value in state.items()}, path)
    return open_model(path, {"device": "cpu"}).propose(IMAGE)


def written(tmp_path, made, name="model.onnx"):
    path = tmp_path / name
    onnx.save(made, path)
    return path


def same(found, expected, noise=1e-5):
    """Equal to float noise; sums of hundreds of products may cancel, so the largest value is the measure."""
    for left, right in zip(found.levels, expected.levels, strict=True):
        for a, b in ((left.objectness, right.objectness), (left.deltas, right.deltas)):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=noise * np.abs(b).max())


def refused(path, *words, **options):
    """The file is refused, and the message names it and everything in ``words``."""
    with pytest.raises(ModelFileError) as caught:
        open_model(path, options)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert caught.value.where == str(path)


def answers_of(path):
    return {question.key: question.default for question in inspect_model(path).questions}


# ------------------------------------------------------------------ what is found


def test_backbone_and_head_give_what_the_checkpoint_gives(tmp_path, state, expected):
    path = written(tmp_path, plain(state))
    info = inspect_model(path)
    assert (info.format, info.preset) == ("onnx", "torchvision")
    assert "5 levels, 3 anchors per position, found by the names of its weights" in info.description
    assert answers_of(path) == {"preset": "torchvision", "pixels": "unit", "min_size": "preset", "max_size": "preset"}
    opened = open_model(path)
    found = opened.propose(IMAGE)
    same(found, expected)
    assert (found.resized_size, found.input_size, found.source) == ((800, 1066), (800, 1088), "model.onnx")
    # The pipeline takes them.
    preset = presets.load("torchvision")
    params, conventions = opened.settings.applied_to(preset.params, preset.conventions)
    result = pipeline.run(pipeline.Inputs(IMAGE.shape[:2], np.zeros((0, 4)), outputs=found), params, conventions)
    assert len(result.anchors) == sum(level.objectness.size for level in found.levels)


def test_a_whole_detector_runs_up_to_its_head(tmp_path, state, expected):
    """What stands behind the head needs an operator that nobody has, and a second input."""
    same(open_model(written(tmp_path, whole(state))).propose(IMAGE), expected)


@pytest.mark.parametrize(
    ("framework", "names"),
    [
        ("detectron2", ("proposal_generator.rpn_head.objectness_logits", "proposal_generator.rpn_head.anchor_deltas")),
        ("mmdetection", ("rpn_head.rpn_cls", "rpn_head.rpn_reg")),
    ],
)
def test_names_tell_the_framework(tmp_path, state, framework, names):
    made = renamed(whole(state), lambda _, name: name.replace(made_onnx.CLS, names[0]).replace(made_onnx.BOX, names[1]))
    path = written(tmp_path, made)
    assert inspect_model(path).preset == framework
    assert answers_of(path)["pixels"] == {"detectron2": "bgr", "mmdetection": "unit"}[framework]
    assert open_model(path).propose(IMAGE).input_size == (800, 1088)


@pytest.mark.parametrize("make", [plain, whole])
def test_mangled_names_leave_the_shapes(tmp_path, state, expected, make):
    path = written(tmp_path, renamed(make(state), lambda number, _: f"onnx::Conv_{number}"))
    assert "found by the channels of its" in inspect_model(path).description
    same(open_model(path).propose(IMAGE), expected)


def test_operators_may_carry_the_names_that_weights_have_lost(tmp_path, state, expected):
    made = whole(state)
    for number, node in enumerate(made.graph.node):
        if node.op_type == "Conv":
            node.name = f"/{node.input[1].removesuffix('.weight').replace('.', '/')}/Conv_{number}"
    path = written(tmp_path, renamed(made, lambda number, _: f"w{number}"))
    assert "the names of its weights" in inspect_model(path).description
    same(open_model(path).propose(IMAGE), expected)


def test_weights_that_pass_through_other_operators_are_the_same_weights(tmp_path, state, expected):
    """Exporters write weights that the levels share once, and Identity for the others."""
    made = plain(state)
    for number, node in enumerate(list(made.graph.node)):
        if node.op_type == "Conv" and node.input[1].startswith("rpn.head"):
            made.graph.node.insert(0, helper.make_node("Identity", [node.input[1]], [f"again{number}"]))
    again = {node.input[0]: node.output[0] for node in made.graph.node if node.op_type == "Identity"}
    for node in made.graph.node:
        if node.op_type == "Conv":
            node.input[1] = again.get(node.input[1], node.input[1])
    same(open_model(written(tmp_path, made)).propose(IMAGE), expected)


def test_outputs_in_any_order_and_behind_a_sigmoid(tmp_path, state, expected):
    maker = Maker(state)
    pairs = network(maker, "image")
    outputs = [maker.op("Sigmoid", one) for one, _ in reversed(pairs)] + [four for _, four in pairs]
    made = renamed(model(maker, outputs), lambda number, _: f"w{number}")
    path = written(tmp_path, made)
    assert "the channels of its outputs" in inspect_model(path).description
    same(open_model(path).propose(IMAGE), expected)


def test_two_logits_per_anchor_become_one(tmp_path, state, expected):
    pairs = dict(state)
    for part in ("weight", "bias"):
        logits = state[f"{CLS}.{part}"]
        background = np.random.default_rng(1).normal(0, 0.1, logits.shape).astype("f4")
        pairs[f"{CLS}.{part}"] = np.stack([background, background + logits], 1).reshape(-1, *logits.shape[1:])
    for made in (whole(pairs), renamed(plain(pairs), lambda number, _: f"w{number}")):
        path = written(tmp_path, made)
        assert answers_of(path)["foreground"] == "second"
        same(open_model(path).propose(IMAGE), expected)
        turned = open_model(path, {"foreground": "first"}).propose(IMAGE)
        np.testing.assert_allclose(
            turned.levels[0].objectness, -open_model(path).propose(IMAGE).levels[0].objectness, atol=1e-3
        )


def test_colours_may_come_last_and_as_bytes(tmp_path, state):
    """A graph that takes (1, H, W, 3) bytes, as converters from Keras write them."""
    maker = Maker(state)
    x = maker.op("Cast", "image", to=TensorProto.FLOAT)
    pairs = network(maker, maker.op("Transpose", x, perm=[0, 3, 1, 2]))
    made = model(maker, [name for pair in pairs for name in pair], (1, "h", "w", 3), TensorProto.UINT8)
    found = open_model(written(tmp_path, made), {"pixels": "none"}).propose(IMAGE)
    floats = open_model(written(tmp_path, plain(state)), {"pixels": "none"}).propose(IMAGE)
    for left, right in zip(found.levels, floats.levels, strict=True):
        assert np.corrcoef(left.objectness.ravel(), right.objectness.ravel())[0, 1] > 0.999  # bytes are rounded


def test_matterport_deltas_are_turned(tmp_path, state):
    path = written(tmp_path, plain(state))
    turned = open_model(path, {"preset": "matterport"})
    straight = open_model(path, {"preset": "mmdetection", "pixels": "rgb", "min_size": "800", "max_size": "1024"})
    found = turned.propose(np.zeros((1024, 1024, 3), np.uint8))
    assert found.input_size == (1024, 1024)
    image = np.zeros((800, 800, 3), np.uint8)
    same_input = straight.propose(image).levels[0].deltas
    assert same_input.shape[1] == 4
    raw = open_model(path, {"preset": "torchvision", "pixels": "rgb", "min_size": "1024", "max_size": "1024"})
    black = raw.propose(np.zeros((1024, 1024, 3), np.uint8))
    np.testing.assert_allclose(found.levels[0].deltas, black.levels[0].deltas[:, [1, 0, 3, 2]], rtol=1e-4, atol=1e-3)


def test_a_graph_that_torch_exported(tmp_path, state, expected):
    """torch's own exporter folds normalisation into convolutions and loses all names."""

    class Exported(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.detector = Detector(state, NetOptions())

        def forward(self, x):
            levels = self.detector(x, lambda: None)
            return tuple(one for one, _ in levels) + tuple(four for _, four in levels)

    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter is deprecated, and files of it are what people have
        torch.onnx.export(
            Exported().eval(),
            (torch.zeros(1, 3, 64, 96),),
            str(path),
            dynamo=False,
            input_names=["image"],
            dynamic_axes={"image": {2: "h", 3: "w"}},
        )
    same(open_model(path).propose(IMAGE), expected)


# ------------------------------------------------------------------ sizes


@pytest.mark.parametrize(
    ("fit", "resized"),
    [("pad", (336, 448)), ("stretch", (416, 448)), ("preset", (336, 448))],
)
def test_a_fixed_size_is_kept(tmp_path, state, fit, resized):
    path = written(tmp_path, plain(state, shape=(1, 3, 416, 448)))
    assert answers_of(path) == {"preset": "torchvision", "pixels": "unit", "fit": "pad"}
    opened = open_model(path, {"fit": fit})
    assert "input of 448 x 416 px" in opened.note
    found = opened.propose(IMAGE)
    assert (found.resized_size, found.input_size, found.stated) == (resized, (416, 448), True)
    preset = presets.load("torchvision")
    params, conventions = opened.settings.applied_to(preset.params, preset.conventions)
    result = pipeline.run(pipeline.Inputs(IMAGE.shape[:2], np.zeros((0, 4)), outputs=found), params, conventions)
    assert result.frame.resized_size == resized
    assert len(result.anchors) == sum(level.objectness.size for level in found.levels)


def test_a_fixed_size_made_for_the_preset_has_its_rule(tmp_path, state, expected):
    path = written(tmp_path, plain(state, shape=(1, 3, 800, 1344)))
    assert answers_of(path)["fit"] == "preset"
    found = open_model(path).propose(IMAGE)
    assert (found.resized_size, found.input_size) == ((800, 1066), (800, 1344))
    # Only what padding reaches differs from the input of 1088 px.
    np.testing.assert_allclose(
        found.levels[0].objectness[:, :100, :100], expected.levels[0].objectness[:, :100, :100], rtol=1e-2, atol=1e-2
    )
    upright = open_model(path).propose(IMAGE.transpose(1, 0, 2).copy())
    assert upright.resized_size == (800, 600)


def test_sides_can_be_answered_and_are_checked(tmp_path, state):
    path = written(tmp_path, plain(state))
    found = open_model(path, {"min_size": "320", "max_size": "640"}).propose(IMAGE)
    assert found.input_size == (320, 448)
    for value in ("large", "0"):
        refused(path, "sides of the resized image are not usable", min_size=value)


def test_a_detector_that_resizes_inside_takes_the_image_as_it_is(tmp_path, state):
    path = written(tmp_path, whole(state, inside=True))
    assert answers_of(path)["pixels"] == "inside"
    opened = open_model(path)
    assert "it resizes inside" in opened.note
    image = np.random.default_rng(2).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    found = opened.propose(image)
    assert (found.resized_size, found.input_size, found.stated) == ((800, 1066), (800, 1088), True)
    checkpoint = tmp_path / "model.pth"
    torch.save({name: torch.from_numpy(value) for name, value in state.items()}, checkpoint)
    # Where a pixel is read between others, onnxruntime and torch round differently.
    same(found, open_model(checkpoint, {"device": "cpu"}).propose(image), 5e-4)
    # Another size is brought to that of the graph first, and the padding then counts as image.
    assert opened.propose(IMAGE[:, :60]).resized_size == (800, 800)


def test_a_graph_that_pads_by_itself_is_given_the_image_without_padding(tmp_path, state):
    """As detectron2 is exported: normalised first, then padded to a multiple of 32."""

    def made(pads):
        maker = Maker(state)
        x = maker.op("Sub", "image", maker.put("mean", np.full((1, 3, 1, 1), 100, np.float32)))
        if pads:
            sides = maker.op("Slice", maker.op("Shape", x), maker.put("two", np.array([2])), maker.put("end", [4]))
            missing = maker.op("Mod", maker.op("Neg", sides), maker.put("multiple", np.array([32])))
            x = maker.op("Pad", x, maker.op("Concat", maker.put("none", np.zeros(6, np.int64)), missing, axis=0))
        return model(maker, [name for pair in network(maker, x) for name in pair])

    options = {"preset": "detectron2", "min_size": "300", "max_size": "640"}
    inside, outside = (open_model(written(tmp_path, made(pads)), options).propose(IMAGE) for pads in (True, False))
    assert inside.resized_size == outside.resized_size == (300, 400)
    assert inside.input_size == outside.input_size == (320, 416)
    # At the far corner the one sees padding of 0 after normalisation, the other black.
    assert not np.allclose(inside.levels[0].objectness[:, -3:], outside.levels[0].objectness[:, -3:], rtol=1e-3)
    np.testing.assert_allclose(
        inside.levels[0].objectness[:, :10, :10], outside.levels[0].objectness[:, :10, :10], rtol=1e-2, atol=1e-1
    )


def test_sizes_that_the_preset_does_not_make_are_told(tmp_path, state):
    path = written(tmp_path, whole(state, inside=True))
    opened = open_model(path, {"min_size": "600"})
    with pytest.raises(ModelFileError, match=r"levels have \(A, H, W\) = \(3, 200, 272\).*makes \(3, 152, 200\)"):
        opened.propose(np.zeros((300, 400, 3), np.uint8))


# ------------------------------------------------------------------ running


def test_equal_images_give_equal_outputs_in_threads(tmp_path, state):
    opened = open_model(written(tmp_path, plain(state)), {"min_size": "320", "max_size": "640"})
    image = IMAGE.copy()
    image.flags.writeable = False
    found = []
    threads = [threading.Thread(target=lambda: found.append(opened.propose(image, lambda: False))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    for other in found[1:]:
        np.testing.assert_array_equal(other.levels[0].objectness, found[0].levels[0].objectness)


def test_a_run_ends_when_nobody_wants_it(tmp_path, state):
    """The graph holds a loop that never ends by itself."""
    maker = Maker(state)
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Mul", ["x", "one"], ["y"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
        ],
    )
    maker.put("one", np.float32(1))
    looped = maker.op("Loop", "", maker.put("yes", np.array(True)), "image", body=body)
    pairs = network(maker, looped)
    path = written(tmp_path, model(maker, [name for pair in pairs for name in pair]))
    opened = open_model(path, {"min_size": "64", "max_size": "64"})
    asked = []

    def cancelled():
        asked.append(1)
        return len(asked) > 5

    with pytest.raises(Cancelled):
        opened.propose(IMAGE, cancelled)
    with pytest.raises(Cancelled):
        opened.propose(IMAGE, lambda: True)


def test_a_failing_run_is_one_sentence(tmp_path, state):
    """A graph that says any size, but adds what has one."""
    maker = Maker(state)
    pairs = network(maker, maker.op("Add", "image", maker.put("mean", np.zeros((1, 3, 128, 128), np.float32))))
    opened = open_model(written(tmp_path, model(maker, [name for pair in pairs for name in pair])))
    with pytest.raises(ModelFileError, match="onnxruntime fails on an input of 1 x 3 x 800 x 1088") as caught:
        opened.propose(IMAGE)
    assert "ONNXRuntimeError" not in str(caught.value)
    assert "'preset' and 'pixels'" in str(caught.value)


def test_sizes_that_no_run_can_have_are_told_at_once(tmp_path, state):
    """Without the multiple of 32 the levels of the pyramid do not fit each other."""
    refused(written(tmp_path, plain(state, shape=(1, 3, 100, 100))), "onnxruntime cannot run it", "dimensions")


# ------------------------------------------------------------------ options


def test_options_are_checked_and_remembered(tmp_path, state):
    path = written(tmp_path, plain(state))
    refused(path, "no option 'colour'", "preset, pixels", colour="red")
    refused(path, "expected one of unit, bgr", pixels="grey")
    refused(path, "expected one of torchvision, detectron2", preset="keras-retinanet")
    assert "pixels as 'bgr'" in open_model(path, {"preset": "detectron2"}).note
    write_sidecar(path, {"pixels": "rgb"})
    assert "pixels as 'rgb'" in open_model(path).note


def test_anchors_of_another_number_are_refused_with_both(tmp_path):
    path = written(tmp_path, plain(torchvision_state(width=4, cells=9)))
    refused(path, "5 levels with 9 anchors per position", "the preset torchvision has 5 with 3", "docs/rpn-dump.md")


def test_one_level_of_fifteen_anchors_is_detectron2s_c4(tmp_path):
    maker = Maker(torchvision_state(width=4, cells=15))
    pairs = network(maker, "image")[2:3]
    path = written(tmp_path, renamed(model(maker, list(pairs[0])), lambda number, _: f"w{number}"))
    refused(path, "1 level with 15", "the preset torchvision has 5 with 3")
    opened = open_model(path, {"preset": "detectron2"})
    assert opened.settings.anchors.strides == (16,)
    assert [level.objectness.shape[0] for level in opened.propose(IMAGE).levels] == [15]


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x08\x07\x12\x07pytorch", ["holds no graph of operators"]),
        (b"\x08\x07\x3a\xff\xff", ["cut off, or no ONNX file", "Copy or download it again"]),
        (b"\x08 these are not weights", ["cut off, or no ONNX file"]),
        (b"these are not weights", ["a text file"]),
        (b"<html>404</html>", ["a web page"]),
    ],
)
def test_what_is_no_graph_is_named(tmp_path, content, words):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    refused(path, *words)


@pytest.mark.parametrize("kept", [0.001, 0.5, 0.999])
def test_a_cut_off_file_is_refused(tmp_path, state, kept):
    path = written(tmp_path, plain(state))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    refused(path, "cut off, or no ONNX file")


def test_a_graph_without_a_head_is_refused_with_the_way_out(tmp_path, state):
    maker = Maker(state)
    x = maker.conv("image", "backbone.body.conv1", "backbone.body.bn1")
    refused(written(tmp_path, model(maker, [x])), "no region proposal network", repr(x), "docs/rpn-dump.md")


def test_several_heads_are_ambiguous(tmp_path, state):
    maker = Maker(state)
    pairs = network(maker, "image")
    for one, channels in (("extra3", 3), ("extra12", 12)):
        maker.state = {f"{one}.weight": np.zeros((channels, 3, 1, 1), np.float32)}
        maker.conv("image", one, output=one)
    outputs = [name for pair in pairs for name in pair]
    made = renamed(model(maker, [*outputs, "extra3"]), lambda number, _: f"w{number}")
    refused(written(tmp_path, made), "cannot be told", "6 outputs of 3 channels, but 5 of 12", "docs/rpn-dump.md")
    made.graph.ClearField("output")
    made.graph.output.extend([helper.make_tensor_value_info("extra3", TensorProto.FLOAT, None)])
    refused(written(tmp_path, made), "several pairs of its convolutions", "docs/rpn-dump.md")


def test_a_batch_and_a_second_input_are_refused(tmp_path, state):
    refused(written(tmp_path, plain(state, shape=(2, 3, "h", "w"))), "takes 2 images at a time")
    refused(written(tmp_path, plain(state, shape=(1, 4, "h", "w"))), "expected an image of three colours")
    refused(written(tmp_path, plain(state, shape=(1, 3, 10**6, 10**6))), "image of 1000000 x 1000000 px")
    maker = Maker(state)
    x = maker.op("Mul", "image", "factor")
    pairs = network(maker, x)
    factor = helper.make_tensor_value_info("factor", TensorProto.FLOAT, [1])
    made = model(maker, [name for pair in pairs for name in pair], more_inputs=[factor])
    refused(written(tmp_path, made), "computed from 2 inputs ('image', 'factor')")


def test_foreign_operators_are_not_run(tmp_path, state):
    maker = Maker(state)
    pairs = network(maker, maker.op("Magic", "image", domain="somebody"))
    made = model(maker, [name for pair in pairs for name in pair], domains=["somebody"])
    refused(written(tmp_path, made), "somebody::Magic", "programs of their own", "docs/rpn-dump.md")
    maker = Maker(state)
    pairs = network(maker, maker.op("Magic", "image"))
    refused(written(tmp_path, model(maker, [name for pair in pairs for name in pair])), "onnxruntime cannot run it")


def test_functions_in_the_file_are_refused(tmp_path, state):
    made = plain(state)
    body = [helper.make_node("Identity", ["a"], ["b"])]
    made.functions.append(helper.make_function("own", "f", ["a"], ["b"], body, [helper.make_opsetid("", 17)]))
    refused(written(tmp_path, made), "1 functions of its own", "inline_local_functions")


def test_damaged_names_are_no_traceback(tmp_path, state):
    data = plain(state).SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(data.replace(b"rpn.head.cls_logits.weight", b"rpn.head.\xff\xfes_logits.weight"))
    refused(path, "a name in it is no text")


# ------------------------------------------------------------------ weights


def external(made, location, **keys):
    """The weights of the first convolution as bytes in another file, and that file's content."""
    tensor = next(tensor for tensor in made.graph.initializer if tensor.name == "backbone.body.conv1.weight")
    data = numpy_helper.to_array(tensor).tobytes()
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **keys}.items():
        tensor.external_data.append(onnx.StringStringEntryProto(key=key, value=str(value)))
    return data


def save(path, made):
    path.write_bytes(made.SerializeToString())
    return path


def test_weights_beside_the_file_are_read(tmp_path, state, expected):
    made = plain(state)
    data = external(made, "weights.bin", offset=16)
    (tmp_path / "weights.bin").write_bytes(bytes(16) + data)
    path = save(tmp_path / "model.onnx", made)
    same(open_model(path).propose(IMAGE), expected)
    (tmp_path / "weights.bin").write_bytes(bytes(16) + data[:-1])
    refused(path, "'backbone.body.conv1.weight'", f"needs {len(data):,} bytes, but the file has {len(data) - 1:,}")
    (tmp_path / "weights.bin").unlink()
    refused(path, "'weights.bin', which is missing", "Copy that file beside the model")


@pytest.mark.parametrize(
    "location",
    [
        "../secret.bin",
        "{outside}",
        "sub/../../secret.bin",
        "C:\\secret.bin",
        "..\\secret.bin",
        "",
        ".",
        "link.bin",
        "a\0b",
    ],
)
def test_weights_outside_the_folder_are_not_read(tmp_path, state, location):
    secret, folder = tmp_path / "secret.bin", tmp_path / "models"
    (folder / "sub").mkdir(parents=True)
    made = plain(state)
    secret.write_bytes(external(made, location.format(outside=secret)))
    (folder / "link.bin").symlink_to(secret)
    path = save(folder / "model.onnx", made)
    words = "cannot be read" if "\0" in location else "outside the folder of the model"
    refused(path, words)


def test_huge_shapes_are_refused_before_anything_is_allocated(tmp_path, state):
    made = plain(state)
    first = next(tensor for tensor in made.graph.initializer if tensor.name == "backbone.body.conv1.weight")
    first.dims[0] = 2**40
    refused(save(tmp_path / "a.onnx", made), "'backbone.body.conv1.weight'", "but the file has")
    first.dims[0] = -1
    refused(save(tmp_path / "b.onnx", made), "which ONNX does not know")
    made = plain(state)
    (tmp_path / "weights.bin").write_bytes(external(made, "weights.bin", offset=0, length=2**50))
    first = next(tensor for tensor in made.graph.initializer if tensor.external_data)
    first.dims[0] = 2**40
    refused(save(tmp_path / "c.onnx", made), "but the file has 2,352")
    with (tmp_path / "weights.bin").open("wb") as file:
        file.truncate(2**31)  # takes no room on the disk
    first.ClearField("dims")
    first.dims.extend([2**25, 1, 4, 4])
    first.external_data[2].value = str(2**31)
    refused(save(tmp_path / "c.onnx", made), "backbone and head take", "up to 2,147,483,647")
    maker = Maker(state)
    huge = maker.op("ConstantOfShape", maker.put("shape", np.array([2**20, 2**20])))
    pairs = network(maker, maker.op("Add", "image", maker.op("ReduceMax", huge, keepdims=0)))
    made = model(maker, [name for pair in pairs for name in pair])
    refused(save(tmp_path / "d.onnx", made), "ConstantOfShape makes a tensor of shape (1048576, 1048576)")


def test_sparse_weights_are_refused(tmp_path, state):
    made = plain(state)
    tensor = next(tensor for tensor in made.graph.initializer if tensor.name == "backbone.body.conv1.weight")
    sparse = made.graph.sparse_initializer.add()
    sparse.values.CopyFrom(helper.make_tensor(tensor.name, TensorProto.FLOAT, [1], [1.0]))
    sparse.indices.CopyFrom(helper.make_tensor("i", TensorProto.INT64, [1], [0]))
    sparse.dims.extend([2**40])
    made.graph.initializer.remove(tensor)
    refused(save(tmp_path / "model.onnx", made), "sparse weights")


# ------------------------------------------------------------------ around it


@pytest.mark.parametrize("name", ["onnx", "onnxruntime"])
def test_a_missing_package_is_told(tmp_path, state, monkeypatch, name):
    path = written(tmp_path, plain(state))
    monkeypatch.setitem(sys.modules, name, None)
    refused(path, f"{name} cannot be imported", "pip install 'rpnviz[onnx]'")


def test_looking_at_other_files_imports_neither_package(tmp_path):
    path = tmp_path / "model.txt"
    path.write_text("text")
    code = (
        "import sys, pathlib, rpnviz.models.registry as registry\n"
        "try: registry.open_model(pathlib.Path(sys.argv[1]))\n"
        "except registry.ModelFileError: pass\n"
        "assert not {'onnx', 'onnxruntime', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def test_proposals_on_the_command_line(tmp_path, state, capsys):
    path = written(tmp_path, whole(state))
    write_png(tmp_path / "image.png", IMAGE)
    words = ["proposals", str(tmp_path / "image.png"), "--model", str(path), "--json", "-"]
    assert cli.main([*words, "--model-option", "min_size=320", "--model-option", "pixels=zero_one"]) == 0
    boxes = json.loads(capsys.readouterr().out)
    assert boxes
    assert set(boxes[0]) == {"image_id", "category_id", "bbox", "score"}
    assert cli.main([*words, "--model-option", "pixels=grey"]) == 2
    assert "expected one of unit" in capsys.readouterr().err
