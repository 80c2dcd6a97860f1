"""The exported picture: its resolution, what stands on it, and its file."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from rpnviz import __version__
from rpnviz.core import pipeline, presets
from rpnviz.core.inputs import LevelOutput, ModelSettings, RPNOutput
from rpnviz.core.matching import AnchorState
from rpnviz.datasets.base import load_image
from rpnviz.datasets.registry import sample_dataset
from rpnviz.drawing.scene import LayerKey, LayerOptions
from rpnviz.errors import ExportError
from rpnviz.export import picture as pictures
from rpnviz.export.picture import Stage, render_picture, save_picture
from rpnviz.export.strip import MIN_WIDTH, Piece, draw_strip
from rpnviz.imaging import read_image, write_png
from rpnviz.palette import Role, Theme, background, rgb

PRESET = presets.load("torchvision")


def run(size, boxes=(), outputs=None, params=PRESET.params, ignore=None):
    boxes = np.array(boxes, float).reshape(-1, 4)
    inputs = pipeline.Inputs(size, boxes, np.zeros(len(boxes), np.int64), ignore, outputs=outputs)
    return pipeline.run(inputs, params, PRESET.conventions)


def network_outputs(size):
    """A network that guesses, on the grids of the image without resizing."""
    params = PRESET.params.with_values("resize", mode="none")
    padded = tuple(-(-side // 32) * 32 for side in size)
    rng = np.random.default_rng(0)
    levels = []
    for stride in params.anchors.strides:
        grid = tuple(-(-side // stride) for side in padded)
        levels.append(
            LevelOutput(
                rng.normal(0, 2, (3, *grid)).astype(np.float32), rng.normal(0, 0.2, (3, 4, *grid)).astype(np.float32)
            )
        )
    settings = ModelSettings(params.resize, params.anchors, params.coder, PRESET.conventions)
    return RPNOutput(tuple(levels), size, padded, settings, "test"), params


def grey(height, width):
    return np.full((height, width, 3), 128, np.uint8)


def render(image, result, stage, **given):
    return render_picture(image, result, stage, **{"file_name": "photo.png", "preset": PRESET, **given})


@pytest.fixture
def words(monkeypatch):
    """Everything that is written into the strips from here on."""
    found = []
    real = draw_strip

    def spy(paragraphs, *given):
        found.extend(piece.text for paragraph in paragraphs for piece in paragraph)
        return real(paragraphs, *given)

    monkeypatch.setattr(pictures, "draw_strip", spy)
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
    render_picture(grey(60, 80), result, Stage.LABELS, file_name="a.png", preset=preset)
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
    assert "Model: Sample model, trained on synthetic shapes" in words
    assert f"Kept after NMS: 50 of {len(result.proposals.boxes):,} drawn (best 50)" in words
    assert sum(text.startswith("Kept after NMS") for text in words) == 1
    assert "proposals.nms_thresh 0.7 → 0.5" in words
    assert not any(text.startswith("resize.") for text in words), "the model's own resize is nobody's change"


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
    render(grey(96, 128), result, Stage.LABELS, options=options)
    assert "Ground truth: 1, not drawn" in words


def test_the_version_is_on_the_strip():
    with_version = draw_strip([[Piece("a")]], 600, Theme.DARK)
    assert (with_version[:, 400:] != background(Theme.DARK)).any()
    assert __version__


@pytest.mark.parametrize("ratio", [1.0, 1.7, 3.0])
@pytest.mark.parametrize("width", [1, 560, 900])
def test_nothing_on_the_strip_is_cut_off(width, ratio):
    pieces = [Piece(f"{number} some words that belong together", role=role) for number, role in enumerate(Role)]
    long = Piece("word " * 200)
    name = Piece("a_name_without_any_space" * 30, bold=True, elide=True)
    unbroken = Piece("x" * 900)
    strip = draw_strip([[name, Piece("next")], pieces, [long], [], [unbroken]], width, Theme.LIGHT, ratio)
    pad = round(12 * ratio) - 2
    border = np.ones(strip.shape[:2], bool)
    border[pad:-pad, pad:-pad] = False
    assert (strip[border] == background(Theme.LIGHT)).all()
    assert strip.shape[1] == max(width, MIN_WIDTH)


# ---------------------------------------------------------------------- files


def test_a_picture_is_written_and_read_back(tmp_path):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (30, 40, 3), np.uint8)
    path = tmp_path / "Größe 硬币.PNG"
    save_picture(path, picture)
    np.testing.assert_array_equal(read_image(path), picture)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["picture.jpg", "picture", "picture.png.bak", "picture.svg"])
def test_only_png_is_written(tmp_path, name):
    with pytest.raises(ExportError, match=r"PNG") as error:
        save_picture(tmp_path / name, grey(3, 3))
    assert name in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(ExportError, match="nowhere"):
        save_picture(tmp_path / "nowhere" / "picture.png", grey(3, 3))


def test_a_folder_that_may_not_be_written(tmp_path):
    # Nobody may write to /proc, root included; elsewhere a folder without the right to write does it.
    folder = Path("/proc") if sys.platform == "linux" else tmp_path
    tmp_path.chmod(0o500)
    with pytest.raises(ExportError, match="cannot be written"):
        save_picture(folder / "picture.png", grey(3, 3))
    tmp_path.chmod(0o700)


def test_a_failed_save_keeps_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    write_png(path, grey(5, 5))
    before = path.read_bytes()

    def refuse(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rpnviz.imaging.os.replace", refuse)
    with pytest.raises(ExportError, match="No space left"):
        save_picture(path, grey(9, 9))
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
