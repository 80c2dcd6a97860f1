"""The exported picture: its resolution, what stands on it, and its file."""

from __future__ import annotations

import numpy as np
import pytest
from made import PRESET, grey, network_outputs, render, run

from rpnviz import __version__
from rpnviz.core import pipeline, presets
from rpnviz.core.matching import AnchorState
from rpnviz.datasets.base import load_image
from rpnviz.datasets.registry import sample_dataset
from rpnviz.drawing.scene import LayerKey, LayerOptions
from rpnviz.errors import ExportError
from rpnviz.export import picture as pictures
from rpnviz.export.look import MAX_PIXELS, Look, Stage, Subject
from rpnviz.export.picture import full_size, preview, render_picture
from rpnviz.export.strip import MIN_WIDTH, Piece, draw_strip, lay_out_strip
from rpnviz.imaging import cv2
from rpnviz.palette import Role, Theme, background, rgb


@pytest.fixture
def words(monkeypatch):
    """Everything that is written into the strips from here on."""
    found = []
    real = lay_out_strip

    def spy(paragraphs, *given):
        found.extend(piece.text for paragraph in paragraphs for piece in paragraph)
        return real(paragraphs, *given)

    monkeypatch.setattr(pictures, "lay_out_strip", spy)
    return found


@pytest.mark.parametrize("theme", Theme)
@pytest.mark.parametrize("stage", Stage)
def test_every_stage_of_a_made_up_image(stage, theme):
    outputs, params = network_outputs((160, 640))
    result = run((160, 640), [[20, 20, 90, 80], [300, 40, 420, 140]], outputs, params)
    image = grey(160, 640)
    picture = render(image, result, stage, gt_names=("Größe", "硬币"), theme=theme, model_note="test")
    assert picture.dtype == np.uint8
    assert picture.shape[1] == 640
    assert picture.shape[0] > 160 + 60
    assert (picture[160:, 0] == background(theme)).all()
    assert (picture[:160] == rgb(Role.GT, theme)).all(axis=2).any()


@pytest.mark.parametrize("stage", ["gt", "anchors", "labels"])
def test_the_samples(stage):
    dataset = sample_dataset()
    for record in dataset.images:
        loaded = load_image(record)
        result = run(loaded.size, record.gt.boxes, ignore=record.gt.ignore)
        names = [dataset.categories[label] for label in record.gt.labels.tolist()]
        picture = render(loaded.pixels, result, Stage(stage), file_name=record.file_name, gt_names=names)
        assert picture.shape[1] == max(loaded.size[1], MIN_WIDTH)


def test_the_photo_keeps_its_resolution():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (90, 700, 3), np.uint8)
    picture = render(image, run((90, 700)), Stage.GT, dim=0, saturation=1)
    np.testing.assert_array_equal(picture[:90], image)


@pytest.mark.parametrize("width", [1, 40, MIN_WIDTH - 1])
def test_a_narrow_image_stands_in_the_middle(width):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (30, width, 3), np.uint8)
    picture = render(image, run((30, width)), Stage.GT, dim=0, saturation=1)
    assert picture.shape[1] == MIN_WIDTH
    left = (MIN_WIDTH - width) // 2
    np.testing.assert_array_equal(picture[:30, left : left + width], image)
    assert (picture[:30, :left] == background(Theme.DARK)).all()


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("size", [(1, 1), (2000, 3), (3, 2500)])
def test_images_of_odd_sizes(stage, size):
    outputs, params = network_outputs(size)
    render(grey(*size), run(size, [[0, 0, size[1], size[0]]], outputs, params), stage)


@pytest.mark.parametrize("stage", Stage)
def test_no_box_broken_boxes_and_many_boxes(stage):
    outputs, params = network_outputs((96, 128))
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 90, (500, 2))
    many = np.concatenate([corners, corners + rng.uniform(2, 40, (500, 2))], axis=1)
    broken = [[np.nan] * 4, [50, 50, 20, 70], [5, 5, 5, 5], [-1e9, 4, 1e9, 9], [10, 10, 60, 60], [9000, 0, 9010, 9]]
    for boxes in ([], broken, many):
        render(grey(96, 128), run((96, 128), boxes, outputs, params), stage)


def test_large_pictures_have_larger_lines_and_text(monkeypatch):
    ratios = []
    real = pictures.paint
    monkeypatch.setattr(pictures, "paint", lambda *given: ratios.append(given[-1]) or real(*given))
    small = render(grey(100, 1000), run((100, 1000)), Stage.GT)
    large = render(grey(100, 4200), run((100, 4200)), Stage.GT)
    assert ratios == [1.0, 3.0]
    assert large.shape[0] > small.shape[0]


@pytest.mark.parametrize("stage", ["proposals", "kept"])
def test_without_a_model_there_are_no_proposals(stage):
    with pytest.raises(ExportError, match=r"model.*photo\.png"):
        render(grey(20, 20), run((20, 20)), Stage(stage))


def test_what_stands_on_the_picture_of_labels(words):
    result = run((303, 384), [[20, 20, 120, 110], [200, 40, 230, 70]])
    render(grey(303, 384), result, Stage.LABELS, file_name="münzen/1.png")
    text = "\n".join(words)
    counts = result.match.counts
    assert "münzen/1.png" in words
    assert "384 x 303 px, network input 1013 x 800 px, padded to 1024 x 800" in words
    assert f"Neutral (not trained on): {counts[AnchorState.NEUTRAL]:,}, not drawn" in words
    assert f"Negative: {counts[AnchorState.NEGATIVE]:,}, not drawn" in words
    assert "Ground truth: 2" in words
    assert "drawn (best 3 per GT)" in text
    assert f"Anchors: {len(result.anchors):,}" in words
    assert "Preset torchvision" in words
    assert "positive IoU ≥ 0.7" in words
    assert "negative IoU < 0.3" in words
    assert "Changed from the preset:" not in words


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("torchvision", {"negative IoU < 0.3", "ratios h/w 0.5 1 2"}),
        ("matterport", {"negative IoU < 0.3", "ratios w/h 0.5 1 2"}),
        ("keras-retinanet", {"negative IoU ≤ 0.4", "no mini-batch: all positives and negatives train"}),
    ],
)
def test_parameters_stand_there_in_the_trainers_terms(words, name, said):
    preset = presets.load(name)
    result = pipeline.run(pipeline.Inputs((60, 80), np.array([[10.0, 10, 50, 50]])), preset.params, preset.conventions)
    render_picture(Subject.of(grey(60, 80), result, "a.png", preset=preset), Look())
    assert said <= set(words)


def test_what_differs_from_the_preset_is_said(words):
    params = PRESET.params.with_values("match", fg_iou_thresh=0.5).with_values("proposals", nms_thresh=0.9)
    render(grey(60, 80), run((60, 80), [[10, 10, 50, 50]], params=params), Stage.LABELS)
    assert "match.fg_iou_thresh 0.7 → 0.5" in words
    assert not any("nms_thresh" in text for text in words), "it does not concern the labels"


def test_what_stands_on_the_picture_of_proposals(words):
    outputs, params = network_outputs((160, 640))
    params = params.with_values("proposals", nms_thresh=0.5)
    result = run((160, 640), [[20, 20, 90, 80]], outputs, params)
    render(grey(160, 640), result, Stage.KEPT, model_note="Sample model, trained on synthetic shapes")
    assert "Sample model, trained on synthetic shapes" in words
    order = [words.index(text) for text in ("Model", "strides 4 8 16 32 64", "Preset torchvision", "NMS IoU 0.5")]
    assert order == sorted(order), "resize and anchors are the model's, the rest is the trainer's"
    assert f"Kept after NMS: 50 of {len(result.proposals.boxes):,} drawn (best 50)" in words
    assert sum(text.startswith("Kept after NMS") for text in words) == 1
    assert "proposals.nms_thresh 0.7 → 0.5" in words
    assert not any(text.startswith("resize.") for text in words), "the model's own resize is nobody's change"


def test_a_picture_on_which_the_trainer_stops_says_so(words):
    render(grey(96, 128), run((96, 128), [[10, 10, 60, 60], [5, 5, 5, 5]]), Stage.LABELS)
    assert any(text.startswith("The trainer stops with an error") for text in words)


def test_problems_and_boxes_that_are_not_trained_on_are_counted_apart(words):
    boxes = [[10, 10, 60, 60], [70, 70, 72, 72], [5, 5, 5, 5]]
    render(grey(96, 128), run((96, 128), boxes), Stage.GT)
    assert "Ground truth: 1" in words
    assert "Ground truth with a problem: 1" in words
    assert "Ground truth not trained on: 1" in words


def test_all_boxes_are_drawn_when_asked(words):
    outputs, params = network_outputs((160, 640))
    result = run((160, 640), [[20, 20, 90, 80]], outputs, params)
    render(grey(160, 640), result, Stage.KEPT, show_all=True)
    assert f"Kept after NMS: {len(result.proposals.boxes):,}, as density" in words


def test_layers_can_be_given(words):
    result = run((96, 128), [[10, 10, 60, 60]])
    options = LayerOptions(frozenset({LayerKey.NEUTRAL}))
    render(grey(96, 128), result, Stage.LABELS, layers=options)
    assert "Ground truth: 1, not drawn" in words
    assert "Training targets" in words


def test_the_version_is_on_the_strip():
    layout = lay_out_strip([[Piece("a")]], 600)
    assert layout.words[-1].text == f"rpnviz {__version__}"
    assert (draw_strip(layout, Theme.DARK)[:, 400:] != background(Theme.DARK)).any()


@pytest.mark.parametrize("ratio", [1.0, 1.7, 3.0])
@pytest.mark.parametrize("width", [1, 560, 900])
def test_nothing_on_the_strip_is_cut_off(width, ratio):
    pieces = [Piece(f"{number} some words that belong together", role=role) for number, role in enumerate(Role)]
    long = Piece("word " * 200)
    name = Piece("a_name_without_any_space" * 30, bold=True, elide=True)
    unbroken = Piece("x" * 900)
    layout = lay_out_strip([[name, Piece("next")], pieces, [long], [], [unbroken]], width, ratio)
    strip = draw_strip(layout, Theme.LIGHT)
    pad = round(12 * ratio) - 2
    border = np.ones(strip.shape[:2], bool)
    border[pad:-pad, pad:-pad] = False
    assert (strip[border] == background(Theme.LIGHT)).all()
    assert strip.shape[1] == max(width, MIN_WIDTH)


# ---------------------------------------------------------------------- scale, part, overlay


def test_a_scale_makes_a_larger_picture_with_larger_text():
    result = run((303, 384), [[20, 20, 120, 110]])
    image = grey(303, 384)
    once, twice = (render(image, result, Stage.LABELS, scale=scale) for scale in (1, 2))
    assert once.shape[1] == MIN_WIDTH
    assert twice.shape[1] == 768
    bare = [render(image, result, Stage.LABELS, scale=scale, strip=False).shape for scale in (0.5, 1, 2, 3.3)]
    assert bare == [(152, 192, 3), (303, 384, 3), (606, 768, 3), (1000, 1267, 3)]
    assert twice.shape[0] - 606 > 0.9 * (once.shape[0] - 303), "the text is larger, the lines are longer"


def test_a_box_is_where_the_scale_puts_it():
    result = run((100, 700), [[100, 20, 300, 80]])
    for scale in (0.5, 1, 2.5):
        picture = render(grey(100, 700), result, Stage.GT, scale=scale, strip=False, dim=0, saturation=1)
        row = picture[round(50 * scale)]
        white = np.flatnonzero((row == 255).all(axis=1))
        assert white.min() == pytest.approx(100 * scale, abs=3)
        assert white.max() == pytest.approx(300 * scale, abs=3)


def test_a_part_of_the_image_shows_whole_pixels_and_says_so(words):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (90, 700, 3), np.uint8)
    picture = render(image, run((90, 700)), Stage.GT, crop=(10.4, 20, 650, 79.2), dim=0, saturation=1)
    np.testing.assert_array_equal(picture[:60], image[20:80, 10:650])
    assert any("part from 10, 20 to 650, 80" in text for text in words)


def test_a_part_is_that_of_the_whole_picture():
    result = run((200, 700), [[100, 20, 300, 150]])
    whole = render(grey(200, 700), result, Stage.LABELS, strip=False)
    part = render(grey(200, 700), result, Stage.LABELS, strip=False, crop=(90, 100, 310, 200))
    # Labels are placed for what is in view; below the box there are none.
    np.testing.assert_array_equal(part[60:], whole[160:200, 90:310])


@pytest.mark.parametrize(
    ("look", "says"),
    [
        ({"crop": (700, 0, 900, 50)}, "outside the image of 640 x 160"),
        ({"crop": (-9, -9, 0, 0)}, "outside the image"),
        ({"crop": (30, 10, 20, 50)}, "no area"),
        ({"crop": (0, 0, float("nan"), 50)}, "no area"),
        ({"scale": 0}, "scale is 0"),
        ({"scale": float("nan")}, "scale is nan"),
        ({"scale": 1000}, "allowed are 0.01 to 32"),
        ({"dim": 1.5}, "dim is 1.5"),
        ({"saturation": -1}, "saturation is -1"),
    ],
)
def test_what_cannot_be_drawn_is_said(look, says):
    with pytest.raises(ExportError, match=says):
        render(grey(160, 640), run((160, 640)), Stage.GT, **look)


def test_a_picture_of_too_many_pixels_is_refused():
    image = np.broadcast_to(np.uint8(0), (8000, 8000, 3))
    with pytest.raises(ExportError, match=f"{MAX_PIXELS:,}"):
        render(image, run((8000, 8000)), Stage.GT, scale=3)


def test_an_overlay_laid_on_the_photo_is_the_picture():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (160, 640, 3), np.uint8)
    result = run((160, 640), [[20, 20, 90, 80], [300, 40, 420, 140]])
    for stage in (Stage.LABELS, Stage.ANCHORS):
        overlay = render(image, result, stage, overlay=True)
        assert overlay.shape == (160, 640, 4)
        assert (overlay[..., 3] == 0).any() or stage is Stage.ANCHORS
        picture = render(image, result, stage, dim=0, saturation=1, strip=False)
        alpha = overlay[..., 3:] / 255
        laid = image * (1 - alpha) + overlay[..., :3] * alpha
        assert np.abs(laid - picture).max() <= 6, "up to roundings of colours that hardly cover"


def test_dimming_is_asked_for():
    image = grey(60, 600)
    dark = render(image, run((60, 600)), Stage.GT, dim=1, strip=False)
    assert (dark == background(Theme.DARK)).all()


@pytest.mark.parametrize("look", [{}, {"strip": False}, {"overlay": True}, {"scale": 2.5}, {"crop": (3, 3, 50, 40)}])
def test_the_size_is_known_before(look):
    result = run((96, 128), [[10, 10, 60, 60]])
    subject = Subject.of(grey(96, 128), result, "a.png", preset=PRESET)
    picture = render_picture(subject, Look(**look))
    assert full_size(subject, Look(**look)) == picture.shape[1::-1]


def test_a_preview_is_small_and_alike():
    result = run((600, 800), [[100, 100, 500, 400]])
    subject = Subject.of(grey(600, 800), result, "a.png", preset=PRESET)
    look = Look(scale=4, strip=False)
    small, full = preview(subject, look, 200_000), render_picture(subject, look)
    assert small.shape[0] * small.shape[1] <= 201_000
    shrunk = cv2.resize(full, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - shrunk).mean() < 12
    exact = preview(subject, Look(), 10**6)
    np.testing.assert_array_equal(exact, render_picture(subject, Look()))
