"""YOLO: splits, names, lines of every kind, and the size of the image."""

from __future__ import annotations

import os

import numpy as np
import pytest

from rpnviz.datasets.registry import open_dataset
from rpnviz.errors import AnnotationError
from rpnviz.imaging import cv2

NAMES = "names: [cat, dog]\n"


@pytest.fixture
def yolo(tmp_path, make_image):
    """Writes labels of ``images/a.png`` (60 x 40 px) and a ``data.yaml``, and opens that."""

    def write(lines="0 0.5 0.5 0.5 0.5\n", yaml=NAMES + "train: images\n"):
        make_image("images/a.png")
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / "a.txt").write_text(lines)
        (tmp_path / "data.yaml").write_text(yaml)
        return open_dataset([tmp_path / "data.yaml"])

    return write


def test_boxes_in_pixels(yolo):
    dataset = yolo()
    assert dataset.categories == ("cat", "dog")
    assert dataset.images[0].gt.boxes.tolist() == [[15, 10, 45, 30]]
    assert dataset.findings == ()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("names: {0: cat, 1: dog}", ("cat", "dog")),
        ("names: {1: dog, 0: cat}", ("cat", "dog")),
        ("names: {0: cat, 3: dog}", ("cat", "class 1", "class 2", "dog")),
        ("names:\n  - cat\n  - 7", ("cat", "7")),
        ("names: {x: cat}", ("class 0",)),
        ("names: 5", ("class 0",)),
    ],
)
def test_names_as_list_and_as_mapping(yolo, names, expected):
    assert yolo(yaml=f"{names}\ntrain: images\n").categories == expected


def test_nc_that_differs(yolo):
    (finding,) = yolo(yaml=NAMES + "nc: 3\ntrain: images\n").findings
    assert finding.kind == "nc"


@pytest.mark.parametrize(
    "yaml",
    [
        "path: {tmp}\ntrain: images/train\nval: images/val\n",
        "path: .\ntrain: [images/train, images/val]\n",
        "path: ../nowhere\ntrain: images/train\nval: images/val\n",
        "train: ../images/train\nval: ../images/val\n",
        "train: train.txt\nval: images/val\n",
        "train: images\n",
    ],
)
def test_splits(tmp_path, make_image, yaml):
    for split, name in (("train", "a"), ("val", "b")):
        make_image(f"images/{split}/{name}.png")
        (tmp_path / "labels" / split).mkdir(parents=True)
        (tmp_path / "labels" / split / f"{name}.txt").write_text("1 0.5 0.5 1 1\n")
    (tmp_path / "train.txt").write_text("./images/train/a.png\n\n")
    (tmp_path / "data.yaml").write_text(NAMES + yaml.format(tmp=tmp_path))
    dataset = open_dataset([tmp_path / "data.yaml"])
    assert [record.file_name for record in dataset.images] == ["images/train/a.png", "images/val/b.png"]
    assert dataset.box_counts().tolist() == [1, 1]
    assert dataset.findings == ()


def test_layout_of_roboflow(tmp_path, make_image):
    for split in ("train", "valid"):
        make_image(f"{split}/images/{split}.png")
        (tmp_path / split / "labels").mkdir()
        (tmp_path / split / "labels" / f"{split}.txt").write_text("0 0.5 0.5 1 1\n")
    dataset = open_dataset([tmp_path])
    assert [record.file_name for record in dataset.images] == ["train/images/train.png", "valid/images/valid.png"]
    (tmp_path / "data.yaml").write_text(NAMES + "train: ../train/images\nval: ../valid/images\n")
    assert open_dataset([tmp_path]).box_counts().tolist() == [1, 1]


def test_list_of_images(tmp_path, make_image, yolo):
    yolo()
    (tmp_path / "list.txt").write_text("images/a.png\nimages/gone.png\n")
    dataset = open_dataset([tmp_path / "list.txt"])
    assert dataset.box_counts().tolist() == [1, 0]
    assert "missing image" in {finding.kind for finding in dataset.findings}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.txt", "0 0.5 0.5 0.25 0.5\n1 0.5 0.5 0.25 0.5\n", "looks like the boxes of one image"),
        ("a.txt", "Car 0.88 3 -0.69 0 192 402 374 1.6 1.57 3.23 -2.70 1.74 3.68 -1.29\n", "the boxes of one image"),
        ("trainval.txt", "2008_000001\n2008_000002\n", "its first line is '2008_000001'"),
        ("notes.txt", "\n", "it is empty"),
        ("config.yaml", "model: frcnn\nlr: 0.1\n", "no description of a data set"),
    ],
)
def test_what_is_no_list_and_no_description_is_refused(tmp_path, make_image, name, text, says):
    make_image("below/b.png")  # not to be found from a file that names nothing
    (tmp_path / name).write_text(text)
    with pytest.raises(AnnotationError, match=says):
        open_dataset([tmp_path / name])


def test_labels_beside_the_images_and_their_names(tmp_path, make_image):
    make_image("a.png")
    (tmp_path / "a.txt").write_text("1 0.5 0.5 1 1\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    dataset = open_dataset([tmp_path])
    assert (dataset.format, dataset.categories) == ("YOLO", ("cat", "dog"))
    assert dataset.names_of(dataset.images[0]) == ("dog",)


def test_split_that_is_not_there(yolo):
    dataset = yolo(yaml=NAMES + "train: images\nval: no/such\ntest: {a: 1}\n")
    assert [(finding.severity, finding.kind) for finding in dataset.findings] == [("warning", "split")] * 2


@pytest.mark.parametrize(
    ("line", "box", "kinds"),
    [
        ("0 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9", [6, 4, 54, 36], []),
        ("0 0.5 0.1 0.9 0.9 0.1 0.9", [6, 4, 54, 36], []),
        ("0 0.5 0.5 0.5 0.5 0.87", [15, 10, 45, 30], ["confidence"]),
        ("0.0 0.5 0.5 0.5 0.5", [15, 10, 45, 30], []),
        ("cat 0.5 0.5 0.5 0.5", [15, 10, 45, 30], ["class"]),
        ("-1 0.5 0.5 0.5 0.5", [15, 10, 45, 30], ["class"]),
        ("1.5 0.5 0.5 0.5 0.5", [15, 10, 45, 30], ["class"]),
        ("7 0.5 0.5 0.5 0.5", [15, 10, 45, 30], ["unknown category"]),
        ("0 0.5 0.5", None, ["bbox"]),
        ("0 0.5 0.5 0.5 x", None, ["bbox"]),
        ("0 0.5 0.5 0.5 0.5 0.5 0.5 0.5", None, ["bbox"]),
        ("0 nan 0.5 0.5 0.5", None, ["not finite"]),
        ("0 0.5 0.5 0 0.5", [30, 10, 30, 30], ["flat"]),
        ("0 0.5 0.5 -0.5 0.5", [45, 10, 15, 30], ["flat"]),
        ("0 0.9 0.5 0.5 0.5", [39, 10, 69, 30], ["reaches beyond the image"]),
        ("0 1.9 0.5 0.5 0.5", [99, 10, 129, 30], ["lies outside the image"]),
        ("0 0.5 0.5 1.0001 1", [-0.003, 0, 60.003, 40], []),
        ("0 30 20 30 20", [900, 400, 2700, 1200], ["pixels"]),
    ],
)
def test_lines_of_every_kind(yolo, line, box, kinds):
    dataset = yolo(line + "\n")
    assert [finding.kind for finding in dataset.findings] == kinds
    boxes = dataset.images[0].gt.boxes
    if box is None:
        assert np.isnan(boxes).any()
    else:
        np.testing.assert_allclose(boxes, [box], atol=1e-9)


def test_findings_name_file_and_line(yolo):
    dataset = yolo("0 0.5 0.5 0.5 0.5\n\n0 0.5 0.5 0.5 x\n")
    (finding,) = dataset.findings
    assert finding.where == "data.yaml: labels/a.txt: line 3"
    assert (finding.image, finding.gt) == (0, 1)


def test_keypoints_follow_the_box(yolo):
    dataset = yolo("0 0.5 0.5 0.5 0.5 0.1 0.1 2 0.2 0.2 2\n", NAMES + "train: images\nkpt_shape: [2, 3]\n")
    assert dataset.images[0].gt.boxes.tolist() == [[15, 10, 45, 30]]
    assert dataset.findings == ()


def test_background_and_labels_without_an_image(yolo, tmp_path, make_image):
    make_image("images/b.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "c.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    dataset = yolo()
    assert {(finding.severity, finding.kind) for finding in dataset.findings} == {
        ("note", "no label file"),
        ("warning", "label without image"),
    }


def test_boxes_are_of_the_upright_image(tmp_path):
    """Ultralytics turns an image by its EXIF orientation before it applies the shares."""
    folder = tmp_path / "images"
    folder.mkdir()
    _, jpeg = cv2.imencode(".jpg", np.zeros((40, 60, 3), np.uint8))
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    body = b"Exif\0\0" + tiff
    segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
    (folder / "a.jpg").write_bytes(jpeg.tobytes()[:2] + segment + jpeg.tobytes()[2:])
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.25 1 0.5\n")
    dataset = open_dataset([tmp_path])
    assert dataset.images[0].gt.boxes.tolist() == [[0, 0, 40, 30]]


def test_folders_that_link_to_themselves(yolo, tmp_path):
    yolo()
    (tmp_path / "images" / "again").symlink_to(tmp_path / "images")
    (tmp_path / "images" / "loop.png").symlink_to(tmp_path / "images" / "loop.png")
    (tmp_path / "labels" / "up").symlink_to(tmp_path)
    assert len(open_dataset([tmp_path / "data.yaml"]).images) == 1
    assert len(open_dataset([tmp_path / "images"]).images) == 1


def test_linked_folders_are_followed(yolo, tmp_path):
    yolo()
    os.rename(tmp_path / "images", tmp_path / "elsewhere")
    (tmp_path / "images").symlink_to(tmp_path / "elsewhere")
    assert open_dataset([tmp_path / "data.yaml"]).box_counts().tolist() == [1]


@pytest.mark.parametrize(
    "yaml",
    [
        "a: &a [x, x]\n"
        + "".join(f"{chr(98 + k)}: &{chr(98 + k)} [{', '.join(['*' + chr(97 + k)] * 9)}]\n" for k in range(9)),
        "base: &b {x: 1}\nnames: {<<: *b}\n",
        "names: [" * 5000,
        "names: !!python/object/apply:os.system [ls]\n",
        "names: {[a]: b}\n",
        "names: [2001-99-99]\n",
        "names: [" + "9" * 5000 + "]\n",
        "\x00",
        "names: [\n",
        "x" * 1_100_000,
        "- names\n",
    ],
)
def test_hostile_yaml_is_refused(tmp_path, yaml):
    (tmp_path / "data.yaml").write_text(yaml)
    with pytest.raises(AnnotationError):
        open_dataset([tmp_path / "data.yaml"])


def test_alias_of_a_single_value(yolo):
    assert len(yolo(yaml=NAMES + "train: &where images\nval: *where\n").images) == 1


def test_a_million_boxes_in_one_image(yolo):
    dataset = yolo("0 0.5 0.5 0.25 0.25\n" * 1_000_000)
    assert dataset.box_counts().tolist() == [1_000_000]
    assert sum(finding.count for finding in dataset.findings) == 999_999
    assert len(dataset.findings) == 1001
