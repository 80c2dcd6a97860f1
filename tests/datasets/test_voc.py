"""Pascal VOC: what is common in such files and bites."""

from __future__ import annotations

import pytest

from rpnviz.core import pipeline, presets
from rpnviz.datasets.base import inputs_of
from rpnviz.datasets.reactions import CROWD, reactions
from rpnviz.datasets.registry import open_dataset
from rpnviz.errors import AnnotationError

BOX = "<bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox>"
OBJECT = "<object><name>{name}</name>{more}" + BOX + "</object>"


def an_object(box=(11, 6, 30, 15), name="cat", more=""):
    return OBJECT.format(*box, name=name, more=more)


@pytest.fixture
def voc(tmp_path, make_image):
    """Writes ``Annotations/a.xml`` for an image of 60 x 40 px and opens the folder."""

    def write(*objects, filename="a.png", size="<size><width>60</width><height>40</height><depth>3</depth></size>"):
        make_image("JPEGImages/a.png")
        folder = tmp_path / "Annotations"
        folder.mkdir(exist_ok=True)
        body = f"<filename>{filename}</filename>{size}" + "\n".join(objects)
        (folder / "a.xml").write_text(f"<annotation>\n{body}\n</annotation>", encoding="utf-8")
        return open_dataset([tmp_path])

    return write


def test_corners_count_from_one_and_are_inclusive(voc):
    dataset = voc(an_object((1, 1, 60, 40)), an_object((11, 6, 30, 15)), an_object((7, 7, 7, 7)))
    assert dataset.images[0].gt.boxes.tolist() == [[0, 0, 60, 40], [10, 5, 30, 15], [6, 6, 7, 7]]
    assert dataset.findings == ()
    assert dataset.name.endswith("/Annotations")


def test_float_corners(voc):
    assert voc(an_object((11.5, 6.25, 30, 15))).images[0].gt.boxes.tolist() == [[10.5, 5.25, 30, 15]]


def test_difficult_is_an_ignore_region(voc):
    dataset = voc(
        an_object(more="<difficult>1</difficult>"),
        an_object((2, 2, 9, 9), more="<difficult>0</difficult>"),
        an_object((2, 2, 8, 8), more="<difficult>Unspecified</difficult>"),
    )
    assert dataset.images[0].gt.ignore.tolist() == [True, False, True]
    (finding,) = dataset.findings
    assert "'Unspecified'" in finding.what
    assert "a.xml: line 4" in finding.where


def test_difficult_objects_are_what_the_trainers_own_readers_make_of_them(voc):
    dataset = voc(an_object((2, 2, 30, 30), more="<difficult>1</difficult>"), an_object((5, 5, 40, 35)))
    assert dataset.images[0].difficult
    assert dataset.images[0].with_gt(dataset.images[0].gt).difficult
    words = reactions(CROWD, dataset.format)
    assert set(words) == {name for name in presets.names() if not name.startswith("matterport")}
    for name in presets.names():
        preset = presets.load(name)
        gt = pipeline.run(inputs_of(dataset.images[0], (400, 500)), preset.params, preset.conventions).gt
        kept = name not in ("mmdetection", "py-faster-rcnn")
        assert gt.trained.tolist() == ([0, 1] if kept else [1])
        assert gt.ignored.tolist() == ([0] if name == "mmdetection" else [])
        if name in words:
            assert ("train" in words[name]) == kept, name
        columns = dataset.images.columns
        assert columns.left_out(preset.conventions).tolist() == [not kept, False]


@pytest.mark.parametrize(
    ("size", "kinds"),
    [
        ("", []),
        ("<size/>", []),
        ("<size><width>0</width><height>0</height></size>", []),
        ("<size><width>60.0</width><height>40</height></size>", []),
        ("<size><width>x</width><height>40</height></size>", ["size"]),
        ("<size><width>-60</width><height>40</height></size>", ["size"]),
    ],
)
def test_size_that_is_not_stated(voc, size, kinds):
    dataset = voc(an_object(), size=size)
    assert [finding.kind for finding in dataset.findings] == kinds
    assert dataset.images[0].size in (None, (40, 60))
    assert dataset.images[0].gt.boxes.tolist() == [[10, 5, 30, 15]]


def test_file_name_tag_that_lies(voc, make_image):
    make_image("JPEGImages/other.png")
    dataset = voc(an_object(), filename="other.png")
    assert dataset.images[0].path.name == "a.png"
    (finding,) = dataset.findings
    assert (finding.severity, finding.kind) == ("note", "file name tag")


def test_image_with_the_name_of_the_tag_alone(voc, make_image, tmp_path):
    voc(an_object())
    make_image("JPEGImages/other.png")
    (tmp_path / "JPEGImages" / "a.png").unlink()
    dataset = voc_again(tmp_path, "other.png")
    assert dataset.images[0].path.name == "other.png"
    assert [(finding.severity, finding.kind) for finding in dataset.findings] == [("warning", "file name tag")]


def voc_again(folder, filename):
    path = folder / "Annotations" / "a.xml"
    path.write_text(path.read_text().replace("a.png", filename))
    return open_dataset([folder])


def test_missing_image(voc, tmp_path):
    voc(an_object())
    (tmp_path / "JPEGImages" / "a.png").unlink()
    dataset = open_dataset([tmp_path])
    assert [finding.kind for finding in dataset.findings] == ["missing image"]
    assert len(dataset.images[0].gt) == 1


@pytest.mark.parametrize(
    ("element", "named"),
    [
        ("<object><name>cat</name></object>", "no 'bndbox'"),
        (an_object(("x", 6, 30, 15)), "'x'"),
        ("<object><name>cat</name><bndbox><xmin>1</xmin></bndbox></object>", "missing"),
        (an_object((30, 6, 11, 15)), "x2 11 where at least x1 30"),
        (an_object(("NaN", 6, 30, 15)), "not finite"),
    ],
)
def test_bad_boxes_stay(voc, element, named):
    dataset = voc(an_object(), element)
    (finding,) = dataset.findings
    assert (finding.severity, finding.image, finding.gt) == ("error", 0, 1)
    assert named in finding.what
    assert finding.where == "Annotations: a.xml: line 3"
    assert len(dataset.images[0].gt) == 2


def test_broken_files_keep_what_stands_before(voc, tmp_path):
    voc(an_object(), an_object((2, 2, 9, 9)))
    path = tmp_path / "Annotations" / "a.xml"
    text = path.read_text()
    path.write_text(text[: text.rindex("<xmax>")])
    dataset = open_dataset([tmp_path])
    assert dataset.images[0].gt.boxes.tolist() == [[10, 5, 30, 15]]
    (finding,) = dataset.findings
    assert (finding.severity, finding.kind, "no element found" in finding.what) == ("error", "broken file", True)


BOMB = (
    '<!DOCTYPE annotation [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + k)} "{("&" + chr(97 + k) + ";") * 10}">' for k in range(9))
    + "]><annotation><filename>&j;</filename></annotation>"
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><filename>&x;</filename></annotation>',
        '<?xml version="1.0" encoding="no-such-encoding"?><annotation/>',
        "",
        "<html/>",
    ],
)
def test_hostile_files_are_refused(tmp_path, text):
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(AnnotationError):
        open_dataset([path])


def test_deep_nesting(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text("<annotation>" + "<x>" * 100_000)
    assert "nested deeper" in " ".join(finding.what for finding in open_dataset([path]).findings)


def test_hostile_file_among_others(voc, tmp_path):
    voc(an_object())
    (tmp_path / "Annotations" / "b.xml").write_text(BOMB)
    dataset = open_dataset([tmp_path])
    assert [record.file_name for record in dataset.images] == ["a.png"]
    assert {finding.kind for finding in dataset.findings} == {"broken file", "file"}
    assert any("entities" in finding.what for finding in dataset.findings)
