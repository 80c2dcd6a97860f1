"""README pictures: the real window on the samples, without a screen."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QSettings, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractItemView, QWidget

from rpnviz.app.viewing import Selection
from rpnviz.drawing.scene import World
from rpnviz.imaging import write_png
from rpnviz.palette import Theme
from rpnviz.ui.application import make_application, make_window
from rpnviz.ui.main_window import MainWindow
from tools.scenes import NAMES, make_scene

DOCS = Path(__file__).resolve().parents[1] / "docs"
_LARGE, _SCENES, _COUNTED = 118_287, 60, 2000
"""Images of the large data set, how many of them differ, and how many the list has counted in the picture."""


def wait(condition: Callable[[], bool]) -> None:
    """Run the event loop until something holds."""
    end = time.monotonic() + 120
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        make_application().processEvents()
        time.sleep(0.005)


def show(window: MainWindow, name: str) -> None:
    """Show one of the samples."""
    assert window.state.dataset is not None
    names = [record.file_name for record in window.state.dataset.images]
    window.state.show_image(names.index(name))
    wait(lambda: window.state.record is not None and window.state.record.file_name == name and window.state.settled)


def take(window: QWidget, path: Path) -> None:
    """Save what the window shows."""
    for _ in range(5):
        make_application().processEvents()
    path.parent.mkdir(parents=True, exist_ok=True)
    window.grab().save(str(path))
    print(path)


def draw(window: MainWindow, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw a box from corner to corner, original pixels, and hold it."""
    canvas = window.canvas
    window.editing.set_on(True)
    make_application().processEvents()
    begin, stop = (canvas._to_view(*corner).toPoint() for corner in (start, end))
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QTest.mousePress(canvas, left, none, begin)
    QTest.mouseMove(canvas, (begin + stop) / 2)
    QTest.mouseMove(canvas, stop)
    QTest.mouseRelease(canvas, left, none, stop)
    wait(lambda: window.state.settled and not window.state.boxes_wait and bool(window.selection.fixes.rows))
    wait(lambda: window.images.survey.counts.done == len(window.images.survey.counts.known))


def write_large(folder: Path) -> None:
    """A COCO data set of as many images as train2017: links to some scenes, with their ground truth."""
    scenes = [make_scene(seed) for seed in range(_SCENES)]
    (folder / "images").mkdir(parents=True)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, scene in enumerate(scenes):
        write_png(folder / f"{number}.png", scene.image)
    for number in range(_LARGE):
        name, scene = f"{number + 1:012d}.png", scenes[number % _SCENES]
        (folder / "images" / name).symlink_to(folder / f"{number % _SCENES}.png")
        height, width = scene.image.shape[:2]
        images.append({"id": number + 1, "file_name": name, "width": width, "height": height})
        for (x1, y1, x2, y2), label in zip(scene.boxes.tolist(), scene.labels.tolist(), strict=True):
            own = {"bbox": [x1, y1, x2 - x1, y2 - y1], "category_id": label + 1, "iscrowd": 0}
            annotations.append({"id": len(annotations) + 1, "image_id": number + 1} | own)
    categories = [{"id": label + 1, "name": name} for label, name in enumerate(NAMES)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances_train.json").write_text(json.dumps(document))


def take_large(window: MainWindow, home: Path, out: Path) -> None:
    """The list with 118,287 images, thumbnails and the images with boxes of a category, some way down."""
    write_large(home / "large")
    window.open_paths([home / "large" / "instances_train.json"])
    wait(lambda: window.state.dataset is not None and len(window.state.dataset.images) == _LARGE)
    wait(lambda: window.state.settled)
    images = window.images
    images.filter.setText("triangle")
    images.with_thumbnails.setChecked(True)
    place = int(images.list.model().rowCount() * 0.6)
    window.state.show_image(images.list.model().image_of(place))
    wait(lambda: window.state.settled and window.state.index == images.list.model().image_of(place))
    wait(lambda: images.survey.counts.done > _COUNTED)
    images.survey.stop()
    images.list.scrollTo(images.list.model().index(place - 2, 0), QAbstractItemView.ScrollHint.PositionAtTop)
    end = time.monotonic() + 2
    wait(lambda: time.monotonic() > end)  # the thumbnails in view are made
    take(window, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DOCS)
    parser.add_argument("--size", default="1280x800", help="width x height of the window")
    parser.add_argument("--light", action="store_true")
    parser.add_argument("--large", action="store_true", help="only large.png: the list of 118,287 images")
    arguments = parser.parse_args()
    width, height = (int(side) for side in arguments.size.split("x"))
    with tempfile.TemporaryDirectory() as home:
        QSettings.setPath(QSettings.Format.NativeFormat, QSettings.Scope.UserScope, home)
        os.environ["XDG_CONFIG_HOME"] = home
        make_application()
        window = make_window()
        window.resize(width, height)
        if arguments.light and window.settings.theme is Theme.DARK:
            window.do_toggle_theme()
        window.show()
        if arguments.large:
            take_large(window, Path(home), arguments.out / "large.png")
            window.close()
            return
        window.state.open_samples()
        wait(lambda: window.state.settled)
        show(window, "coins.png")
        wait(lambda: window.images.survey.counts.done == len(window.images.survey.counts.known))
        window.state.draw_again()  # the time that is shown is not that of the first call of all
        window.state.undo()
        wait(lambda: window.state.settled)
        window.state.select(Selection(gt=7))
        wait(lambda: bool(window.selection.fixes.rows))
        take(window, arguments.out / "training.png")
        window.state.set_preset("detectron2")
        window.do_usual_views()  # the strip comes with them
        wait(lambda: window.state.settled and bool(window.views.outcomes) and not window.views.busy)
        take(window, arguments.out / "views.png")
        window.do_toggle_views()
        window.state.set_preset("torchvision")
        wait(lambda: window.state.settled)
        window.state.select(Selection())
        window.state.set_world(World.MODEL)
        wait(lambda: window.state.result is not None and window.state.settled)
        wait(lambda: bool(window.player.gatherings) and None not in window.player.gatherings)
        take(window, arguments.out / "model.png")
        window.state.set_world(World.TRAINING)
        show(window, "coins.png")
        draw(window, (232, 196), (284, 222))
        take(window, arguments.out / "editing.png")
        window.do_undo()
        window.editing.set_on(False)
        wait(lambda: window.state.settled and not window.state.unsaved)
        show(window, "tiny_objects.png")
        window.do_compare()
        assert window.comparing is not None
        window.comparing.resize(width, height)
        comparison = window.comparing.comparison
        wait(lambda: comparison.settled)
        comparison.a.select(Selection(gt=9))
        take(window.comparing, arguments.out / "compare.png")
        window.close()


if __name__ == "__main__":
    main()
