"""COCO files, good and bad: every record that can be kept is kept, and what is wrong with it is said."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest

from rpnviz.core import pipeline, presets
from rpnviz.datasets import coco
from rpnviz.datasets.findings import MAX_FINDINGS_PER_KIND
from rpnviz.errors import AnnotationError, Cancelled


def annotation(bbox=(10, 5, 20, 10), id_=1, **more):
    return {"id": id_, "image_id": 1, "category_id": 7, "bbox": bbox} | more


def only(findings):
    """The one finding there is; it names file and way."""
    assert len(findings) == 1, [str(finding) for finding in findings]
    assert findings[0].where.startswith("instances.json")
    assert findings[0].what.endswith((".", "..."))
    return findings[0]


# ---------------------------------------------------------------------------------------------------------------- good


def test_everything_is_read(read_coco, tmp_path):
    dataset = read_coco(
        [annotation(id_=5, iscrowd=1, area=3, segmentation={"counts": "x", "size": [1, 2]}), annotation((0, 0, 60, 40))]
    )
    assert dataset.findings == ()
    assert (dataset.name, dataset.source, dataset.categories) == (
        "instances.json",
        tmp_path / "instances.json",
        ("coin",),
    )
    (record,) = dataset.images
    assert (record.file_name, record.path, record.size, record.image_id) == ("a.png", tmp_path / "a.png", (40, 60), 1)
    assert record.gt.boxes.tolist() == [[10, 5, 30, 15], [0, 0, 60, 40]]
    assert record.gt.boxes.dtype == np.float64
    assert record.gt.labels.tolist() == [0, 0]
    assert record.gt.ignore.tolist() == [True, False]
    assert record.gt.ids == (5, 1)
    with pytest.raises(ValueError, match="read-only"):
        record.gt.boxes[0, 0] = 1


def test_annotations_go_to_their_images_in_the_order_of_the_file(read_coco):
    images = [{"id": id_, "file_name": f"{id_}.png"} for id_ in (30, 10, 20)]
    annotations = [annotation((k, 0, 1, 1), k, image_id=id_) for k, id_ in enumerate([10, 30, 10, 30, 30])]
    dataset = read_coco(annotations, images)
    assert [record.gt.ids for record in dataset.images] == [(1, 3, 4), (0, 2), ()]
    assert [record.gt.boxes[:, 0].tolist() for record in dataset.images] == [[1, 3, 4], [0, 2], []]
    assert dataset.images[2].gt.boxes.shape == (0, 4)


def test_optional_fields_may_be_missing(read_coco):
    dataset = read_coco(
        [{"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]}, annotation(iscrowd=None)],
        [{"id": 1, "file_name": "a.png"}],
    )
    assert [finding.kind for finding in dataset.findings] == []
    assert dataset.images[0].size is None
    assert dataset.images[0].gt.ids == (None, 1)
    assert not dataset.images[0].gt.ignore.any()


def test_string_ids_and_gaps_in_category_ids(read_coco):
    dataset = read_coco(
        [annotation(id_="ann-1", image_id="img", category_id="b")],
        [{"id": "img", "file_name": "a.png"}],
        [{"id": 90, "name": "x"}, {"id": "b", "name": "y"}],
    )
    assert dataset.findings == ()
    assert dataset.categories == ("x", "y")
    assert dataset.images[0].gt.labels.tolist() == [1]
    assert dataset.images[0].gt.ids == ("ann-1",)


def test_ignore_field_is_an_ignore_region(read_coco):
    dataset = read_coco(
        [
            annotation((k, 0, 9, 9), k, **more)
            for k, more in enumerate(({"ignore": 1}, {"iscrowd": True}, {"iscrowd": False}))
        ]
    )
    assert dataset.images[0].gt.ignore.tolist() == [True, True, False]
    assert dataset.findings == ()


def test_non_ascii_names(read_coco, make_image, tmp_path):
    make_image("Größe 写真.png")
    dataset = read_coco(images=[{"id": 1, "file_name": "Größe 写真.png"}], categories=[{"id": 7, "name": "Münze 硬币"}])
    assert dataset.findings == ()
    assert dataset.images[0].path == tmp_path / "Größe 写真.png"
    assert dataset.categories == ("Münze 硬币",)


def test_names_whose_accents_are_stored_apart(read_coco, make_image):
    """macOS decomposes ``ö`` in file names, annotation tools do not."""
    make_image("o\u0308.png")
    dataset = read_coco(images=[{"id": 1, "file_name": "\u00f6.png"}])
    assert dataset.findings == ()
    assert dataset.images[0].path.exists()


def test_many_identical_category_names_stay_apart(read_coco):
    dataset = read_coco([annotation(category_id=2)], categories=[{"id": 1, "name": "same"}, {"id": 2, "name": "same"}])
    assert dataset.images[0].gt.labels.tolist() == [1]


# ----------------------------------------------------------------------------------------------------------- bad boxes


@pytest.mark.parametrize(
    ("bbox", "named"),
    [
        ((10, 5, -20, 10), "width -20"),
        ((10, 5, 0, 10), "width 0"),
        ((10, 5, 20, -0.5), "height -0.5"),
        ((10, 5, 0, 0), "width 0 and height 0"),
    ],
)
def test_sides_not_above_zero(read_coco, bbox, named):
    dataset = read_coco([annotation(bbox, 17)])
    finding = only(dataset.findings)
    assert finding.severity == "error"
    assert finding.where == "instances.json: annotation 17 (a.png)"
    assert named in finding.what
    assert finding.image == 0
    x, y, w, h = bbox
    assert dataset.images[0].gt.boxes.tolist() == [[x, y, x + w, y + h]]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", range(4))
def test_literals_that_are_not_json(read_coco, value, place):
    bbox = [10.0, 5.0, 20.0, 10.0]
    bbox[place] = value
    dataset = read_coco([annotation((1, 1, 2, 2), 1), annotation(bbox, 2)])
    finding = only(dataset.findings)
    assert finding.severity == "error"
    assert "annotation 2" in finding.where
    assert "not finite" in finding.what
    assert len(dataset.images[0].gt) == 2


def test_number_beyond_every_float(read_coco, tmp_path):
    path = tmp_path / "instances.json"
    read_coco([annotation((1, 2, 3, 4.25))])
    text = path.read_text()
    for number, kind in (("1e999", "not finite"), ("1" + "0" * 400, "bbox"), ("9" * 5000, "no annotation")):
        path.write_text(text.replace("4.25", number))
        dataset = coco.read(path)
        assert [finding.kind for finding in dataset.findings] == [kind]


@pytest.mark.parametrize(
    ("bbox", "named"),
    [
        (None, "bbox is missing"),
        ([1, 2, 3], "(3 values)"),
        ([1, 2, 3, 4, 5], "(5 values)"),
        ([], "(0 values)"),
        ([1, 2, "3", 4], "'3'"),
        ([1, 2, None, 4], "None"),
        ([1, 2, True, 4], "True"),
        ([[1, 2, 3, 4]], "(1 values)"),
        ("1 2 3 4", "'1 2 3 4'"),
        ({"x": 1}, "{'x': 1}"),
        (5, "5"),
    ],
)
def test_no_box_at_all(read_coco, bbox, named):
    """The annotation stays in view, without a box."""
    dataset = read_coco([annotation(bbox, 17), annotation(id_=18)])
    finding = only(dataset.findings)
    assert (finding.severity, finding.where) == ("error", "instances.json: annotation 17 (a.png)")
    assert named in finding.what
    assert finding.way_out
    boxes = dataset.images[0].gt.boxes
    assert np.isnan(boxes[0]).all()
    assert boxes[1].tolist() == [10, 5, 30, 15]


def test_missing_bbox_field(read_coco):
    record = annotation()
    del record["bbox"]
    assert "bbox is missing" in only(read_coco([record]).findings).what


@pytest.mark.parametrize("bbox", [(100, 5, 20, 10), (-30, 5, 30, 10), (10, 40, 5, 5), (10, -20, 5, 20)])
def test_outside_the_image(read_coco, bbox):
    dataset = read_coco([annotation(bbox)])
    finding = only(dataset.findings)
    assert finding.severity == "warning"
    assert "outside the image of 60 x 40 px" in finding.what
    assert len(dataset.images[0].gt) == 1


@pytest.mark.parametrize("bbox", [(50, 5, 20, 10), (-3, 5, 30, 10), (10, 30, 5, 11), (-1, -1, 62, 42)])
def test_partly_outside_is_a_note(read_coco, bbox):
    finding = only(read_coco([annotation(bbox)]).findings)
    assert finding.severity == "note"
    assert "beyond the image" in finding.what


@pytest.mark.parametrize("bbox", [(0, 0, 60, 40), (0, 0, 60.3, 40.5), (-0.4, -0.4, 10, 10)])
def test_rounding_is_not_outside(read_coco, bbox):
    assert read_coco([annotation(bbox)]).findings == ()


def test_all_bad_boxes_are_named_and_the_pipeline_takes_them(read_coco):
    bad = [
        (10, 5, -20, 10),
        (math.nan, 5, 20, 10),
        (10, 5, math.inf, 10),
        (1e308, 5, 1e308, 10),
        (500, 5, 20, 10),
        None,
    ]
    dataset = read_coco([annotation(bbox, k) for k, bbox in enumerate([*bad, (10, 5, 20, 10)])])
    assert {finding.where.split()[2] for finding in dataset.findings} == {str(k) for k in range(len(bad))}
    gt = dataset.images[0].gt
    preset = presets.load("torchvision")
    result = pipeline.run(pipeline.Inputs((40, 60), gt.boxes, gt.labels, gt.ignore), preset.params, preset.conventions)
    assert len(result.match.ranks) == len(gt)


# --------------------------------------------------------------------------------------------------------- bad records


def test_unknown_category(read_coco):
    dataset = read_coco([annotation((k, 0, 9, 9), k, category_id=id_) for k, id_ in enumerate((7, 99, 99))])
    finding = only(dataset.findings)
    assert finding.severity == "warning"
    assert "annotation 1 (a.png)" in finding.where
    assert "99" in finding.what
    assert "2 annotations" in finding.what
    assert dataset.categories == ("coin", "unknown (99)")
    assert dataset.images[0].gt.labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize("value", [None, [1], {"id": 7}, 1.5, True])
def test_category_that_is_none(read_coco, value):
    dataset = read_coco([annotation(category_id=value)])
    assert only(dataset.findings).kind == "unknown category"
    assert dataset.categories[dataset.images[0].gt.labels[0]] == "unknown"


def test_without_categories(read_coco, tmp_path):
    dataset = read_coco([annotation(category_id=3), annotation(id_=2, category_id=5)], categories=[])
    assert dataset.categories == ("unknown (3)", "unknown (5)")
    path = tmp_path / "instances.json"
    document = json.loads(path.read_text())
    del document["categories"]
    path.write_text(json.dumps(document))
    assert coco.read(path).categories == dataset.categories


def test_category_id_of_the_other_kind(read_coco):
    dataset = read_coco([annotation(category_id="7")])
    assert "taken for 'coin'" in only(dataset.findings).what
    assert dataset.images[0].gt.labels.tolist() == [0]


@pytest.mark.parametrize(
    ("record", "named"),
    [
        ({"id": 7, "name": "b"}, "second time"),
        ({"name": "b"}, "id"),
        ("b", "'b'"),
        ({"id": 8}, "missing"),
        (None, "None"),
    ],
)
def test_bad_category(read_coco, record, named):
    dataset = read_coco([annotation()], categories=[{"id": 7, "name": "coin"}, record])
    assert named in only(dataset.findings).what
    assert dataset.categories[dataset.images[0].gt.labels[0]] == "coin"


def test_annotations_of_unknown_images_are_counted(read_coco):
    dataset = read_coco([annotation(id_=1)] + [annotation(id_=k, image_id=404) for k in (2, 3)])
    assert [finding.kind for finding in dataset.findings] == ["unknown image"] * 2
    assert "404" in dataset.findings[0].what
    assert "annotation 2" in dataset.findings[0].where
    assert dataset.images[0].gt.ids == (1,)


@pytest.mark.parametrize("value", [None, [1], math.nan, 1.5, True, {}])
def test_image_id_that_is_none(read_coco, value):
    dataset = read_coco([annotation(image_id=value), annotation(id_=2)])
    assert only(dataset.findings).kind == "no image_id"
    assert dataset.images[0].gt.ids == (2,)


def test_image_id_of_the_other_kind(read_coco):
    dataset = read_coco([annotation(image_id="1"), annotation((1, 2, 3, 4), 2, image_id=1.0)])
    finding = only(dataset.findings)
    assert "'1'" in finding.what
    assert dataset.images[0].gt.ids == (1, 2)


@pytest.mark.parametrize("record", [7, "text", None, [], [1, 2]])
def test_annotation_that_is_no_object(read_coco, record):
    dataset = read_coco([record, annotation()])
    finding = only(dataset.findings)
    assert finding.where == "instances.json: annotations[0]"
    assert "expected an object" in finding.what
    assert len(dataset.images[0].gt) == 1


def test_annotation_ids_used_twice(read_coco):
    dataset = read_coco([annotation(id_=3), annotation((1, 1, 2, 2), 3)])
    finding = only(dataset.findings)
    assert finding.severity == "warning"
    assert "annotations[1]" in finding.what
    assert "annotations[0]" in finding.what
    assert dataset.images[0].gt.ids == (3, 3)


def test_annotation_id_that_is_none(read_coco):
    dataset = read_coco([annotation(id_=[1])])
    finding = only(dataset.findings)
    assert finding.where == "instances.json: annotations[0] (a.png)"
    assert dataset.images[0].gt.ids == (None,)


@pytest.mark.parametrize(("value", "ignored"), [(2, True), ("yes", True), ([], True), ("1", True), ("0", False)])
def test_iscrowd_of_other_kinds(read_coco, value, ignored):
    dataset = read_coco([annotation(iscrowd=value)])
    assert dataset.images[0].gt.ignore.tolist() == [ignored]
    assert len(dataset.findings) == (0 if value in ("0", "1") else 1)


def test_image_ids_used_twice(read_coco, make_image):
    make_image("b.png")
    images = [{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}]
    dataset = read_coco([annotation()], images)
    finding = only(dataset.findings)
    assert (finding.severity, finding.image) == ("error", 1)
    assert "image 1 (b.png)" in finding.where
    assert [len(record.gt) for record in dataset.images] == [1, 0]


def test_file_name_used_twice(read_coco):
    dataset = read_coco([annotation()], [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "a.png"}])
    finding = only(dataset.findings)
    assert (finding.severity, finding.image) == ("warning", 1)
    assert len(dataset.images) == 2


@pytest.mark.parametrize("name", [None, "", 5, ["a.png"]])
def test_image_without_a_file_name(read_coco, name):
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": name}]
    dataset = read_coco([annotation(), annotation(id_=2, image_id=2)], images)
    assert {finding.kind for finding in dataset.findings} == {"no file name", "image left out"}
    assert len(dataset.images) == 1


@pytest.mark.parametrize("record", [{"file_name": "a.png"}, {"id": None, "file_name": "a.png"}])
def test_image_without_an_id(read_coco, record):
    dataset = read_coco([], [record])
    assert only(dataset.findings).kind == "no image id"
    assert dataset.images[0].image_id is None


@pytest.mark.parametrize("record", [7, None, "a.png", []])
def test_image_that_is_no_object(read_coco, record):
    dataset = read_coco([annotation()], [record, {"id": 1, "file_name": "a.png"}])
    assert only(dataset.findings).where == "instances.json: images[0]"
    assert len(dataset.images[0].gt) == 1


@pytest.mark.parametrize(
    ("width", "height"),
    [(0, 40), (-60, 40), ("wide", 40), (60, None), (60.5, 40), (math.nan, 40), (2**21, 40), (10**400, 40)],
)
def test_size_that_is_none(read_coco, width, height):
    dataset = read_coco([annotation()], [{"id": 1, "file_name": "a.png", "width": width, "height": height}])
    assert only(dataset.findings).kind == "size"
    assert dataset.images[0].size is None


@pytest.mark.parametrize(("width", "height"), [(60.0, 40), ("60", " 40 ")])
def test_size_in_other_words(read_coco, width, height):
    dataset = read_coco([annotation()], [{"id": 1, "file_name": "a.png", "width": width, "height": height}])
    assert dataset.findings == ()
    assert dataset.images[0].size == (40, 60)


def test_half_surrogates_are_replaced(tmp_path, make_image):
    make_image()
    path = tmp_path / "instances.json"
    path.write_text('{"images": [{"id": 1, "file_name": "\\ud800.png"}], "annotations": []}')
    (record,) = coco.read(path).images
    record.file_name.encode()
    str(record.path).encode()


def test_findings_of_one_kind_are_limited_in_number_and_time(read_coco):
    number = 60_000
    started = time.perf_counter()
    dataset = read_coco([annotation((10, 5, -1, 5), k) for k in range(number)])
    assert time.perf_counter() - started < 10
    assert len(dataset.findings) == MAX_FINDINGS_PER_KIND + 1
    assert f"{number - MAX_FINDINGS_PER_KIND:,} more" in dataset.findings[-1].what
    assert len(dataset.images[0].gt) == number


def test_errors_come_first(read_coco):
    dataset = read_coco([annotation((50, 5, 20, 10)), annotation((90, 5, 20, 10), 2), annotation((1, 1, 0, 1), 3)])
    assert [finding.severity for finding in dataset.findings] == ["error", "warning", "note"]


# -------------------------------------------------------------------------------------------------------------- images


def test_missing_image_is_kept(write_coco, tmp_path):
    dataset = coco.read(write_coco([annotation()]))
    finding = only(dataset.findings)
    assert (finding.severity, finding.image, finding.kind) == ("error", 0, "missing image")
    assert "image 1 (a.png)" in finding.where
    assert str(tmp_path) in finding.what
    assert finding.way_out
    assert dataset.images[0].path == tmp_path / "a.png"
    assert len(dataset.images[0].gt) == 1


@pytest.mark.parametrize(
    ("json_name", "image_name"),
    [
        ("instances.json", "a.png"),
        ("instances.json", "images/a.png"),
        ("annotations/instances_val2017.json", "val2017/a.png"),
        ("instances_val2017.json", "val2017/a.png"),
        ("annotations/instances_val2017.json", "images/val2017/a.png"),
        ("instances_val2017.json", "images/val2017/a.png"),
        ("annotations/person_keypoints_val2017.json", "val2017/a.png"),
        ("annotations/x.json", "Images/a.png"),
        ("annotations/x.json", "a.png"),
        ("annotations/x.json", "images/a.png"),
    ],
)
def test_where_images_are_looked_for(write_coco, make_image, json_name, image_name):
    path = make_image(image_name)
    dataset = coco.read(write_coco(name=json_name))
    assert dataset.findings == ()
    assert dataset.images[0].path == path


@pytest.mark.parametrize("file_name", ["sub/deep/a.png", "sub\\deep\\a.png"])
def test_file_name_in_a_sub_folder(read_coco, make_image, file_name):
    path = make_image("sub/deep/a.png")
    dataset = read_coco(images=[{"id": 1, "file_name": file_name}])
    assert dataset.findings == ()
    assert dataset.images[0].path == path


def test_absolute_file_name(read_coco, make_image):
    path = make_image("elsewhere/b.png")
    assert read_coco(images=[{"id": 1, "file_name": str(path)}]).images[0].path == path


@pytest.mark.parametrize("file_name", ["/home/somebody/a.png", "C:\\data\\a.png", "old/a.png"])
def test_moved_image_is_found_by_its_last_part(read_coco, tmp_path, file_name):
    dataset = read_coco(images=[{"id": 1, "file_name": file_name}])
    finding = only(dataset.findings)
    assert finding.severity == "note"
    assert str(tmp_path / "a.png") in finding.what
    assert dataset.images[0].path == tmp_path / "a.png"


def test_the_last_folders_of_another_computers_path_count(write_coco, make_image):
    names = ("C:\\data\\train\\a.png", "/home/somebody/data/val/a.png", "/home/../b.png")
    paths = [make_image("train/a.png"), make_image("val/a.png")]
    make_image("a.png")
    dataset = coco.read(write_coco([], [{"id": k, "file_name": name} for k, name in enumerate(names)]))
    assert [record.path for record in dataset.images][:2] == paths
    assert [finding.kind for finding in dataset.findings] == ["missing image", "moved image", "moved image"]


def test_given_image_folder_is_the_only_one(write_coco, make_image, tmp_path):
    make_image("a.png")
    other = make_image("pictures/a.png")
    path = write_coco()
    assert coco.read(path, tmp_path / "pictures").images[0].path == other
    assert [finding.kind for finding in coco.read(path, tmp_path / "nowhere").findings] == ["missing image"]


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 5000 + ".png", "..", "/", "\\", "http://example.org/a.jpg"])
def test_impossible_file_names(read_coco, name):
    dataset = read_coco(images=[{"id": 1, "file_name": name}])
    assert len(dataset.images) == 1


# ------------------------------------------------------------------------------------------------------------ the file


def error_of(path) -> AnnotationError:
    with pytest.raises(AnnotationError) as caught:
        coco.read(path)
    assert caught.value.where == str(path)
    assert caught.value.way_out
    return caught.value


def test_missing_file(tmp_path):
    assert "does not exist" in error_of(tmp_path / "nowhere.json").what


def test_folder_instead_of_a_file(tmp_path):
    assert "folder" in error_of(tmp_path).what


@pytest.mark.parametrize("data", [b"", b" \n\t ", b"\n"])
def test_empty_file(tmp_path, data):
    path = tmp_path / "empty.json"
    path.write_bytes(data)
    assert "empty" in error_of(path).what


def test_truncated_anywhere(read_coco, tmp_path):
    read_coco([annotation(id_=k) for k in range(3)])
    whole = (tmp_path / "instances.json").read_bytes()
    path = tmp_path / "cut.json"
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        error = error_of(path)
        assert "line 1, column" in error.what, (length, str(error))
        assert error.way_out


def test_truncated_file_says_so(tmp_path):
    path = tmp_path / "cut.json"
    path.write_text('{\n "images": [\n  {"id": 1, "file_name": "a.p')
    error = error_of(path)
    assert "ends in the middle" in error.what
    assert "line 3, column" in error.what
    assert "truncated" in error.way_out


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("hello", "line 1, column 1"),
        ('{\n"images": [],,\n}', "line 2, column 14"),
        ("<annotation/>", "line 1, column 1"),
        ("{'images': []}", "line 1, column 2"),
        ('{"images": [] } trailing', "line 1, column 17"),
    ],
)
def test_no_json(tmp_path, text, named):
    path = tmp_path / "bad.json"
    path.write_text(text)
    error = error_of(path)
    assert named in error.what
    assert "COCO" in error.way_out


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ([], "a list"),
        ("text", "a text"),
        (5, "a number"),
        (None, "null"),
        (True, "true or false"),
        ({}, "no 'images', it has nothing"),
        ({"shapes": [], "imagePath": "a.png"}, "it has 'shapes', 'imagePath'"),
        ({"images": {}}, "'images' is an object"),
        ({"images": None}, "no 'images'"),
        ({"images": [], "annotations": {}}, "'annotations' is an object"),
        ({"images": [], "categories": "x"}, "'categories' is a text"),
        ({"images": []}, "no image"),
        ({"images": [{"id": 1}]}, "file_name is missing"),
    ],
)
def test_json_that_is_no_coco(tmp_path, document, named):
    path = tmp_path / "other.json"
    path.write_text(json.dumps(document))
    assert named in error_of(path).what


def test_results_file_is_recognised(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps([{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]))
    assert "results" in error_of(path).way_out


def test_deep_nesting(tmp_path):
    path = tmp_path / "deep.json"
    path.write_text('{"images": ' + "[" * 100_000)
    error_of(path)


def test_file_without_annotations(tmp_path, make_image):
    make_image()
    path = tmp_path / "instances.json"
    path.write_text(json.dumps({"images": [{"id": 1, "file_name": "a.png"}]}))
    dataset = coco.read(path)
    assert only(dataset.findings).severity == "note"
    assert len(dataset.images) == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_other_unicode_encodings_are_read_and_noted(read_coco, tmp_path, encoding):
    read_coco([annotation()], categories=[{"id": 7, "name": "Münze"}])
    path = tmp_path / "instances.json"
    path.write_bytes(path.read_text().encode(encoding))
    dataset = coco.read(path)
    finding = only(dataset.findings)
    assert finding.kind == "encoding"
    assert "UTF-8" in finding.way_out
    assert dataset.categories == ("Münze",)


def test_latin_1(tmp_path):
    path = tmp_path / "latin.json"
    data = '{"images": [],\n "categories": [{"id": 1, "name": "Münze"}]}'.encode("latin-1")
    path.write_bytes(data)
    error = error_of(path)
    assert f"line 2, byte {data.index(0xFC)}:" in error.what
    assert "0xfc" in error.what
    assert "Latin-1" in error.way_out


def test_latin_1_far_into_the_file(tmp_path):
    path = tmp_path / "latin.json"
    filler = "é" * 700_000  # a character across the border of two pieces
    data = ('{"images": [], "x": "' + filler).encode() + b"\xe9"
    path.write_bytes(data)
    assert f"byte {len(data) - 1:,}" in error_of(path).what


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0", b"\0\0\0\0", b"\xff\xfe\x00", b"PK\x03\x04\x14\0\x08\xff"])
def test_binary_file(tmp_path, data):
    path = tmp_path / "binary.json"
    path.write_bytes(data)
    error_of(path)


def test_forbidden_file(write_coco, monkeypatch):
    path = write_coco()

    def refuse(self, *_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    assert "Permission denied" in error_of(path).what


def test_what_is_coco(write_coco, tmp_path):
    assert coco.claims(write_coco())
    assert coco.claims(write_coco([annotation((math.nan, 1, 2, 3))]))
    for text in ('{"images": []}', "[]", '{"images": {}, "annotations": []}', '{"x": NaN}', "5"):
        path = tmp_path / "other.json"
        path.write_text(text)
        assert not coco.claims(path), text
    path.write_text('{"images": [')
    with pytest.raises(AnnotationError):
        coco.claims(path)


def test_progress_and_cancel(write_coco, make_image):
    make_image()
    path = write_coco([annotation(id_=k) for k in range(20_000)])
    seen = []
    coco.read(path, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert len(seen) > 4

    def cancel(fraction):
        if fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        coco.read(path, progress=cancel)
