"""Saving boxes that were changed by hand, and the question before they would be lost."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMessageBox, QWidget

from rpnviz.app.jobs import Job
from rpnviz.app.messages import Message, Severity, from_error
from rpnviz.app.settings import Settings
from rpnviz.app.state import AppState
from rpnviz.export.coco_edits import Saved, save_coco
from rpnviz.ui.dialogs.save_as import ask_where

_FILTER = "COCO annotations (*.json)"


class BoxFiles:
    """Writes the boxes of the data set as they are by now."""

    def __init__(self, window: QWidget, state: AppState, settings: Settings) -> None:
        """``window`` is what dialogs belong to."""
        self._window, self._state, self._settings = window, state, settings
        state.leaving_asked.connect(self.ask)

    def save(self, then: Callable[[], None] = lambda: None) -> None:
        """Ask for a place and write all boxes there; ``then`` is called when they are written."""
        state = self._state
        dataset, edits = state.dataset, state.edits
        if dataset is None:
            state.tell(Message(Severity.INFO, "No boxes to save yet", "Open images first."))
            return
        name = f"{dataset.source.stem}_edited.json"
        path = ask_where(self._window, state, self._settings, "Save boxes as COCO", name, _FILTER, (".json",))
        if path is None:
            return

        def work(job: Job) -> Saved:
            return save_coco(dataset, path, job.progress)

        def done(saved: Saved) -> None:
            state.mark_saved(edits)
            severity = Severity.WARNING if saved.left_out else Severity.INFO
            state.tell(Message(severity, f"Wrote {path.name}", f"{_words(saved)} {path.parent}"))
            then()

        def failed(error: BaseException) -> None:
            state.tell(from_error("Could not save the boxes", error))

        state.jobs.submit(f"Writing {path.name}", work, done, failed)

    def ask(self, go_on: Callable[[], None]) -> None:
        """Boxes that no file has would be lost: save them, give them up, or stay."""
        count = self._state.unsaved_images
        box = QMessageBox(self._window)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setWindowTitle("Boxes are not saved")
        box.setIcon(QMessageBox.Icon.Question)
        box.setTextFormat(Qt.TextFormat.PlainText)
        box.setText("Save the boxes that were changed by hand?")
        noun = "image" if count == 1 else "images"
        box.setInformativeText(f"They are those of {count:,} {noun}, and no file has them.")
        save = box.addButton("Save…", QMessageBox.ButtonRole.AcceptRole)
        give_up = box.addButton("Discard", QMessageBox.ButtonRole.DestructiveRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.setDefaultButton(save)

        def chosen() -> None:
            if box.clickedButton() is save:
                self.save(go_on)
            elif box.clickedButton() is give_up:
                go_on()

        box.finished.connect(lambda _result: chosen())
        box.open()


def _words(saved: Saved) -> str:
    """``860,003 boxes of 118,287 images; 3 drawn, 1 changed, 1 deleted.``"""
    what = [(saved.added, "drawn"), (saved.changed, "changed"), (saved.removed, "deleted")]
    told = ", ".join(f"{count:,} {verb}" for count, verb in what if count)
    lines = [f"{saved.annotations:,} boxes of {saved.images:,} images" + (f"; {told}." if told else ".")]
    if saved.left_out:
        noun = "image is" if saved.left_out == 1 else "images are"
        lines.append(f"{saved.left_out:,} {noun} not in it, since they cannot be read and no file tells their size.")
    return " ".join(lines)
