"""Vector files are read back, and their boxes and texts compared with the result."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from made import PRESET, grey, network_outputs, run, subject
from pdf_reader import read_pdf

from rpnviz import __version__
from rpnviz.drawing.scene import LayerKey, LayerOptions, make_layers
from rpnviz.errors import ExportError
from rpnviz.export.look import Look, Stage, Subject, make_plan
from rpnviz.export.pdf import LONGEST_SIDE
from rpnviz.export.picture import render_picture
from rpnviz.export.save import Format, picture_bytes
from rpnviz.export.vector import MANY_BOXES, Text, make_drawing, size_warning
from rpnviz.imaging import cv2
from rpnviz.palette import Role, Theme, rgb

SVG = "{http://www.w3.org/2000/svg}"
INKSCAPE = "{http://www.inkscape.org/namespaces/inkscape}"
LINK = "{http://www.w3.org/1999/xlink}href"
BOXES = [[20, 20, 90, 80], [300.25, 40.5, 420.75, 140.125], [400, 20, 640, 160]]


def all_text(drawing):
    """Every text that is drawn, in order."""
    return [item.text for group in drawing.groups for item in group.items if isinstance(item, Text)]


def svg(made, **look):
    return ElementTree.fromstring(picture_bytes(Format.SVG, made, Look(**look)))


def pdf(made, **look):
    return read_pdf(picture_bytes(Format.PDF, made, Look(**look)))


def layer_groups(root):
    return [
        group
        for group in root.findall(f"{SVG}g")
        if group.get(f"{INKSCAPE}groupmode") == "layer" and group.get("id") not in ("photo", "labels", "strip")
    ]


def boxes_in(group):
    """(N, 4) xyxy and (N,) indices of the boxes of a group, in the file's order."""
    found, index = [], []
    for rect in group.iter():
        if rect.tag == f"{SVG}rect" and rect.get("data-index") is not None:
            x, y, w, h = (float(rect.get(name)) for name in ("x", "y", "width", "height"))
        elif rect.tag == f"{SVG}path" and rect.get("data-index") is not None:
            x, y, w, h = map(float, re.fullmatch(r"M(.+),(.+)h(.+)v(.+)", rect.get("d")).groups())
        else:
            continue
        found.append((x, y, x + w, y + h))
        index.append(int(rect.get("data-index")))
    return np.array(found).reshape(-1, 4), np.array(index, np.int64)


def texts_in(root):
    return [text.text for text in root.iter(f"{SVG}text")]


def layers_of(made, **look):
    return make_plan(made, Look(**look)).layers


# ---------------------------------------------------------------------- boxes


@pytest.mark.parametrize("stage", [Stage.GT, Stage.LABELS])
def test_svg_boxes_are_those_of_the_result(stage):
    made = subject((160, 640), BOXES)
    groups, layers = layer_groups(svg(made, stage=stage)), layers_of(made, stage=stage)
    assert len(groups) == len(layers)
    for group, layer in zip(groups, layers, strict=True):
        boxes, index = boxes_in(group)
        np.testing.assert_allclose(boxes, layer.boxes, atol=0.0011)
        np.testing.assert_array_equal(index, layer.ids)
        assert group.get(f"{INKSCAPE}label").startswith(layer.title)
    gt = run((160, 640), BOXES).inputs.gt_boxes
    found = {
        i: box for group in groups if group.get("id").startswith("gt") for box, i in zip(*boxes_in(group), strict=True)
    }
    np.testing.assert_allclose([found[i] for i in range(3)], gt, atol=0.0011)


@pytest.mark.parametrize("scale", [0.5, 1, 2.5])
def test_svg_boxes_of_a_scaled_part(scale):
    made = subject((160, 640), BOXES)
    groups = layer_groups(svg(made, stage=Stage.GT, scale=scale, crop=(280, 10, 640, 150), strip=False))
    boxes, index = (np.concatenate(parts) for parts in zip(*map(boxes_in, groups), strict=True))
    assert sorted(index.tolist()) == [1, 2], "what is out of view is not in the file"
    np.testing.assert_allclose(boxes / scale + [280, 10, 280, 10], np.array(BOXES)[index], atol=0.003)


def test_svg_proposals_are_those_of_the_result():
    outputs, params = network_outputs((160, 640))
    result = run((160, 640), BOXES, outputs, params)
    made = Subject.of(grey(160, 640), result, "a.png", preset=PRESET)
    group = next(g for g in layer_groups(svg(made, stage=Stage.KEPT)) if g.get("id").startswith("kept"))
    boxes, index = boxes_in(group)
    assert len(boxes) == 50
    np.testing.assert_array_equal(index, result.proposals.anchor_index[:50])
    expected = result.frame.to_original(result.proposals.boxes[:50])
    np.testing.assert_allclose(boxes, expected, atol=0.0011)


def styled_strokes(page, layer, theme=Theme.DARK):
    colour = rgb(layer.role, theme)
    return np.array([box for box, stroke, _ in page.strokes if stroke == colour])


@pytest.mark.parametrize("stage", [Stage.GT, Stage.LABELS])
def test_pdf_boxes_are_those_of_the_result(qapp, stage):
    made = subject((160, 640), BOXES)
    page = pdf(made, stage=stage, dim=0.2)
    for layer in layers_of(made, stage=stage):
        found = styled_strokes(page, layer)
        distance = np.abs(found[:, None] - layer.boxes[None]).max(axis=2)
        assert (distance.min(axis=0) < 1e-3).all(), layer.title


def test_pdf_boxes_of_a_scaled_part(qapp):
    made = subject((160, 640), BOXES)
    look = {"stage": Stage.GT, "scale": 2, "crop": (280, 10, 640, 150), "strip": False, "overlay": True}
    page = pdf(made, **look)
    assert (page.width, page.height) == (720, 280)
    assert page.images == 0
    expected = (np.array(BOXES)[1:] - [280, 10, 280, 10]) * 2
    lines = np.array([box for box, _, _ in page.strokes])
    assert (np.abs(lines[:, None] - expected[None]).max(axis=2).min(axis=0) < 1e-3).all()


@pytest.mark.parametrize("number", [2000, 0])
def test_many_boxes_and_none(qapp, number):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 400, (number, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(2, 60, (number, 2))], axis=1)
    made = subject((500, 500), boxes)
    root = svg(made, stage=Stage.GT)
    found = {i: box for group in layer_groups(root) for box, i in zip(*boxes_in(group), strict=True)}
    assert sorted(found) == list(range(number))
    if number:
        shift = [30, 0, 30, 0]  # the picture stands in the middle of the strip
        np.testing.assert_allclose([found[i] for i in range(number)], boxes + shift, atol=0.0011)
    page = pdf(made, stage=Stage.GT)
    lines = [box for box, _, _ in page.strokes if box[2] - box[0] > 1 and box[3] < 500]
    assert len(lines) >= number


def test_broken_boxes_are_drawn_as_far_as_they_make_sense(qapp):
    broken = [
        [np.nan] * 4,
        [50, 50, 20, 70],
        [5, 5, 5, 5],
        [-1e9, 4, 1e9, 9],
        [10, 10, np.inf, 60],
        [9000, 0, 9010, 9],
        [10, np.nan, 20, 30],
        [8, 8, 8, 40],
    ]
    made = subject((96, 128), broken)
    root = svg(made, stage=Stage.GT)
    found = {i: box for group in layer_groups(root) for box, i in zip(*boxes_in(group), strict=True)}
    left = (560 - 128) // 2
    assert sorted(found) == [1, 2, 3, 4, 7], "without a number, or out of view"
    np.testing.assert_allclose(found[1] - [left, 0, left, 0], [20, 50, 50, 70])
    np.testing.assert_allclose(found[2] - [left, 0, left, 0], [5, 5, 5, 5])
    assert np.isfinite(list(found.values())).all()
    assert b"nan" not in picture_bytes(Format.SVG, made, Look(stage=Stage.GT)).split(b"<g id=", 2)[2]
    assert pdf(made, stage=Stage.GT).strokes


@pytest.mark.parametrize("kind", [Format.SVG, Format.PDF])
@pytest.mark.parametrize("size", [(1, 1), (2000, 3), (3, 2500)])
def test_images_of_odd_sizes(qapp, kind, size):
    made = subject(size, [[0, 0, size[1], size[0]]])
    for look in (Look(), Look(strip=False, scale=0.1), Look(overlay=True, scale=3)):
        assert len(picture_bytes(kind, made, look)) > 500


# ---------------------------------------------------------------------- dense layers


def small_subject(size, boxes):
    """Without enlarging the image, so that there are some hundred anchors and not a quarter of a million."""
    return Subject.of(grey(*size), run(size, boxes, params=PRESET.params.with_values("resize", mode="none")), "a.png")


def test_a_dense_layer_is_an_image_unless_vectors_are_asked_for(qapp):
    made = small_subject((60, 80), [[10, 10, 50, 50]])
    anchors = make_layers(made.result, Stage.ANCHORS.world, Look(stage=Stage.ANCHORS).options)[0]
    group = layer_groups(svg(made, stage=Stage.ANCHORS))[0]
    assert group.get("id") == "everything-negative"
    assert len(boxes_in(group)[0]) == 0
    assert group.find(f"{SVG}image") is not None

    look = {"stage": Stage.ANCHORS, "dense_vectors": True, "strip": False}
    boxes, index = boxes_in(layer_groups(svg(made, **look))[0])
    assert len(boxes) > 1000
    np.testing.assert_allclose(boxes, anchors.boxes[index], atol=0.0011)
    # Every anchor with a side in view is there.
    x1, y1, x2, y2 = anchors.boxes.T
    upright = (((x1 > 0) & (x1 < 80)) | ((x2 > 0) & (x2 < 80))) & (y1 < 60) & (y2 > 0)
    level = (((y1 > 0) & (y1 < 60)) | ((y2 > 0) & (y2 < 60))) & (x1 < 80) & (x2 > 0)
    crosses = upright | level
    assert set(np.flatnonzero(crosses)) <= set(index.tolist())

    page = pdf(made, **look)
    colour = rgb(Role.NEGATIVE, Theme.DARK)
    frames = np.array([box for box, fill, _ in page.fills if fill == colour])
    middle = (frames[:, :2] + frames[:, 2:]) / 2
    assert len(frames) == len(boxes)
    np.testing.assert_allclose(middle, (boxes[:, :2] + boxes[:, 2:]) / 2, atol=0.002)
    np.testing.assert_allclose(frames[:, 2:] - frames[:, :2], boxes[:, 2:] - boxes[:, :2] + 0.5, atol=0.003)


def test_very_many_boxes_are_warned_of():
    made = subject((303, 384), [[20, 20, 120, 110]])
    for kind in (Format.SVG, Format.PDF):
        look = Look(stage=Stage.ANCHORS, dense_vectors=True)
        said = size_warning(made, look, kind)
        assert f"{len(made.result.anchors) + 1:,} boxes" in said
        assert f"{MANY_BOXES:,}" in said
        megabytes = float(re.search(r"about ([\d.]+) MB", said)[1])
        assert megabytes == pytest.approx(len(made.result.anchors) * {"svg": 82, "pdf": 40}[kind] / 1e6, abs=1)
    assert size_warning(made, Look(stage=Stage.ANCHORS), Format.SVG) == ""
    assert size_warning(made, Look(stage=Stage.ANCHORS, dense_vectors=True), Format.PNG) == ""
    assert size_warning(made, Look(dense_vectors=True), Format.SVG) == ""


# ---------------------------------------------------------------------- text


NAMES = ["Größe 硬币.png", "a & b <c> \"d\" 'e'.png", "]]>&amp;.png", "caf\udce9.png", "two\nlines.png"]


@pytest.mark.parametrize("name", NAMES)
def test_texts_can_be_read_from_svg(name):
    made = subject((160, 640), BOXES, file_name=name, gt_names=("<b>", "硬币 & Co", "c"))
    root = svg(made)
    texts = texts_in(root)
    assert name.replace("\udce9", "?").replace("\n", " ") in texts
    assert f"rpnviz {__version__}" in texts
    assert "Labels of the anchors" in texts
    assert any(text.startswith("Ground truth") for text in texts)
    assert any(text.startswith("positive IoU ≥ 0.7") for text in texts)
    assert any("<b>" in text for text in texts)
    assert any("硬币 & Co" in text for text in texts)
    assert texts == list(all_text(make_drawing(made, Look())))
    assert "positive IoU ≥ 0.7" in root.find(f"{SVG}desc").text
    for text in root.iter(f"{SVG}text"):
        assert float(text.get("textLength")) > 0, "another font keeps the width"


@pytest.mark.parametrize(
    "name", ["Größe.png", "flag office affine.png", 'a & b <c> "d" (e) \\f.png', "caf\udce9.png", "two\nlines.png"]
)
def test_texts_can_be_read_from_pdf(qapp, name):
    made = subject((160, 640), BOXES, file_name=name, gt_names=("<b>", "b", "c"))
    texts = pdf(made).texts
    for text in all_text(make_drawing(made, Look())):
        assert text in texts
    assert any(name.replace("\udce9", "?").replace("\n", " ") in text for text in texts)


def test_without_a_strip_there_is_none(qapp):
    made = subject((160, 640), BOXES)
    for look in ({"strip": False}, {"overlay": True}):
        root = svg(made, **look)
        assert (root.get("width"), root.get("height")) == ("640", "160")
        assert not any("IoU ≥" in text for text in texts_in(root))
        page = pdf(made, **look)
        assert (page.width, page.height) == (640, 160)
        assert not any("IoU" in text for text in page.texts)


def test_an_overlay_has_neither_photo_nor_ground():
    made = subject((160, 640), BOXES)
    root = svg(made, overlay=True)
    assert root.find(".//*[@id='photo']") is None
    assert root.find(".//*[@id='ground']") is None
    assert next(root.iter(f"{SVG}image"), None) is None
    whole = svg(made)
    assert whole.find(".//*[@id='photo']") is not None


# ---------------------------------------------------------------------- the file as a whole


def test_the_embedded_photo_is_the_dimmed_one_in_its_own_pixels():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (160, 640, 3), np.uint8)
    made = Subject.of(image, run((160, 640)), "a.png", preset=PRESET)
    root = svg(made, scale=3, dim=0, saturation=1, crop=(10, 20, 600, 100))
    photo = root.find(f".//*[@id='photo']/{SVG}image")
    data = base64.b64decode(photo.get(LINK).split(",")[1])
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(stored, image[20:100, 10:600])
    assert (photo.get("width"), photo.get("height")) == ("1770", "240")


def test_ids_are_unique_and_links_lead_somewhere():
    result = run((160, 640), [*BOXES, [5, 5, 5, 5]])
    made = Subject.of(grey(160, 640), result, "a.png", preset=PRESET)
    keys = frozenset({LayerKey.GT, LayerKey.POSITIVE, LayerKey.FORCED, LayerKey.NEUTRAL, LayerKey.NEGATIVE})
    root = svg(made, layers=LayerOptions(keys, keys, selected_gt=1, everything=True))
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for element in root.iter():
        link = element.get(LINK, "")
        if link.startswith("#"):
            assert link[1:] in ids
        clip = element.get("clip-path")
        assert clip is None or clip[5:-1] in ids
    assert any(group.get("opacity") for group in layer_groups(root)), "what is not selected is paler"


def test_the_whole_drawing_looks_like_the_pixels(qapp):
    from PySide6.QtGui import QImage, QPainter
    from PySide6.QtSvg import QSvgRenderer

    made = subject((160, 640), BOXES, gt_names=("a", "b", "c"))
    for look in (Look(), Look(stage=Stage.ANCHORS, theme=Theme.LIGHT), Look(layers=screen_options())):
        picture = render_picture(made, look)
        renderer = QSvgRenderer(picture_bytes(Format.SVG, made, look))
        assert renderer.isValid()
        image = QImage(picture.shape[1], picture.shape[0], QImage.Format.Format_RGB888)
        image.fill(0)
        painter = QPainter(image)
        renderer.render(painter)
        painter.end()
        drawn = np.frombuffer(image.constBits(), np.uint8).reshape(picture.shape[0], -1)
        drawn = drawn[:, : 3 * picture.shape[1]].reshape(picture.shape).astype(int)
        # Lines on the exact place instead of the pixel, and another font: alike from some distance.
        soft = [cv2.blur(np.ascontiguousarray(part, np.float32)[:160], (9, 9)) for part in (drawn, picture)]
        assert np.abs(soft[0] - soft[1]).mean() < 4


def screen_options():
    keys = frozenset({LayerKey.GT, LayerKey.POSITIVE, LayerKey.FORCED})
    return LayerOptions(keys, keys, selected_gt=1)


def test_a_page_that_no_program_would_open_is_made_smaller(qapp):
    page = pdf(subject((10, 2000), [[10, 1, 1500, 8]]), scale=16, strip=False)
    assert (page.width, page.height) == (LONGEST_SIDE, 72)
    assert any(box[2] == pytest.approx(1500 * 16 * LONGEST_SIDE / 32000, abs=0.1) for box, _, _ in page.strokes)


def test_a_system_without_fonts_is_told(qapp, monkeypatch):
    from PySide6.QtGui import QFontDatabase

    monkeypatch.setattr(QFontDatabase, "families", lambda: [])
    with pytest.raises(ExportError, match="no font is installed"):
        picture_bytes(Format.PDF, subject((10, 10)), Look())
