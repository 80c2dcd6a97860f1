"""Everything that is wrong with a data set is found, placed, and told with what the trainers make of it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from rpnviz import cli
from rpnviz.core import pipeline, presets
from rpnviz.core.ground_truth import NotTrained, Reaction
from rpnviz.datasets import box_checks, reactions
from rpnviz.datasets.base import inputs_of
from rpnviz.datasets.box_checks import SLIPS, same_boxes
from rpnviz.datasets.lint import lint, report_document, report_lines
from rpnviz.datasets.registry import open_dataset, sample_dataset
from rpnviz.errors import Cancelled
from rpnviz.imaging import cv2, write_png

TORCHVISION = presets.load("torchvision")


def annotation(bbox=(10, 5, 20, 10), id_=1, **more):
    return {"id": id_, "image_id": 1, "category_id": 7, "bbox": bbox} | more


def grouped(dataset, preset=TORCHVISION, **options):
    return {group.kind: group for group in lint(dataset, preset, **options).groups}


@pytest.fixture
def opened(write_coco, make_image):
    """Opens a COCO file of these boxes."""

    def open_(*bboxes, **more):
        make_image()
        return open_dataset([write_coco([annotation(bbox, k, **more) for k, bbox in enumerate(bboxes)])])

    return open_


# ---------------------------------------------------------------------------------------------- slips of the whole file


def slips(dataset):
    return [finding.kind for finding in dataset.findings if finding.kind in SLIPS]


def test_shares_where_pixels_are_expected(opened):
    dataset = opened(*[(0.1, 0.2, 0.3, 0.02 * k) for k in range(1, 13)])
    assert slips(dataset) == ["shares"]
    assert [finding.severity for finding in dataset.findings] == ["error"]


def test_corners_where_sides_are_expected(opened):
    rng = np.random.default_rng(0)
    starts = rng.uniform((0, 0), (40, 25), (30, 2))
    corners = np.concatenate([starts, starts + rng.uniform(3, 15, (30, 2))], axis=1)
    assert slips(opened(*corners.tolist())) == ["corners"]


def random_corners(count=40):
    """Boxes inside 60 x 40 px, some at its edges."""
    rng = np.random.default_rng(0)
    sides = rng.uniform((8, 6), (40, 30), (count, 2))
    starts = rng.uniform(0, 1, (count, 2)).round(1) * ((60, 40) - sides)
    return np.concatenate([starts, starts + sides], axis=1)


def test_centres_where_upper_left_corners_are_expected(opened):
    corners = random_corners()
    sides = corners[:, 2:] - corners[:, :2]
    assert slips(opened(*np.hstack([corners[:, :2], sides]).tolist())) == []
    assert slips(opened(*np.hstack([(corners[:, :2] + corners[:, 2:]) / 2, sides]).tolist())) == ["centres"]


@pytest.mark.parametrize(("written", "found"), [("centre", []), ("corners", ["corners"]), ("corner", ["upper left"])])
def test_other_numbers_where_yolo_expects_centres(tmp_path, make_image, written, found):
    make_image("images/a.png")
    corners = random_corners() / (60, 40, 60, 40)
    start, end = corners[:, :2], corners[:, 2:]
    second = end if written == "corners" else end - start
    rows = np.hstack([(start + end) / 2 if written == "centre" else start, second]).tolist()
    (tmp_path / "labels").mkdir()
    lines = "\n".join("0 " + " ".join(f"{number:.6f}" for number in row) for row in rows)
    (tmp_path / "labels" / "a.txt").write_text(lines)
    assert slips(open_dataset([tmp_path])) == found


def test_what_is_wrong_with_the_whole_file_comes_first(tmp_path, make_image):
    make_image()
    rows = [f"a.png,{20 + k},{10 + k},{5 + k % 3},{9},cat" for k in range(12)]
    (tmp_path / "boxes.csv").write_text("\n".join(rows))
    report = lint(open_dataset([tmp_path / "boxes.csv"]), TORCHVISION)
    assert [(group.kind, group.count) for group in report.groups if group.severity == "error"] == [
        ("sides", 1),
        ("flat", 12),
    ]


def test_sides_where_corners_are_expected(tmp_path, make_image):
    make_image()
    rows = [f"a.png,{20 + k},{10 + k},{5 + k % 3},{9},cat" for k in range(12)]
    (tmp_path / "boxes.csv").write_text("\n".join(rows))
    assert slips(open_dataset([tmp_path / "boxes.csv"])) == ["sides"]


def test_columns_of_open_images_in_the_wrong_order(tmp_path, make_image):
    make_image()
    rows = "\n".join(f"a,{0.1 + k / 100},{0.05},{0.9},{0.5 + k / 100}" for k in range(12))
    (tmp_path / "b.csv").write_text("ImageID,XMin,XMax,YMin,YMax\n" + rows)
    assert slips(open_dataset([tmp_path / "b.csv"])) == ["sides"]


@pytest.mark.parametrize(
    ("shift", "stop", "found"),
    [
        ((1, 1, 1, 1), 0, ["counts from 1"]),
        ((1, 1, 0, 0), 0, ["counts from 1"]),
        ((0, 0, -1, -1), 0, ["names the last pixel"]),
        ((0, 0, 0, 0), 0, []),
    ],
)
def test_counting_from_the_other_end(opened, shift, stop, found):
    """Boxes that touch all sides of the image, written with another idea of what a pixel is called."""
    boxes = []
    for k in range(12):
        corners = np.array([0, 0, 10 + k, 12 + k]) if k % 2 else np.array([40 - k, 20 - k, 60, 40])
        x1, y1, x2, y2 = (corners + shift).tolist()
        boxes.append((x1, y1, x2 - x1, y2 - y1))
    assert slips(opened(*boxes)) == found


def test_ordinary_boxes_are_no_slip():
    assert slips(sample_dataset()) == []


def test_boxes_that_are_there_twice(opened):
    dataset = opened((1, 2, 3, 4), (10, 5, 20, 10), (1, 2, 3, 4), (1, 2, 3, 4))
    twice = [finding for finding in dataset.findings if finding.kind == "duplicate box"]
    assert [(finding.severity, finding.image, finding.gt) for finding in twice] == [
        ("warning", 0, 2),
        ("warning", 0, 3),
    ]
    assert "as annotation 0 (a.png)" in twice[0].what


def test_same_boxes_against_a_dictionary():
    rng = np.random.default_rng(1)
    owners, labels = rng.integers(0, 5, 3000), rng.integers(0, 3, 3000)
    boxes = rng.integers(-2, 2, (3000, 4)).astype(float)
    boxes[rng.integers(0, 3000, 50), 0] = -0.0
    first, expected = {}, []
    for row in range(3000):
        key = (owners[row], labels[row], *boxes[row].tolist())
        if key in first:
            expected.append([row, first[key]])
        first.setdefault(key, row)
    assert same_boxes(owners, labels, boxes).tolist() == expected


# ---------------------------------------------------------------------------------------------------- what images tell


def test_sizes_and_missing_images(write_coco, make_image, tmp_path):
    images = [{"id": k, "file_name": f"{k}.png", "width": 60, "height": 40} for k in range(4)]
    make_image("0.png")
    make_image("1.png", 50, 70)
    (tmp_path / "2.png").write_bytes(b"no image")
    groups = grouped(open_dataset([write_coco([], images)]))
    assert {kind: [finding.image for finding in groups[kind].findings] for kind in groups if kind != "no boxes"} == {
        "missing image": [3],
        "unreadable image": [2],
        "other size": [1],
    }
    assert "60 x 40 px are stated, the image has 70 x 50 px" in groups["other size"].findings[0].what


def test_images_turned_by_exif(tmp_path, write_coco):
    _, jpeg = cv2.imencode(".jpg", np.zeros((40, 60, 3), np.uint8))
    body = b"Exif\0\0" + b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    data = jpeg.tobytes()
    (tmp_path / "a.jpg").write_bytes(data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:])
    stated = [{"id": 1, "file_name": "a.jpg", "width": 60, "height": 40}]
    groups = grouped(open_dataset([write_coco([annotation()], stated)]))
    assert "drawn on the unrotated image" in groups["unrotated"].findings[0].what
    groups = grouped(open_dataset([write_coco([annotation()], [{"id": 1, "file_name": "a.jpg"}])]))
    assert groups["rotated"].severity == "warning"


def test_boxes_outside_an_image_whose_size_is_not_stated(write_coco, make_image):
    make_image()
    boxes = [(100, 5, 20, 10), (50, 5, 20, 10), (0, 0, 9, 9)]
    path = write_coco([annotation(box, k) for k, box in enumerate(boxes)], [{"id": 1, "file_name": "a.png"}])
    dataset = open_dataset([path])
    assert dataset.findings == ()
    groups = grouped(dataset)
    assert [finding.gt for finding in groups["lies outside the image"].findings] == [0]
    assert [finding.gt for finding in groups["reaches beyond the image"].findings] == [1]


def test_a_box_before_the_image_is_noted_once_whether_or_not_the_size_is_stated(tmp_path, make_image):
    make_image()
    (tmp_path / "a.odgt").write_text('{"ID": "a.png", "gtboxes": [{"tag": "person", "fbox": [-10, 5, 20, 10]}]}')
    groups = grouped(open_dataset([tmp_path / "a.odgt"]))
    assert [finding.what for finding in groups["reaches beyond the image"].findings] == [
        "the box x1, y1, x2, y2 = -10, 5, 10, 15 reaches beyond the image of 60 x 40 px; kept as it is."
    ]


def test_small_boxes_are_measured_at_the_input(write_coco, tmp_path):
    write_png(tmp_path / "a.png", np.zeros((400, 600, 3), np.uint8))
    images = [{"id": 1, "file_name": "a.png", "width": 600, "height": 400}]
    path = write_coco(
        [annotation((10, 5, 5, 10), 1), annotation((10, 5, 3.9, 10), 2), annotation((9, 9, 2, 2), 3, iscrowd=1)], images
    )
    small = grouped(open_dataset([path]))["small at the input"]
    assert [finding.gt for finding in small.findings] == [1]
    assert "3.9 x 10 px is 7.8 x 20 px" in small.findings[0].what
    assert "small at the input" not in grouped(open_dataset([path]), min_input_px=0)


# --------------------------------------------------------------------------------------------------- what makes it NaN


def test_what_can_make_the_loss_nan(opened):
    dataset = opened((10, 5, 0, 10), (10, 5, math.nan, 10), (10, 5, 1e7, 10), (200, 100, 20, 20), None)
    report = lint(dataset, TORCHVISION)
    assert {group.kind for group in report.loss} >= {"flat", "not finite", "overflow", "bbox"}
    assert "lies outside the image" not in {group.kind for group in report.loss}


def test_a_box_that_touches_no_anchor(opened):
    """Alone outside the image it makes every anchor positive; the trainer itself is asked."""
    dataset = opened((3000, 2000, 20, 20))
    group = grouped(dataset)["all anchors positive"]
    assert (group.severity, group.findings[0].gt) == ("error", 0)
    result = pipeline.run(inputs_of(dataset.images[0]), TORCHVISION.params, TORCHVISION.conventions)
    assert result.match.everything_positive.tolist() == [0]
    assert (result.match.labels == 1).all()
    assert "all anchors positive" not in grouped(dataset, presets.load("detectron2"))


def test_tiny_boxes_between_the_anchors(opened):
    """Anchors smaller than their stride leave gaps in which a box touches none."""
    params = TORCHVISION.params.with_values("anchors", sizes=((2,),) * 5)
    params = params.with_values("resize", mode="none")
    preset = type(TORCHVISION)(**{**TORCHVISION.__dict__, "params": params})
    dataset = opened((1.5, 1.5, 1, 1))
    result = pipeline.run(inputs_of(dataset.images[0]), params, TORCHVISION.conventions)
    expected = result.match.everything_positive.tolist()
    assert expected == [0]
    assert [finding.gt for finding in grouped(dataset, preset)["all anchors positive"].findings] == expected


def test_images_without_boxes(opened):
    dataset = opened()
    assert grouped(dataset)["no boxes"].severity == "note"
    assert grouped(dataset, presets.load("matterport"))["no boxes"].severity == "warning"


@pytest.mark.parametrize("name", presets.names())
def test_what_the_trainers_do_is_what_the_core_does(name, opened):
    """The words about invalid, outside and crowd boxes against the core's own decision."""
    preset = presets.load(name)
    words = {kind: reactions.reactions(kind)[name] for kind in ("flat", "lies outside the image", "crowd", "no boxes")}

    def run(*bboxes, **more):
        return pipeline.run(
            inputs_of(opened((0, 0, 30, 20), *bboxes, **more).images[0]), preset.params, preset.conventions
        )

    flat = run((10, 5, -1, 10))
    if words["flat"].startswith("stops"):
        assert flat.gt.reaction is Reaction.RAISES
    else:
        assert (flat.gt.not_trained[1] is NotTrained.INVALID_BOX) == words["flat"].startswith("leaves")
    outside = run((100, 100, 30, 20)).gt.not_trained[1]
    assert (outside is None) == words["lies outside the image"].startswith("trains")
    crowd = run((10, 5, 20, 10), iscrowd=1).gt.not_trained[0]
    assert (crowd is None) == words["crowd"].startswith("trains")
    empty = pipeline.run(pipeline.Inputs((40, 60), np.zeros((0, 4))), preset.params, preset.conventions)
    assert empty.gt.image_skipped == words["no boxes"].startswith("skips")


# ------------------------------------------------------------------------------------------------------------- reports


def test_the_report_as_text_and_as_json(opened):
    report = lint(opened((10, 5, 0, 10), *[(1, 2, 3 + k, -4) for k in range(5)]), TORCHVISION)
    lines = list(report_lines(report))
    assert lines[0] == "instances.json: COCO JSON: 1 image, 6 boxes, 1 category."
    assert "ERROR  6 x boxes without area (can make the loss NaN)" in lines
    assert "  ... and 3 more" in lines
    assert any(line.startswith("  torchvision: stops") for line in lines)
    document = json.loads(json.dumps(report_document(report), allow_nan=False))
    assert document["counts"]["error"] == 6
    (flat,) = [group for group in document["groups"] if group["kind"] == "flat"]
    assert flat["count"] == len(flat["findings"]) == 6
    assert (flat["findings"][5]["gt"], flat["findings"][5]["file_name"]) == (5, "a.png")
    assert flat["trainers"]["detectron2"] == "leaves the box out"


def test_counts_include_what_was_not_kept(opened):
    report = lint(opened(*[(1, 2, 3, -k) for k in range(1, 1501)]), TORCHVISION)
    assert report.count("error") == 1500


def test_progress_and_cancel(opened):
    seen = []
    lint(opened((1, 2, 3, 4)), TORCHVISION, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1

    def cancel(fraction):
        raise Cancelled

    with pytest.raises(Cancelled):
        lint(opened((1, 2, 3, 4)), TORCHVISION, progress=cancel)


def test_every_kind_of_box_has_a_title():
    kinds = {value for name, value in vars(box_checks).items() if name.isupper() and not name.startswith("_")}
    kinds = {kind for kind in kinds if isinstance(kind, str)}
    assert kinds <= set(reactions.TITLES)


# -------------------------------------------------------------------------------------------------------- command line


def test_exit_codes(opened, tmp_path, capsys):
    opened((1, 2, 30, 20))
    assert cli.main(["lint", str(tmp_path / "instances.json")]) == 0
    assert "Nothing found, for torchvision." in capsys.readouterr().out
    opened((1, 2, -3, 20))
    assert cli.main(["lint", str(tmp_path / "instances.json"), "--preset", "detectron2"]) == 1
    assert "for detectron2" in capsys.readouterr().out
    assert cli.main(["lint", str(tmp_path / "nothing.json")]) == 2


def test_json_on_the_command_line(opened, tmp_path, capsys):
    opened((1, 2, 3, 20))
    assert cli.main(["lint", str(tmp_path), "--json", "-", "--min-input-px", "100"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["format"] == "COCO JSON"
    assert [group["kind"] for group in document["groups"]] == ["small at the input"]
    assert cli.main(["lint", str(tmp_path), "--json", str(tmp_path / "report.json")]) == 0
    assert json.loads((tmp_path / "report.json").read_text())["boxes"] == 1
    assert cli.main(["lint", str(tmp_path / "instances.json"), "--json", str(tmp_path / "instances.json")]) == 2
