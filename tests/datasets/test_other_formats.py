"""LabelMe, CVAT, KITTI, CSV, Open Images, CrowdHuman, detectron2's dicts and LVIS: what each has of its own."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from rpnviz.core import presets
from rpnviz.datasets.lint import lint
from rpnviz.datasets.registry import open_dataset
from rpnviz.errors import AnnotationError


def kinds(dataset):
    return [finding.kind for finding in dataset.findings]


def boxes(dataset, image=0):
    return dataset.images[image].gt.boxes.tolist()


# -------------------------------------------------------------------------------------------------------------- LabelMe


@pytest.fixture
def labelme(tmp_path, make_image):
    def write(*shapes, **more):
        make_image()
        document = {"imagePath": "a.png", "imageWidth": 60, "imageHeight": 40, "shapes": list(shapes)} | more
        (tmp_path / "a.json").write_text(json.dumps(document))
        return open_dataset([tmp_path])

    return write


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ({"shape_type": "rectangle", "points": [[30, 15], [10, 5]]}, [10, 5, 30, 15]),
        ({"shape_type": "rectangle", "points": [[30, 5], [10, 15]]}, [10, 5, 30, 15]),
        ({"shape_type": "polygon", "points": [[10, 5], [30, 8], [20, 15.5]]}, [10, 5, 30, 15.5]),
        ({"points": [[10, 5], [30, 8], [20, 15.5]]}, [10, 5, 30, 15.5]),
        ({"shape_type": "circle", "points": [[20, 20], [23, 24]]}, [15, 15, 25, 25]),
        ({"shape_type": "mask", "points": [[10, 5], [29, 14]], "mask": "iVBORw0K"}, [10, 5, 30, 15]),  # 20 x 10 pixels
    ],
)
def test_shapes_of_labelme(labelme, shape, box):
    dataset = labelme({"label": "cat"} | shape)
    assert (boxes(dataset), dataset.findings, dataset.categories) == ([box], (), ("cat",))


def test_shapes_without_a_box_are_left_out(labelme):
    dataset = labelme({"label": "cat", "shape_type": "line", "points": [[0, 0], [5, 5]]})
    assert (boxes(dataset), kinds(dataset)) == ([], ["no area"])


def test_flags_of_labelme(labelme):
    shape = {"label": "cat", "shape_type": "rectangle", "points": [[10, 5], [30, 15]], "flags": {"difficult": True}}
    assert labelme(shape).images[0].gt.ignore.tolist() == [True]


@pytest.mark.parametrize(
    "points", [None, [], [[1, 2, 3]], [["x", 1]], "12", [[True, 1], [2, 3]], [[10**400, 0], [1, 1]]]
)
def test_bad_points(labelme, points):
    dataset = labelme({"label": "cat", "shape_type": "rectangle", "points": points})
    assert np.isnan(boxes(dataset)).all()
    assert kinds(dataset) == ["bbox"]


def test_the_embedded_image_is_passed_over(labelme):
    dataset = labelme(imageData="A" * 3_000_000)
    assert (len(dataset.images), dataset.format) == (1, "LabelMe JSON")


def test_image_path_of_another_computer(labelme):
    assert labelme(imagePath="C:\\photos\\a.png").images[0].path.exists()
    assert labelme(imagePath=None).images[0].path.exists()


# ----------------------------------------------------------------------------------------------------------------- CVAT


def cvat(tmp_path, body, meta=""):
    path = tmp_path / "annotations.xml"
    path.write_text(f"<annotations>\n<version>1.1</version>\n{meta}\n{body}\n</annotations>")
    return open_dataset([path])


def cvat_image(shapes):
    return f'<image id="0" name="a.png" width="60" height="40">\n{shapes}\n</image>'


BOX = 'label="cat" xtl="10" ytl="5" xbr="30" ybr="15"'


@pytest.mark.parametrize(
    ("shape", "box", "found"),
    [
        (f"<box {BOX} />", [10, 5, 30, 15], []),
        (f'<box {BOX} rotation="90" />', [15, 0, 25, 20], ["rotated box"]),
        ('<polygon label="cat" points="10.5,5;30,8;20,15"/>', [10.5, 5, 30, 15], []),
        ('<ellipse label="cat" cx="20" cy="10" rx="5" ry="3"/>', [15, 7, 25, 13], []),
        ('<mask label="cat" left="3" top="4" width="5" height="6" rle="1"/>', [3, 4, 8, 10], []),
        ('<box label="cat" xtl="10" ytl="5" xbr="x" ybr="15"/>', None, ["bbox"]),
        ('<polygon label="cat" points="10;5"/>', None, ["bbox"]),
        ('<box label="cat" xtl="30" ytl="5" xbr="10" ybr="15"/>', [30, 5, 10, 15], ["flat"]),
    ],
)
def test_shapes_of_cvat(tmp_path, make_image, shape, box, found):
    make_image()
    dataset = cvat(tmp_path, cvat_image(shape))
    assert kinds(dataset) == found
    if box is None:
        assert np.isnan(boxes(dataset)).all()
    else:
        np.testing.assert_allclose(boxes(dataset), [box], atol=1e-9)
    assert all(":" in finding.where and "line 5" in finding.where for finding in dataset.findings)


def test_a_rotated_box_is_not_taken_for_an_image_turned_by_exif(tmp_path, make_image):
    make_image()
    report = lint(cvat(tmp_path, cvat_image(f'<box {BOX} rotation="90" />')), presets.load("torchvision"))
    assert "rotated boxes, shown by the box around them" in {group.title for group in report.groups}
    assert "images turned by EXIF" not in {group.title for group in report.groups}


def test_points_have_no_box_and_attributes_mark_ignore_regions(tmp_path, make_image):
    make_image()
    ignored = f'<box {BOX}><attribute name="Ignore">true</attribute></box>'
    dataset = cvat(tmp_path, cvat_image(f'<points label="cat" points="1,2"/>{ignored}<box {BOX[:-3]}16"/>'))
    assert dataset.images[0].gt.ignore.tolist() == [True, False]
    assert kinds(dataset) == ["no area"]


def track(*frames):
    shapes = "".join(
        f'<box frame="{frame}" outside="{outside}" keyframe="1" xtl="{x}" ytl="5" xbr="{x + 10}" ybr="15"/>'
        for frame, x, outside in frames
    )
    return f'<track id="0" label="cat">{shapes}</track>'


def test_tracks_move_between_keyframes(tmp_path):
    meta = "<meta><task><original_size><width>60</width><height>40</height></original_size></task></meta>"
    dataset = cvat(tmp_path, track((1, 0, 0), (5, 40, 0), (6, 40, 1)), meta)
    assert [record.image_id for record in dataset.images] == [0, 1, 2, 3, 4, 5, 6]
    assert dataset.box_counts().tolist() == [0, 1, 1, 1, 1, 1, 0]
    assert [record.gt.boxes[0, 0] for record in dataset.images[1:6]] == [0, 10, 20, 30, 40]
    assert dataset.images[0].size == (40, 60)


def test_frames_are_found_by_their_number(tmp_path, make_image):
    for frame in (2, 3, 10):
        make_image(f"images/frame_{frame:06d}.png")
    dataset = cvat(tmp_path, track((2, 0, 0), (3, 10, 0), (4, 20, 0), (5, 20, 1)))
    assert [record.path.name for record in dataset.images] == [f"frame_{k:06d}.png" for k in (2, 3, 10)]
    assert dataset.box_counts().tolist() == [1, 1, 0]
    assert kinds(dataset) == ["unknown image"]


def test_a_track_over_billions_of_frames_ends(tmp_path):
    dataset = cvat(tmp_path, track((0, 0, 0), (2_000_000_000, 10, 0)))
    assert "no frame" in kinds(dataset)
    assert len(dataset.images) <= 1_000_000


# ---------------------------------------------------------------------------------------------------------------- KITTI


def kitti(tmp_path, make_image, *lines):
    make_image("image_2/000000.png")
    (tmp_path / "label_2").mkdir()
    (tmp_path / "label_2" / "000000.txt").write_text("\n".join(lines))
    return open_dataset([tmp_path])


CAR = "Car 0.00 0 -1.58 {} 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59"


def test_dont_care_is_an_ignore_region(tmp_path, make_image):
    dont_care = "DontCare -1 -1 -10 1.0 2.0 9.0 8.0 -1 -1 -1 -1000 -1000 -1000 -10"
    dataset = kitti(tmp_path, make_image, CAR.format("10 5 30 15"), dont_care, CAR.format("1 2 3 4") + " 0.9")
    assert boxes(dataset) == [[10, 5, 30, 15], [1, 2, 9, 8], [1, 2, 3, 4]]
    assert dataset.images[0].gt.ignore.tolist() == [False, True, False]
    assert dataset.findings == ()


def test_bad_lines_of_kitti(tmp_path, make_image):
    bad = (CAR.format("10 5 x 15"), "Car", "Car 0 0 0 1 2 3 4")
    dataset = kitti(tmp_path, make_image, CAR.format("10 5 30 15"), *bad)
    assert len(boxes(dataset)) == 4
    assert [(finding.kind, finding.gt) for finding in dataset.findings] == [("bbox", 1), ("bbox", 2), ("columns", 3)]


# ------------------------------------------------------------------------------------------------------------------ CSV


def table(tmp_path, make_image, text, name="boxes.csv"):
    make_image()
    (tmp_path / name).write_text(text, encoding="utf-8")
    return open_dataset([tmp_path / name])


@pytest.mark.parametrize(
    "text",
    [
        "filename,x1,y1,x2,y2,class\na.png,10,5,30,15,cat\n",
        "class;ymax;xmax;ymin;xmin;FileName\ncat;15;30;5;10;a.png\n",
        "image,x,y,w,h,label\na.png,10,5,20,10,cat\n",
        "image\tx\ty\twidth\theight\tlabel\na.png\t10\t5\t20\t10\tcat\n",
        "filename,width,height,class,xmin,ymin,xmax,ymax\na.png,60,40,cat,10,5,30,15\n",
        "a.png,10,5,30,15,cat\n",
        "a.png,10,5,30,15,cat\r\n",
        '"a.png","10","5","30","15","cat"\n',
    ],
)
def test_columns(tmp_path, make_image, text):
    dataset = table(tmp_path, make_image, text)
    assert (boxes(dataset), dataset.categories, dataset.findings) == ([[10, 5, 30, 15]], ("cat",), ())
    assert dataset.images[0].size in (None, (40, 60))


def test_images_without_boxes_and_ignore_flags(tmp_path, make_image):
    make_image("b.png")
    text = "image,x1,y1,x2,y2,class,difficult\na.png,10,5,30,15,cat,1\nb.png,,,,,,\na.png,1,5,30,15,cat,maybe\n"
    dataset = table(tmp_path, make_image, text)
    assert dataset.box_counts().tolist() == [2, 0]
    assert dataset.images[0].gt.ignore.tolist() == [True, True]
    assert kinds(dataset) == ["ignore"]


def test_bad_rows(tmp_path, make_image):
    text = "image,x1,y1,x2,y2,class\na.png,10,5,x,15,cat\na.png,10\n,1,2,3,4,cat\na.png,1,2,3,4,\n"
    dataset = table(tmp_path, make_image, text)
    assert [(finding.kind, finding.where) for finding in dataset.findings] == [
        ("bbox", "boxes.csv: line 2"),
        ("columns", "boxes.csv: line 3"),
        ("no file name", "boxes.csv: line 4"),
        ("unknown category", "boxes.csv: line 5"),
    ]


@pytest.mark.parametrize("text", ["", "a,b,c\n1,2,3\n", "\x00\x00", "filename,x1\na.png,1\n"])
def test_other_tables_are_refused(tmp_path, text):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(AnnotationError, match="columns"):
        open_dataset([tmp_path / "x.csv"])


def test_a_workbook_that_is_called_csv(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.csv", "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(AnnotationError, match=r"spreadsheet .* Save it as CSV"):
        open_dataset([tmp_path / "x.csv"])


def test_latin_1_in_a_table(tmp_path, make_image):
    make_image()
    (tmp_path / "x.csv").write_bytes("a.png,10,5,30,15,Größe\n".encode("latin-1"))
    dataset = open_dataset([tmp_path / "x.csv"])
    assert (dataset.categories, kinds(dataset)) == (("Größe",), ["encoding"])


def test_open_images(tmp_path, make_image):
    header = (
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
    )
    rows = "a,xclick,/m/01g317,1,0.25,0.75,0.125,0.5,0,0,0,0,0\na,xclick,/m/0x,1,0,1,0,1,0,0,1,0,0\n"
    (tmp_path / "class-descriptions-boxable.csv").write_text("/m/01g317,Person\n/m/0x,Tree\n")
    make_image("a.jpg")
    dataset = table(tmp_path, make_image, f"{header}\n{rows}", "train-annotations-bbox.csv")
    assert (dataset.format, dataset.categories) == ("Open Images CSV", ("Person", "Tree"))
    assert boxes(dataset) == [[15, 5, 45, 20], [0, 0, 60, 40]]
    assert dataset.images[0].gt.ignore.tolist() == [False, True]
    assert dataset.images[0].path.name == "a.jpg"


def test_open_images_as_it_is_downloaded(tmp_path, make_image):
    path = make_image("train/a.jpg")
    header = "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf"
    (tmp_path / "oidv6-train-annotations-bbox.csv").write_text(f"{header}\na,/m/01g317,0.25,0.75,0.125,0.5,0\n")
    assert open_dataset([tmp_path / "oidv6-train-annotations-bbox.csv"]).images[0].path == path


# ----------------------------------------------------------------------------------------------------------- CrowdHuman


def test_crowdhuman_keeps_good_lines(tmp_path, make_image):
    make_image("a,1.jpg")
    good = {"ID": "a,1", "gtboxes": [{"tag": "person", "fbox": [-3, 5, 20, 10], "extra": {"ignore": 1}}]}
    lines = [
        json.dumps(good),
        "{",
        "[]",
        '{"gtboxes": []}',
        '{"ID": "b", "gtboxes": [{"tag": "mask", "fbox": [1]}, 5]}',
    ]
    (tmp_path / "x.odgt").write_text("\n".join(lines))
    dataset = open_dataset([tmp_path / "x.odgt"])
    assert boxes(dataset) == [[-3, 5, 17, 15]]
    assert [record.gt.ignore.tolist() for record in dataset.images] == [[True], [True]]
    assert sorted(kinds(dataset)) == sorted(["no annotation"] * 3 + ["no image id", "bbox", "missing image"])


# ----------------------------------------------------------------------------------------------------------- detectron2


@pytest.mark.parametrize(
    ("bbox", "mode", "box"),
    [
        ([10, 5, 30, 15], 0, [10, 5, 30, 15]),
        ([10, 5, 20, 10], 1, [10, 5, 30, 15]),
        ([10, 5, 20, 10], "BoxMode.XYWH_ABS", [10, 5, 30, 15]),
        ([0.25, 0.25, 0.5, 0.5], 2, [15, 10, 30, 20]),
        ([0.25, 0.25, 0.5, 0.5], "XYWH_REL", [15, 10, 45, 30]),
        ([20, 10, 10, 4, 90], 4, [18, 5, 22, 15]),
    ],
)
def test_modes_of_detectron2(tmp_path, make_image, bbox, mode, box):
    make_image()
    annotation = {"bbox": bbox, "bbox_mode": mode, "category_id": 0, "iscrowd": 1}
    record = {"file_name": "a.png", "height": 40, "width": 60, "annotations": [annotation]}
    (tmp_path / "dicts.json").write_text(json.dumps({"dataset_dicts": [record], "thing_classes": ["cat"]}))
    dataset = open_dataset([tmp_path / "dicts.json"])
    np.testing.assert_allclose(boxes(dataset), [box], atol=1e-9)
    assert (dataset.categories, dataset.images[0].gt.ignore.tolist()) == (("cat",), [True])


def test_bad_records_of_detectron2(tmp_path, make_image):
    make_image()
    annotations = [
        {"bbox": [1, 2, 3, 4], "bbox_mode": 9, "category_id": 0},
        {"bbox": [1, 2, 3], "bbox_mode": 0, "category_id": 0},
        {"bbox": [0.1, 0.1, 0.2, 0.2], "bbox_mode": 2, "category_id": "x"},
        7,
    ]
    records = [{"file_name": "a.png", "annotations": annotations}, 5, {"file_name": 7, "annotations": []}]
    (tmp_path / "dicts.json").write_text(json.dumps(records))
    dataset = open_dataset([tmp_path / "dicts.json"])
    assert len(dataset.images) == 1
    assert sorted(kinds(dataset)) == sorted(
        ["bbox_mode", "bbox", "bbox", "unknown category", "no annotation", "no image", "no file name"]
    )


# ----------------------------------------------------------------------------------------------------------------- LVIS


def test_lvis_names_its_images_by_address(tmp_path, make_image):
    make_image("train2017/000000391895.jpg")
    image = {
        "id": 391895, "width": 60, "height": 40, "neg_category_ids": [3], "not_exhaustive_category_ids": [],
        "coco_url": "http://images.cocodataset.org/train2017/000000391895.jpg",
    }  # fmt: skip
    annotation = {"id": 1, "image_id": 391895, "category_id": 1203, "bbox": [10, 5, 20, 10], "area": 3.0}
    category = {"id": 1203, "name": "zucchini", "frequency": "c", "synset": "zucchini.n.02"}
    path = tmp_path / "annotations" / "lvis_v1_val.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"images": [image], "annotations": [annotation], "categories": [category]}))
    dataset = open_dataset([path])
    assert dataset.images[0].path.exists()
    assert (dataset.findings, dataset.categories, boxes(dataset)) == ((), ("zucchini",), [[10, 5, 30, 15]])
    assert not dataset.images[0].gt.ignore.any()
