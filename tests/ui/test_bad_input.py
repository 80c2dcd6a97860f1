"""Whatever the user opens: one message that names it, and the old view stands."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from support import open_image, settled

from rpnviz.core.matching import Rank
from rpnviz.imaging import write_png
from rpnviz.paths import sample_images


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "Größe 硬币.png"
    write_png(path, np.full((120, 160, 3), 90, np.uint8))
    return path


def coco(tmp_path, photo, annotations, **image):
    document = {
        "images": [{"id": 1, "file_name": photo.name, "width": 160, "height": 120, **image}],
        "categories": [{"id": 3, "name": "тест"}],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": 3, "bbox": box, "iscrowd": 0}
            for number, box in enumerate(annotations, 1)
        ],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def open_and_wait(window, qtbot, *paths):
    window.open_paths(list(paths))
    qtbot.waitUntil(lambda: settled(window) or bool(window.banner.messages), timeout=10000)
    qtbot.waitUntil(lambda: not window.state.jobs.running and not window.state.computing, timeout=10000)


def told(window):
    return "\n".join(f"{message.title} {message.detail}" for message in window.banner.messages)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.png", None),
        ("empty.png", b""),
        ("broken.png", b"\x89PNG\r\n\x1a\n broken"),
        ("text.jpg", b"this is no image"),
        ("cut.json", b'{"images": [{"id": 1, "file_name": "a.png"'),
        ("other.json", b'{"hello": 1}'),
        ("list.json", b"[1, 2]"),
        ("weights.safetensors", b"\x10\x00\x00\x00\x00\x00\x00\x00 no header"),
    ],
)
def test_an_unusable_file_is_named_and_the_old_view_stands(window, qtbot, tmp_path, name, content):
    open_image(window, qtbot, "coins.png")
    before, picture = window.state.shown, window.canvas.compose()
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    open_and_wait(window, qtbot, path)
    qtbot.waitUntil(lambda: bool(window.banner.messages), timeout=10000)
    assert name in told(window)
    assert window.banner.isVisible()
    assert window.state.shown is before
    assert window.state.record.file_name == "coins.png"
    np.testing.assert_array_equal(window.canvas.compose(), picture)


def test_one_broken_image_is_not_told_as_a_list_of_them(window, qtbot, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    open_and_wait(window, qtbot, tmp_path / "broken.png")
    assert "the image file is truncated or damaged" in told(window)
    assert "none of 1 images" not in told(window)


def test_a_cut_photo_in_the_list_leaves_the_shown_one(window, qtbot, tmp_path):
    for file in ("coins.png", "coffee.jpg"):
        shutil.copy(sample_images() / file, tmp_path / file)
    data = (tmp_path / "coffee.jpg").read_bytes()
    (tmp_path / "coffee.jpg").write_bytes(data[:100])
    open_and_wait(window, qtbot, tmp_path / "coins.png", tmp_path / "coffee.jpg")
    names = [record.file_name for record in window.state.dataset.images]
    open_image(window, qtbot, "coins.png")
    window.banner.dismiss()
    window.state.show_image(names.index("coffee.jpg"))
    qtbot.waitUntil(lambda: bool(window.banner.messages), timeout=5000)
    assert "coffee.jpg" in told(window)
    assert window.state.record.file_name == "coins.png"
    assert names[window.images.list.currentIndex().row()] == "coins.png"


def test_stepping_passes_over_broken_images_and_says_so(window, qtbot, tmp_path):
    for number in (1, 4):
        write_png(tmp_path / f"{number}.png", np.zeros((30, 40, 3), np.uint8))
    for number in (2, 3):
        (tmp_path / f"{number}.png").write_bytes(b"no image")
    open_and_wait(window, qtbot, tmp_path)
    assert window.state.record.file_name == "1.png"
    window.banner.dismiss()
    qtbot.keyClick(window, Qt.Key.Key_PageDown)
    qtbot.waitUntil(lambda: window.state.record.file_name == "4.png" and settled(window), timeout=5000)
    assert len(window.banner.messages) == 1
    assert "2.png" in told(window)
    assert "3.png" in told(window)
    qtbot.keyClick(window, Qt.Key.Key_PageUp)
    qtbot.waitUntil(lambda: window.state.record.file_name == "1.png" and settled(window), timeout=5000)


def test_broken_boxes_stay_in_the_table_and_are_explained(window, qtbot, tmp_path, photo):
    boxes = [[10, 10, 60, 60], [20, 20, -30, 40], [50, 50, 0, 10], [500, 500, 20, 20]]
    open_and_wait(window, qtbot, coco(tmp_path, photo, boxes))
    assert window.state.record.file_name == photo.name
    assert window.table.model.rowCount() == 4
    ranks = window.state.shown.training.match.ranks
    assert ranks[1] is ranks[2] is Rank.NOT_TRAINED
    assert "annotation 2" in told(window)
    assert "annotation 3" in told(window)
    assert window.state.gt_names == ("тест",) * 4


def test_not_a_number_in_a_box(window, qtbot, tmp_path, photo):
    path = coco(tmp_path, photo, [[10, 10, 60, 60], [float("nan"), 20, 30, 40]])
    assert "NaN" in path.read_text(encoding="utf-8")
    open_and_wait(window, qtbot, path)
    assert window.state.shown.training.match.ranks[1] is Rank.NOT_TRAINED
    assert "annotation 2" in told(window)


def test_an_annotation_without_its_image_says_so(window, qtbot, tmp_path, photo):
    path = coco(tmp_path, photo, [[10, 10, 60, 60]])
    photo.unlink()
    before = window.state.shown
    open_and_wait(window, qtbot, path)
    qtbot.waitUntil(lambda: bool(window.banner.messages), timeout=5000)
    assert photo.name in told(window)
    assert window.state.shown is before


def test_a_plain_image_has_no_boxes_and_says_what_that_means(window, qtbot, photo):
    open_and_wait(window, qtbot, photo)
    assert window.state.record.file_name == photo.name
    assert "No boxes: every anchor is negative here" in window.selection.verdict.text()
    assert window.table.model.rowCount() == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2400, 3000)])
def test_images_of_any_size(window, qtbot, tmp_path, size):
    path = tmp_path / "odd.png"
    write_png(path, np.zeros((*size, 3), np.uint8))
    open_and_wait(window, qtbot, path)
    assert window.state.loaded.size == size
    window.canvas.compose()
    window.canvas.zoom_to(30)
    window.canvas.compose()


def test_five_hundred_boxes(window, qtbot, tmp_path, photo):
    rng = np.random.default_rng(0)
    boxes = np.concatenate([rng.uniform(0, 120, (500, 2)), rng.uniform(2, 40, (500, 2))], axis=1)
    open_and_wait(window, qtbot, coco(tmp_path, photo, boxes.tolist()))
    assert window.table.model.rowCount() == 500
    window.canvas.compose()


def test_a_dropped_file_opens(window, qtbot, photo):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(photo))])
    event = QDropEvent(
        QPointF(50, 50),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    window.dropEvent(event)
    qtbot.waitUntil(lambda: window.state.record.file_name == photo.name and settled(window), timeout=5000)


def test_reload_reads_changed_annotations_and_keeps_the_selection(window, qtbot, tmp_path, photo):
    from rpnviz.app.viewing import Selection

    path = coco(tmp_path, photo, [[10, 10, 60, 60], [70, 20, 50, 50]])
    open_and_wait(window, qtbot, path)
    window.state.select(Selection(gt=1))
    coco(tmp_path, photo, [[10, 10, 60, 60], [70, 20, 50, 50], [5, 80, 30, 30]])
    qtbot.keyClick(window, Qt.Key.Key_F5)
    qtbot.waitUntil(lambda: window.table.model.rowCount() == 3 and settled(window), timeout=5000)
    assert window.state.selection.gt == 1


def test_reload_stays_at_the_image_among_others_of_its_name(window, qtbot, tmp_path, photo):
    other = tmp_path / "other" / photo.name
    other.parent.mkdir()
    shutil.copy(photo, other)
    open_and_wait(window, qtbot, photo, other)
    window.state.step_image(1)
    qtbot.waitUntil(lambda: window.state.index == 1 and settled(window), timeout=5000)
    before = window.state.dataset
    qtbot.keyClick(window, Qt.Key.Key_F5)
    qtbot.waitUntil(lambda: window.state.dataset is not before and settled(window), timeout=5000)
    assert (window.state.index, window.state.record.path) == (1, other)


def test_a_data_set_without_any_image_is_one_message(window, qtbot, tmp_path):
    document = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 9, "height": 9} for n in range(300)],
        "annotations": [],
        "categories": [],
    }
    path = tmp_path / "lost.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    before = window.state.shown
    open_and_wait(window, qtbot, path)
    qtbot.waitUntil(lambda: bool(window.banner.messages), timeout=10000)
    assert len(window.banner.messages) == 1
    assert "300" in told(window)
    assert window.state.shown is before
    window.banner.dismiss()
    window.do_reload()  # of the samples, which are what is shown
    qtbot.waitUntil(lambda: settled(window), timeout=10000)
    assert window.state.record.file_name == "astronaut.jpg"
    assert window.banner.messages == []


def test_thousands_of_boxes_follow_the_slider_and_the_table_follows_the_hand(empty_window, qtbot, tmp_path):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 560, (900, 2)).tolist()
    boxes = [[x, y, 12 + number % 60, 12 + number % 47] for number, (x, y) in enumerate(corners)]
    annotations = [{"id": number + 1, "image_id": 1, "category_id": 1, "bbox": box} for number, box in enumerate(boxes)]
    image = {"id": 1, "file_name": "crowd.png", "width": 640, "height": 640}
    write_png(tmp_path / "crowd.png", np.full((640, 640, 3), 90, np.uint8))
    document = {"images": [image], "categories": [{"id": 1, "name": "pole"}], "annotations": annotations}
    (tmp_path / "crowd.json").write_text(json.dumps(document))
    empty_window.state.open_paths([tmp_path], tmp_path / "crowd.json")
    qtbot.waitUntil(lambda: empty_window.state.settled, timeout=10000)
    table = empty_window.table
    assert table.model.rowCount() == 900
    for threshold in (0.6, 0.5, 0.4):
        empty_window.controls.matching.thresholds.slider.setValue((0.3, threshold))
    match = empty_window.state.shown.training.match
    assert match.ranks.count(Rank.MATCHED) > 0
    qtbot.waitUntil(lambda: table.model.problems == frozenset(match.problems()), timeout=2000)
    assert f"{match.ranks.count(Rank.MATCHED):,} matched" in table.summary.text()
