"""A data set saved with the boxes that were changed by hand: what changes, and that nothing else does."""

from __future__ import annotations

import codecs
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpnviz.datasets.base import Dataset, ImageRecord
from rpnviz.datasets.edited import EditedTruth, Edits, edited
from rpnviz.datasets.registry import open_dataset
from rpnviz.errors import Cancelled, ExportError
from rpnviz.export.coco_edits import Saved, save_coco
from rpnviz.imaging import write_png

IMAGES = [
    {"id": 30, "file_name": "a.png", "width": 80, "height": 60, "license": 4},
    {"id": 10, "file_name": "b.png", "width": 80, "height": 60},
]
CATEGORIES = [{"id": 7, "name": "cat", "supercategory": "animal"}, {"id": 90, "name": "dog"}]


def annotation(id_, image_id=30, category_id=7, bbox=(1.5, 2, 10, 20), **more):
    return {"id": id_, "image_id": image_id, "category_id": category_id, "bbox": list(bbox)} | more


def document(annotations, **more):
    return {"info": {"year": 2017}, "images": IMAGES, "annotations": annotations, "categories": CATEGORIES} | more


def opened(folder, content, **layout):
    path = folder / "boxes.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content, **layout).encode())
    return open_dataset([path])


def with_edits(dataset, changes, added=()):
    """``changes``: by image, what turns its boxes into others."""
    edits = Edits(added=tuple(added))
    for image, change in changes.items():
        own = dataset.images[image].gt
        edits = edits.with_truth(image, change(EditedTruth.of(own)), own)
    return edited(dataset, edits)


def saved(folder, present, name="new.json"):
    """What is reported, the file decoded, and the data set that it is."""
    report = save_coco(present, folder / name)
    assert report.path == folder / name
    assert not [child.name for child in folder.iterdir() if child.name.endswith(".part")]
    return report, json.loads((folder / name).read_text()), open_dataset([folder / name])


def boxes_of(dataset):
    """All of it that a trainer sees, by image; a NaN equals itself."""
    return [
        (
            record.file_name,
            [[None if math.isnan(side) else side for side in box] for box in record.gt.boxes.tolist()],
            dataset.names_of(record),
            record.gt.ignore.tolist(),
        )
        for record in dataset.images
    ]


def counts(report):
    return report.changed, report.added, report.removed


# --------------------------------------------------------------------------------------------------- COCO: what changes


def test_only_what_was_edited_changes(tmp_path):
    more = {"segmentation": [[1, 2, 3]], "area": 5, "keypoints": [1, 2, 2], "attributes": {"by": "x"}, "iscrowd": 0}
    records = [annotation(id_, **more) for id_ in (100, 5, 17, 8)] + [annotation(9, 10, ignore=0)]
    dataset = opened(tmp_path, document(records))
    present = with_edits(
        dataset,
        {
            0: lambda truth: (
                truth.with_values(0, box=(3, 4, 8, 10))
                .with_values(1, label=1)
                .without({2})
                .with_box((0.5, 1, 2, 3), 0, ignore=True)
            ),
            1: lambda truth: truth.with_values(0, ignore=True),
        },
    )
    report, written, again = saved(tmp_path, present)
    assert report == Saved(tmp_path / "new.json", 2, 5, 3, 1, 1)
    assert boxes_of(again) == boxes_of(present)
    moved = records[0] | {"bbox": [3, 4, 5, 6], "area": 30}
    del moved["segmentation"]
    new = {"id": 101, "image_id": 30, "category_id": 7, "bbox": [0.5, 1, 1.5, 2], "area": 3, "iscrowd": 1}
    assert written == document(
        [moved, records[1] | {"category_id": 90}, records[3], records[4] | {"iscrowd": 1, "ignore": 1}, new]
    )
    assert list(written["annotations"][0]) == list(moved)


def test_without_edits_every_byte_stays(tmp_path):
    written = b'{ "images":[{"id":1,"file_name":"a.png"}] ,\n"annotations" : [ ], "x": 1e999, "y": 1.50 }\n\n'
    report = save_coco(opened(tmp_path, written), tmp_path / "new.json")
    assert (tmp_path / "new.json").read_bytes() == written
    assert report == Saved(tmp_path / "new.json", 1, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("ids", "new"),
    [
        ([3, 8, 5], [9, 10]),
        (["3", "8"], ["9", "10"]),
        (["a", "b"], ["1", "2"]),
        ([3, "20"], [21, 22]),
        ([None, None], [1, 2]),
        ([-4, 2**70], [2**70 + 1, 2**70 + 2]),
        ([], [1, 2]),
    ],
    ids=["numbers", "texts of numbers", "texts", "both", "none", "beyond int64", "no annotation"],
)
def test_new_ids_are_above_all_others(tmp_path, ids, new):
    dataset = opened(tmp_path, document([annotation(id_) for id_ in ids]))
    present = with_edits(dataset, {1: lambda truth: truth.with_box((0, 0, 1, 1), 0).with_box((0, 0, 2, 2), 0)})
    _, written, again = saved(tmp_path, present)
    assert [record["id"] for record in written["annotations"]] == ids + new
    assert boxes_of(again) == boxes_of(present)


def test_records_that_cannot_be_shown_stay(tmp_path):
    records = [annotation(50, 999, category_id=400), None, annotation(1), {"id": 60}, annotation(2)]
    dataset = opened(tmp_path, document(records))
    present = with_edits(dataset, {0: lambda truth: truth.without({0}).with_box((0, 0, 4, 4), 2)}, ["owl"])
    report, written, again = saved(tmp_path, present)
    new = annotation(61, category_id=401, bbox=(0, 0, 4, 4), area=16, iscrowd=0)
    assert written["annotations"] == [*records[:2], *records[3:], new]
    assert report.annotations == 5
    assert boxes_of(again) == boxes_of(present)


def test_a_box_without_numbers_gets_some(tmp_path):
    dataset = opened(tmp_path, document([annotation(1, bbox=(1, 2)), annotation(2, bbox=("x",))]))
    _, written, _ = saved(tmp_path, with_edits(dataset, {0: lambda truth: truth.with_values(0, box=(1, 2, 3, 4))}))
    assert written["annotations"] == [annotation(1, bbox=(1, 2, 2, 2), area=4), annotation(2, bbox=("x",))]


@pytest.mark.parametrize("category", [11, "11", None, 2.5, ["x"]])
def test_categories_that_are_not_listed(tmp_path, category):
    records = [annotation(1, category_id=category), annotation(2, category_id="90"), annotation(3), annotation(4)]
    if category is None:
        del records[0]["category_id"]
    dataset = opened(tmp_path, document(records))
    present = with_edits(
        dataset,
        {
            0: lambda truth: truth.with_values(0, box=(1, 1, 3, 3)).with_values(2, label=2).with_values(3, label=1),
            1: lambda truth: truth.with_box((0, 0, 1, 1), 2).with_box((0, 0, 1, 1), 3),
        },
        ["owl"],
    )
    _, written, again = saved(tmp_path, present)
    assert [record.get("category_id") for record in written["annotations"]] == [
        category, "90", category, 90, category, 91
    ]  # fmt: skip
    assert written["categories"] == [*CATEGORIES, {"id": 91, "name": "owl"}]
    assert [names for _, _, names, _ in boxes_of(again)] == [names for _, _, names, _ in boxes_of(present)]
    assert dataset.categories[2].startswith("unknown")


def test_categories_are_those_of_the_reader(tmp_path):
    broken = [{"id": 4, "name": "a"}, {"name": "no id"}, {"id": 4, "name": "twice"}, None, {"id": "x y", "name": ""}]
    dataset = opened(tmp_path, document([annotation(1, category_id=4)], categories=broken))
    assert dataset.categories == ("a", "category x y")
    present = with_edits(
        dataset, {0: lambda truth: truth.with_values(0, label=1).with_box((0, 0, 1, 1), 2)}, ["größer"]
    )
    _, written, again = saved(tmp_path, present)
    assert [record["category_id"] for record in written["annotations"]] == ["x y", 5]
    assert written["categories"] == [*broken, {"id": 5, "name": "größer"}]
    assert boxes_of(again) == boxes_of(present)


def test_lists_that_the_file_lacks_are_made(tmp_path):
    for more in ({}, {"annotations": None}, {"annotations": [], "categories": []}):
        dataset = opened(tmp_path, {"images": IMAGES} | more)
        present = with_edits(dataset, {0: lambda truth: truth.with_box((0, 0, 4, 4), 0)}, ["cat"])
        report, written, again = saved(tmp_path, present)
        assert written["categories"] == [{"id": 1, "name": "cat"}]
        assert boxes_of(again) == boxes_of(present)
        assert counts(report) == (0, 1, 0)


@pytest.mark.parametrize("id_", ["30", "a b", 7.0])
def test_image_ids_are_written_as_the_image_has_them(tmp_path, id_):
    images = [{"id": id_, "file_name": "a.png"}]
    dataset = opened(tmp_path, document([], images=images))
    _, written, again = saved(tmp_path, with_edits(dataset, {0: lambda truth: truth.with_box((0, 0, 4, 4), 0)}))
    assert written["annotations"][0]["image_id"] == id_
    assert type(written["annotations"][0]["image_id"]) is type(id_)
    assert again.box_counts().tolist() == [1]


def test_an_image_without_an_id_of_its_own_gets_one(tmp_path):
    images = [{"file_name": "a.png"}, {"id": 3, "file_name": "b.png"}, {"id": 3, "file_name": "c.png"}, {"id": 8}]
    dataset = opened(tmp_path, document([annotation(1, 3)], images=images))
    present = with_edits(dataset, {image: lambda truth: truth.with_box((0, 0, 4, 4), 0) for image in (0, 1, 2)})
    _, written, again = saved(tmp_path, present)
    assert written["images"] == [images[0] | {"id": 9}, images[1], images[2] | {"id": 10}, images[3]]
    assert boxes_of(again) == boxes_of(present)


def test_images_that_were_chosen_from_a_file(tmp_path):
    for name in ("a.png", "b.png"):
        write_png(tmp_path / name, np.zeros((60, 80, 3), np.uint8))
    records = [annotation(id_, image_id) for id_, image_id in ((1, 30), (2, 10), (3, 30), (4, 10))]
    opened(tmp_path, document(records))
    dataset = open_dataset([tmp_path / "b.png"], tmp_path / "boxes.json")
    present = with_edits(dataset, {0: lambda truth: truth.without({0}).with_box((0, 0, 1, 1), 0)})
    report, written, _ = saved(tmp_path, present)
    assert [record["id"] for record in written["annotations"]] == [1, 3, 4, 5]
    assert (report.images, report.annotations) == (2, 4)
    twice = open_dataset([tmp_path / "b.png", tmp_path / "b.png"], tmp_path / "boxes.json")
    with pytest.raises(ExportError, match="opened twice"):
        save_coco(with_edits(twice, dict.fromkeys((0, 1), lambda truth: truth.without({0}))), tmp_path / "new.json")
    (tmp_path / "boxes.json").write_text("{}")
    with pytest.raises(ExportError, match="since it was read"):
        save_coco(present, tmp_path / "new.json")


NOT_QUITE_JSON = [
    json.dumps(document([annotation(1, score=math.nan), annotation(2, bbox=(1, 2, math.inf, 4)), annotation(3)])),
    json.dumps(document([annotation(1, text="\ud800"), annotation(2, text="😀 NaN"), annotation(3)])),
]


@pytest.mark.parametrize("written", NOT_QUITE_JSON)
def test_what_only_python_takes_stays_as_it_is(tmp_path, written):
    dataset = opened(tmp_path, written.encode())
    present = with_edits(
        dataset, {0: lambda truth: truth.with_values(0, label=1).without({2}).with_box((0, 0, 1, 1), 0)}
    )
    _, _, again = saved(tmp_path, present)
    assert boxes_of(again) == boxes_of(present)
    changed, second, new = _items((tmp_path / "new.json").read_text())
    before = _items(written)
    assert second == before[1]
    assert changed == before[0].replace('"category_id": 7', '"category_id": 90')
    assert json.loads(new)["id"] == 4


def _items(written):
    """The annotations of a document in one line, as they are written."""
    found, text = [], written.split('"annotations": [')[1]
    while text.startswith("{"):
        _, end = json.JSONDecoder().raw_decode(text)
        found.append(text[:end])
        text = text[end:].removeprefix(", ")
    return found


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_encodings_become_utf8(tmp_path, encoding):
    written = json.dumps(document([annotation(1, note="größer 😀")]), ensure_ascii=False)
    dataset = opened(tmp_path, written.encode(encoding))
    present = with_edits(dataset, {0: lambda truth: truth.with_values(0, label=1)})
    save_coco(present, tmp_path / "new.json")
    after = (tmp_path / "new.json").read_bytes()
    assert not after.startswith(codecs.BOM_UTF8)
    assert after.decode() == written.replace('"category_id": 7', '"category_id": 90')


# -------------------------------------------------------------------------------------------------- COCO: any document

side = st.floats(0, 4000, width=32)
box = st.tuples(side, side, side, side)
value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)
extra = st.dictionaries(st.sampled_from(["attributes", "segmentation", "keypoints", "area", 'odd "key\\', "ü"]), value)
category = st.sampled_from([7, 90, "90", "text", 12, None])
image_id = st.sampled_from([30, "30", 10, "name", 999, None])


@st.composite
def annotations(draw):
    records = []
    ids = draw(st.sampled_from([st.integers(-5, 99), st.sampled_from(["a", "7", "x 1"]), st.sampled_from([None, 3])]))
    for _ in range(draw(st.integers(0, 6))):
        records.append(
            {"id": draw(ids), "image_id": draw(image_id), "category_id": draw(category), "bbox": draw(box)}
            | draw(
                st.fixed_dictionaries({}, optional=dict.fromkeys(("iscrowd", "ignore"), st.sampled_from([0, 1, "0"])))
            )
            | draw(extra)
        )
    return records


operation = st.tuples(
    st.integers(0, 2), st.sampled_from(["box", "label", "ignore", "draw", "delete"]), st.integers(0, 5), box
)


@given(
    annotations(),
    st.lists(operation, max_size=8),
    st.sampled_from([{"indent": 1}, {}, {"separators": (",", ":")}, {"ensure_ascii": False}]),
    extra,
)
def test_any_edit_of_any_document(tmp_path_factory, records, operations, layout, more):
    folder = tmp_path_factory.mktemp("coco")
    images = [*IMAGES, {"id": "name", "file_name": "c.png"}]
    text = json.dumps({"more": more, "images": images, "annotations": records, "categories": CATEGORIES}, **layout)
    dataset = opened(folder, text.encode())
    edits = Edits(added=("new", "newer"))
    labels = len(dataset.categories) + 2
    for image, what, index, (x1, y1, width, height) in operations:
        own = dataset.images[image].gt
        truth = edits.truths.get(image, EditedTruth.of(own))
        new = (x1, y1, x1 + width, y1 + height)
        if what == "draw":
            truth = truth.with_box(new, index % labels, ignore=index % 2 == 1)
        elif index >= len(truth):
            continue
        elif what == "delete":
            truth = truth.without({index})
        else:
            given_values = {"box": new, "label": int(x1) % labels, "ignore": not truth.gt.ignore[index]}
            truth = truth.with_values(index, **{what: given_values[what]})
        edits = edits.with_truth(image, truth, own)
    present = edited(dataset, edits)
    report = save_coco(present, folder / "new.json")

    after = (folder / "new.json").read_bytes()
    again = open_dataset([folder / "new.json"])
    assert boxes_of(again) == boxes_of(present)
    touched = _touched(dataset, edits)
    before, now = json.loads(text), json.loads(after)
    kept = now["annotations"][: len(records) - report.removed]
    survivors = [place for place in range(len(records)) if touched.get(place) != "deleted"]
    assert len(kept) == len(survivors)
    for place, record in zip(survivors, kept, strict=True):
        if place not in touched:
            assert _same(record, before["annotations"][place])
        else:
            fields = ("bbox", "area", "segmentation", "category_id", "iscrowd", "ignore")
            assert _same(_without(record, fields), _without(before["annotations"][place], fields))
    assert len(now["annotations"]) == report.annotations == len(kept) + report.added
    assert _same(_without(now, ("annotations", "categories")), _without(before, ("annotations", "categories")))
    assert now["categories"][:2] == CATEGORIES
    assert [record["name"] for record in now["categories"][2:]] == list(edits.added)
    assert report.changed == sum(what == "changed" for what in touched.values())
    new_ids = [record["id"] for record in now["annotations"][len(kept) :]]
    assert len(set(map(str, new_ids))) == len(new_ids)
    assert not set(map(str, new_ids)) & {str(record["id"]) for record in records}


def _touched(dataset, edits):
    """What became of records, by position; others were not touched."""
    columns, found = dataset.images.columns, {}
    for image, truth in edits.truths.items():
        own, first = dataset.images[image].gt, columns.starts[image]
        for origin in range(len(own)):
            place = int(columns.places[first + origin])
            if origin not in truth.origins:
                found[place] = "deleted"
                continue
            now = truth.origins.index(origin)
            same = (
                np.array_equal(own.boxes[origin], truth.gt.boxes[now], equal_nan=True)
                and own.labels[origin] == truth.gt.labels[now]
                and own.ignore[origin] == truth.gt.ignore[now]
            )
            if not same:
                found[place] = "changed"
    return found


def _without(record, keys):
    return {key: value for key, value in record.items() if key not in keys}


def _same(one, other):
    """Equal as Python writes it: the order of keys counts, and so does the kind of a number."""
    return json.dumps(one) == json.dumps(other)


# ------------------------------------------------------------------------------------------------ COCO: a changed file


def _resized(content):
    content["annotations"].append(annotation(77))


def _shorter(content):
    content["annotations"].pop()


def _shifted(content):
    content["annotations"].insert(0, annotation(77))


def _other_id(content):
    content["annotations"][0]["id"] = 77


def _other_owner(content):
    content["annotations"][0]["image_id"] = 10


def _moved(content):
    content["annotations"][1]["bbox"] = [0, 0, 1, 1]


def _other_category(content):
    content["annotations"][1]["category_id"] = 90


def _other_images(content):
    content["images"] = content["images"][::-1]


def _other_names(content):
    content["categories"] = [{"id": 7, "name": "cow"}]


def _renamed_list(content):
    content["annotations"] = {}


@pytest.mark.parametrize(
    "change",
    [
        _resized, _shorter, _shifted, _other_id, _other_owner, _moved, _other_category, _other_images, _other_names,
        _renamed_list,
    ],
)  # fmt: skip
def test_a_file_that_was_changed_meanwhile_is_refused(tmp_path, change):
    content = document([annotation(1), annotation(2), annotation(3, 10)])
    present = with_edits(opened(tmp_path, content), {0: lambda truth: truth.without({0})})
    change(content)
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    _refused(tmp_path, present, "F5")


@pytest.mark.parametrize("content", ["{", "[]", "{}", "[" * 5000])
def test_a_file_that_is_none_any_more_is_refused(tmp_path, content):
    present = with_edits(opened(tmp_path, document([annotation(1)])), {0: lambda truth: truth.without({0})})
    (tmp_path / "boxes.json").write_text(content)
    _refused(tmp_path, present, "F5")


def test_a_file_that_is_gone_is_told(tmp_path):
    present = with_edits(opened(tmp_path, document([annotation(1)])), {0: lambda truth: truth.without({0})})
    (tmp_path / "boxes.json").unlink()
    _refused(tmp_path, present, "Put it back")


def test_a_category_whose_id_is_lost_is_refused(tmp_path):
    content = document([annotation(1), annotation(2, 10, 55)])
    present = with_edits(opened(tmp_path, content), {0: lambda truth: truth.with_values(0, label=2)})
    content["annotations"][1]["category_id"] = 56
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    _refused(tmp_path, present, "F5")


def _refused(folder, present, way_out):
    with pytest.raises(ExportError) as error:
        save_coco(present, folder / "new.json")
    assert way_out in error.value.way_out
    assert error.value.where == str(folder / "boxes.json")
    assert not (folder / "new.json").exists()


def test_appended_records_of_another_image_are_noticed_by_the_list(tmp_path):
    """The reader leaves the last record out; that it is there is no change, one more that it would take is."""
    content = document([annotation(1), annotation(2, 999)])
    present = with_edits(opened(tmp_path, content), {0: lambda truth: truth.without({0})})
    assert saved(tmp_path, present)[0].annotations == 1
    content["annotations"][1]["image_id"] = 10
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    with pytest.raises(ExportError, match="other annotations"):
        save_coco(present, tmp_path / "newer.json")


# ------------------------------------------------------------------------------------------------------- other formats


def make_yolo(folder, count=2):
    (folder / "labels" / "train").mkdir(parents=True)
    (folder / "images" / "train").mkdir(parents=True)
    for number in range(count):
        write_png(folder / "images" / "train" / f"{number}.png", np.zeros((60, 80, 3), np.uint8))
        (folder / "labels" / "train" / f"{number}.txt").write_text("1 0.5 0.5 0.3 0.1\n0 0.2 0.2 0.1 0.1\n")
    (folder / "data.yaml").write_text("train: images/train\nnames: [cat, dog]\n")
    return open_dataset([folder / "data.yaml"])


def test_yolo_becomes_coco(tmp_path):
    dataset = make_yolo(tmp_path)
    present = with_edits(
        dataset, {1: lambda truth: truth.without({0}).with_values(0, label=2).with_box((1, 2, 3, 5), 0)}, ["owl"]
    )
    report, written, again = saved(tmp_path, present)
    assert report == Saved(tmp_path / "new.json", 2, 4, 1, 1, 1)
    assert boxes_of(again) == boxes_of(present)
    assert written["images"][1] == {"id": 2, "file_name": "images/train/1.png", "width": 80, "height": 60}
    assert written["annotations"][3] == annotation(4, 2, 1, (1, 2, 2, 3), area=6, iscrowd=0)
    assert [record["name"] for record in written["categories"]] == ["cat", "dog", "owl"]


def test_voc_becomes_coco(tmp_path):
    xml = (
        "<annotation><filename>a.png</filename><size><width>80</width><height>60</height></size><object><name>cat</name>"
        "<difficult>1</difficult><bndbox><xmin>3</xmin><ymin>4</ymin><xmax>20</xmax><ymax>30</ymax></bndbox></object>"
        "</annotation>"
    )
    (tmp_path / "a.xml").write_text(xml)
    write_png(tmp_path / "a.png", np.zeros((60, 80, 3), np.uint8))
    dataset = open_dataset([tmp_path / "a.xml"])
    present = with_edits(dataset, {0: lambda truth: truth.with_values(0, ignore=False).with_box((0, 0, 1, 1), 0)})
    report, _, again = saved(tmp_path, present)
    assert boxes_of(again) == boxes_of(present)
    assert counts(report) == (1, 1, 0)


def test_images_that_cannot_be_read_are_left_out_and_counted(tmp_path):
    for name in ("a.png", "c ü.png"):
        write_png(tmp_path / name, np.zeros((60, 80, 3), np.uint8))
    (tmp_path / "b.png").write_bytes(b"no image")
    dataset = open_dataset([tmp_path])
    change = {image: lambda truth: truth.with_box((1, 1, 5, 5), 0) for image in (1, 2)}
    report, written, again = saved(tmp_path, with_edits(dataset, change, ["cat"]))
    assert report == Saved(tmp_path / "new.json", 2, 1, 0, 1, 0, left_out=1)
    assert [record["file_name"] for record in written["images"]] == ["a.png", "c ü.png"]
    assert again.box_counts().tolist() == [0, 1]
    assert saved(tmp_path, with_edits(dataset, change, ["cat"]))[0] == report  # its own file may be replaced


def test_many_records_are_one_document(tmp_path):
    records = [ImageRecord(f"{number}.png", Path(f"{number}.png"), (9, 9)) for number in range(9000)]
    dataset = Dataset("made", tmp_path, records, ("a",))
    reached = []
    report = save_coco(dataset, tmp_path / "new.json", reached.append)
    assert [record["id"] for record in json.loads((tmp_path / "new.json").read_text())["images"]] == [*range(1, 9001)]
    assert report.images == 9000
    assert reached == sorted(reached)
    assert 0 <= reached[0] <= reached[-1] <= 1


# ------------------------------------------------------------------------------------------------------------ the file


def test_no_file_of_the_data_set_is_replaced(tmp_path):
    dataset = make_yolo(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "images")
    for name in ("data.yaml", "labels/train/1.txt", "images/train/0.png", "link/train/0.png"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(ExportError) as error:
            save_coco(dataset, tmp_path / name)
        assert "undo" in error.value.way_out
        assert (tmp_path / name).read_bytes() == before


def test_the_open_file_is_not_replaced_by_any_name(tmp_path):
    dataset = opened(tmp_path, document([annotation(1)]))
    (tmp_path / "other.json").symlink_to(tmp_path / "boxes.json")
    (tmp_path / "a.png").write_bytes(b"x")
    for name in ("boxes.json", "other.json", "a.png"):
        with pytest.raises(ExportError, match="was read from this file"):
            save_coco(dataset, tmp_path / name)
    through_the_link = open_dataset([tmp_path / "other.json"])
    with pytest.raises(ExportError, match="was read from this file"):
        save_coco(through_the_link, tmp_path / "boxes.json")
    with pytest.raises(ExportError, match="does not exist"):
        save_coco(dataset, tmp_path / "no" / "new.json")


@pytest.mark.parametrize("kind", ["coco", "yolo"])
def test_cancelling_leaves_no_file(tmp_path, kind):
    own = opened(tmp_path, document([annotation(1)])) if kind == "coco" else make_yolo(tmp_path)
    present = with_edits(own, {0: lambda truth: truth.without({0})})
    reached = []
    save_coco(present, tmp_path / "whole.json", reached.append)
    assert reached == sorted(reached)
    before = sorted(tmp_path.rglob("*"))
    for stop in reached:

        def progress(fraction, stop=stop):
            if fraction >= stop:
                raise Cancelled

        with pytest.raises(Cancelled):
            save_coco(present, tmp_path / "new.json", progress)
        assert sorted(tmp_path.rglob("*")) == before
