"""Captured steps as recordings and as a data set; damaged, foreign and partial files."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "core"))

from made_capture import SIZES, made_step, recorder, small, write_capture

from rpnviz.core import pipeline
from rpnviz.core.replay import replay
from rpnviz.datasets.base import inputs_of, load_image, shown_size
from rpnviz.datasets.captures import capture_files, is_capture, open_captures, read_pixels, read_step
from rpnviz.datasets.registry import open_dataset
from rpnviz.errors import ModelFileError


def rewritten(path, **changes):
    """The file with some arrays exchanged; None takes one out."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays = {name: value for name, value in (arrays | changes).items() if value is not None}
    np.savez_compressed(path, **arrays)
    return path


def test_what_is_written_is_read_and_reproduced(tmp_path):
    (path,) = write_capture(tmp_path)
    step = read_step(path)
    given = made_step()
    assert (step.step, step.framework, step.input_size) == (0, "torchvision", (96, 128))
    assert step.losses == {"loss_objectness": 0.7, "loss_rpn_box_reg": pytest.approx(0.1)}
    for number, image in enumerate(step.images):
        assert image.size == SIZES[number]
        assert np.array_equal(image.labels, given["labels"][number])
        assert np.array_equal(image.objectness, given["objectness"][number])
        assert np.array_equal(
            image.sampled, np.concatenate([given["sampled_positive"][number], given["sampled_negative"][number]])
        )
    assert sum(image.distance for image in replay(step, small())) == 0


def test_masks_and_targets_of_all_anchors_are_cut_down(tmp_path):
    given = made_step()
    count = len(given["anchors"])
    masks, targets = [], []
    for number in range(2):
        mask = np.zeros(count, bool)
        mask[given["sampled_positive"][number]] = True
        masks.append(mask)
        whole = np.zeros((count, 4), np.float32)
        whole[given["target_anchor"][number]] = given["target_deltas"][number]
        targets.append(whole)
    recorder(tmp_path).step(**given | {"sampled_positive": masks, "target_deltas": targets, "target_anchor": None})
    step = read_step(capture_files(tmp_path)[0])
    for number, image in enumerate(step.images):
        assert np.array_equal(image.sampled_positive, given["sampled_positive"][number])
        assert np.array_equal(image.target_anchor, given["target_anchor"][number])
        assert np.array_equal(image.target_deltas, given["target_deltas"][number])


def test_a_folder_is_a_data_set_of_what_the_network_saw(tmp_path):
    write_capture(tmp_path, 3)
    dataset = open_dataset([tmp_path])
    assert [record.file_name for record in dataset.images][:3] == [
        "step 0 · image 0",
        "step 0 · image 1",
        "step 1 · image 0",
    ]
    record = dataset.images[1]
    loaded = load_image(record)
    assert loaded.size == shown_size(record) == SIZES[1]
    assert dataset.names_of(dataset.images[0]) == ("class 0", "class 1", "class 2")
    inputs = inputs_of(record, loaded.size)
    # The user's resize does not act on what is resized already.
    params = small().params
    assert params.resize.min_size == 800
    frame = pipeline.run(inputs, params, small().conventions).frame
    assert (frame.resized_size, frame.input_size, frame.scale) == (SIZES[1], (96, 128), (1.0, 1.0))


def test_only_classes_that_occur_have_a_name(tmp_path):
    path = write_capture(tmp_path)[0]
    rewritten(path, **{"image0.classes": np.array([2**40, 7, 7])})
    dataset = open_captures(tmp_path)
    assert dataset.categories == ("class 0", "class 7", f"class {2**40}")
    assert dataset.names_of(dataset.images[0]) == (f"class {2**40}", "class 7", "class 7")


def test_a_step_that_is_not_finite_is_marked(tmp_path):
    write_capture(tmp_path, losses={"loss_objectness": float("nan")})
    assert open_captures(tmp_path).images[0].file_name == "! step 0 · image 0"


def test_the_steps_of_a_training_know_each_other(tmp_path):
    steps = [read_step(path) for path in write_capture(tmp_path / "a", 2) + write_capture(tmp_path / "b")]
    assert steps[0].run == steps[1].run != steps[2].run
    assert read_step(rewritten(tmp_path / "b" / "step_00000000.npz", run=None)).run == ""


def test_the_least_that_a_capture_must_hold(tmp_path):
    recorder(tmp_path, framework="").step(
        np.zeros((1, 32, 32, 3), np.uint8), {"loss": 1.0}, boxes=[np.array([[1, 2, 30, 20]])]
    )
    step = read_step(capture_files(tmp_path)[0])
    assert step.images[0].boxes.tolist() == [[1, 2, 30, 20]]
    assert (step.framework, step.grids, step.images[0].labels) == ("", (), None)
    image = replay(step, small())[0]
    assert (image.comparable, image.distance, image.anchors) == (True, 0, None)


def test_a_trainer_without_known_rules_is_told(tmp_path):
    path = write_capture(tmp_path)[0]
    rewritten(path, framework=np.array("my-trainer"))
    step = read_step(path)
    assert (step.framework, step.stated_framework) == ("", "my-trainer")
    (finding,) = open_captures(tmp_path).findings
    assert "'my-trainer'" in finding.what
    assert "mmdetection" in finding.way_out


def test_pixels_as_given_are_stretched_and_what_is_not_finite_is_magenta(tmp_path):
    pixels = np.linspace(-2, 2, 32 * 32 * 3, dtype=np.float32).reshape(1, 32, 32, 3).copy()
    pixels[0, 4, 5, 1] = np.nan
    recorder(tmp_path, mean=None, std=None).step(pixels, {}, boxes=[np.zeros((0, 4))])
    path = capture_files(tmp_path)[0]
    shown = read_pixels(path, 0)
    assert shown[4, 5].tolist() == [255, 0, 255]
    assert shown[0, 0, 0] == 0
    assert shown[-1, -1, -1] == 255
    assert read_step(path).images[0].bad_pixels == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image1.boxes": None}, "the array 'image1.boxes' is missing"),
        ({"step": None}, "the array 'step' is missing"),
        ({"images": np.zeros((2, 96, 128), np.uint8)}, "'images' has shape"),
        ({"sizes": np.array([[96, 128]])}, "'sizes' has 1 rows, expected 2"),
        ({"sizes": np.array([[96, 128], [0, 4]])}, "expected height and width"),
        ({"sizes": np.array([[96, 128], [200, 4]])}, "is larger than its batch"),
        ({"image0.labels": np.zeros(3, np.int8)}, "expected"),
        ({"image0.labels": np.full(720, 9, np.int8)}, "labels are"),
        ({"grids": np.array([[3, 12, 16]]), "strides": None}, "but its grids hold 576"),
        ({"strides": np.array([8, 16, 32])}, "'strides' has 3 rows, expected 2"),
        ({"image0.boxes": np.zeros((2, 3))}, "expected (M, 4)"),
        ({"format": np.array("rpn-capture/9")}, "its format is 'rpn-capture/9'"),
        ({"image0.sampled_positive": np.array([5000])}, "but there are 720 anchors"),
        ({"image0.sampled_positive": np.array([0.5])}, "'image0.sampled_positive' holds numbers that are not whole"),
        ({"image0.labels": np.full(720, 0.5)}, "'image0.labels' holds numbers that are not whole"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_does_not_fit_is_named(tmp_path, changes, words):
    path = rewritten(write_capture(tmp_path)[0], **changes)
    with pytest.raises(ModelFileError) as told:
        read_step(path)
    assert words in str(told.value)
    assert path.name in told.value.where


def test_anchors_off_the_grid_are_named_when_they_are_needed(tmp_path):
    path = write_capture(tmp_path)[0]
    with np.load(path) as file:
        anchors = file["anchors"]
    anchors[7] += 1
    step = read_step(rewritten(path, anchors=anchors))
    assert replay(step, small())[0].anchors.differ.tolist() == [7]


@pytest.mark.parametrize("keep", [0, 10, 3000])
def test_a_truncated_file(tmp_path, keep):
    path = write_capture(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:keep])
    assert not is_capture(path)
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_step(path)


def test_a_damaged_step_among_others_is_a_finding(tmp_path):
    paths = write_capture(tmp_path, 3)
    rewritten(paths[1], step=None)
    dataset = open_captures(tmp_path)
    assert len(dataset.images) == 4
    assert [finding.where for finding in dataset.findings] == [paths[1].name]


def test_foreign_files_are_none(tmp_path):
    np.savez(tmp_path / "weights.npz", a=np.zeros(3))
    np.savez(tmp_path / "step_1.npz", images=np.zeros(3))
    (tmp_path / "step_2.npz").write_text("no zip")
    assert not is_capture(tmp_path)
    assert not is_capture(tmp_path / "weights.npz")
    assert not is_capture(tmp_path / "nothing.npz")
    with pytest.raises(ModelFileError, match="holds no captured step"):
        capture_files(tmp_path)
