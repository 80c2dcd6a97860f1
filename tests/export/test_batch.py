"""Files for several images: their names, and that one bad image does not stop the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rpnviz.core import presets
from rpnviz.datasets.base import ImageRecord
from rpnviz.datasets.registry import sample_dataset
from rpnviz.errors import Cancelled, ExportError
from rpnviz.export.batch import Target, is_pattern, make_subject, name_of, plan_targets, run_batch, targets_of


def record(name, folder=Path("images")):
    return ImageRecord(name, folder / name)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("{stem}_{stage}", "Größe 硬币_gt"),
        ("{index}", "007"),
        ("{index} {stem}.x", "007 Größe 硬币.x"),
        ("{{stem}}", "{stem}"),
        ("plain", "plain"),
        ("{stem}{stem}", "Größe 硬币Größe 硬币"),
    ],
)
def test_names(pattern, name):
    assert name_of(pattern, record("sub/Größe 硬币.jpg"), "gt", 7, 120) == name


@pytest.mark.parametrize(
    ("pattern", "says"),
    [("{name}", "{name}"), ("{stem", "cannot be read"), ("{}", "{}"), ("{index:03d}", "{index}"), ("a}b", "cannot")],
)
def test_unknown_fields_are_named(pattern, says):
    with pytest.raises(ExportError) as error:
        name_of(pattern, record("a.png"), "gt", 1, 1)
    assert says in str(error.value)
    assert "{stem}, {stage}, {index}" in str(error.value)


def test_a_stem_with_braces_is_no_field():
    assert name_of("{stem}", record("{x}.png"), "gt", 1, 1) == "{x}"
    assert is_pattern("{index}.png")
    assert not is_pattern("plain.png")


def test_two_images_never_share_a_file():
    images = [record("a/1.png"), record("b/1.png")]
    with pytest.raises(ExportError, match=r"b/1\.png.*overwrite.*a/1\.png.*index"):
        plan_targets(images, "out/{stem}.png", "gt")
    assert [t.path.name for t in plan_targets(images, "out/{stem}_{index}.png", "gt")] == ["1_1.png", "1_2.png"]


def test_an_image_is_never_overwritten(tmp_path):
    images = [record("a.png", tmp_path), record("b.png", tmp_path)]
    with pytest.raises(ExportError, match=r"overwrite the image"):
        plan_targets(images, str(tmp_path / "{stem}.png"), "gt")


def test_where_files_go(tmp_path):
    one, two = [record("a.png")], [record("a.png"), record("b.png")]
    default = "{stem}_{stage}.svg"
    assert targets_of(one, str(tmp_path / "x.png"), "gt", default)[0].path == tmp_path / "x.png"
    assert targets_of(one, str(tmp_path), "gt", default)[0].path == tmp_path / "a_gt.svg"
    assert targets_of(one, f"{tmp_path}/new/", "gt", default)[0].path == tmp_path / "new" / "a_gt.svg"
    assert [t.path.name for t in targets_of(two, str(tmp_path / "out"), "gt", default)] == ["a_gt.svg", "b_gt.svg"]
    assert (tmp_path / "out").is_dir()
    pattern = str(tmp_path / "deep" / "{stage}" / "{index}.png")
    assert targets_of(two, pattern, "gt", default)[1].path == tmp_path / "deep" / "gt" / "2.png"
    assert (tmp_path / "deep" / "gt").is_dir()
    with pytest.raises(ExportError, match="2 images cannot go to one file"):
        targets_of(two, str(tmp_path / "x.png"), "gt", default)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "plain").write_text("x", encoding="utf-8")
    with pytest.raises(ExportError, match="plain"):
        targets_of([record("a.png"), record("b.png")], str(tmp_path / "plain"), "gt", "{stem}.png")


def test_failures_are_collected_and_told_and_the_rest_is_written():
    targets = [Target(record(name), Path(name)) for name in ("a", "b", "c")]
    seen, told = [], []

    def write(target):
        if target.path.name == "b":
            raise ExportError("no room", where="b")

    outcome = run_batch(targets, write, lambda number, target: seen.append((number, target.path.name)), told.append)
    assert [path.name for path in outcome.written] == ["a", "c"]
    assert [failure.file_name for failure in outcome.failures] == ["b"]
    assert list(outcome.failures) == told
    assert seen == [(0, "a"), (1, "b"), (2, "c")]


def test_a_cancel_ends_the_batch():
    targets = [Target(record(name), Path(name)) for name in ("a", "b", "c")]
    written = []

    def progress(number, target):
        if number == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        run_batch(targets, written.append, progress)
    assert len(written) == 2


def test_a_subject_is_what_its_image_is():
    dataset = sample_dataset()
    first = dataset.images[0]
    made = make_subject(first, dataset, presets.load("torchvision"), None)
    assert made.file_name == first.file_name
    np.testing.assert_array_equal(made.result.inputs.gt_boxes, first.gt.boxes)
    assert made.photo.size == made.result.frame.image_size
    assert len(made.gt_names) == len(first.gt)
