"""Export picture…: what to draw, a preview, and where to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage, QPixmap
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from rpnviz.app.messages import Message, Severity, from_error
from rpnviz.app.state import AppState
from rpnviz.drawing.scene import World
from rpnviz.errors import RpnvizError
from rpnviz.export.picture import Stage, render_picture, save_picture
from rpnviz.palette import Theme

_STAGES = (
    (Stage.LABELS, "Labels: positive and forced anchors"),
    (Stage.GT, "Ground truth alone"),
    (Stage.ANCHORS, "All anchors as density"),
    (Stage.PROPOSALS, "Proposals before NMS"),
    (Stage.KEPT, "Proposals after NMS"),
)
_PREVIEW = (480, 360)


class ExportDialog(QDialog):
    """The same picture that ``rpnviz render`` makes, of the state on the screen."""

    def __init__(self, state: AppState, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export picture")
        self._state = state
        self.stage = QComboBox()
        self.stage.setAccessibleName("What to draw")
        has_model = state.shown is not None and state.shown.model is not None
        for stage, text in _STAGES:
            if stage in (Stage.PROPOSALS, Stage.KEPT) and not has_model:
                continue
            self.stage.addItem(text, stage)
        if state.world is World.MODEL and has_model:
            self.stage.setCurrentIndex(self.stage.findData(Stage.KEPT))
        self.theme = QComboBox()
        self.theme.setAccessibleName("Colours")
        self.theme.addItem("Dark", Theme.DARK)
        self.theme.addItem("Light, for paper", Theme.LIGHT)
        self.theme.setCurrentIndex(self.theme.findData(theme))
        self.preview = QLabel()
        self.preview.setFixedSize(*_PREVIEW)
        self.preview.setAlignment(Qt.AlignmentFlag.AlignCenter)
        form = QFormLayout()
        form.addRow("Draw", self.stage)
        form.addRow("Colours", self.theme)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel)
        self.buttons.accepted.connect(self._on_save)
        self.buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.preview)
        layout.addWidget(self.buttons)
        self.stage.currentIndexChanged.connect(lambda _i: self._show())
        self.theme.currentIndexChanged.connect(lambda _i: self._show())
        self._picture: np.ndarray | None = None
        self._show()

    def _show(self) -> None:
        # A combo box gives enumerations back as plain strings.
        self._picture = picture_of(self._state, Stage(self.stage.currentData()), Theme(self.theme.currentData()))
        height, width = self._picture.shape[:2]
        image = QImage(np.ascontiguousarray(self._picture).data, width, height, 3 * width, QImage.Format.Format_RGB888)
        pixmap = QPixmap.fromImage(image.copy())
        self.preview.setPixmap(
            pixmap.scaled(*_PREVIEW, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation)
        )

    def _on_save(self) -> None:
        record = self._state.record
        assert record is not None
        name = f"{Path(record.file_name).stem}_{self.stage.currentData()}.png"
        path, _ = QFileDialog.getSaveFileName(self, "Export picture", name, "PNG picture (*.png)")
        if path:
            self.save(Path(path))

    def save(self, path: Path) -> None:
        """Write the picture and close; a failure is told and leaves the dialog open."""
        if not path.suffix:
            path = path.with_suffix(".png")
        assert self._picture is not None
        try:
            save_picture(path, self._picture)
        except RpnvizError as error:
            self._state.tell(from_error("Could not export", error))
            return
        self._state.tell(Message(Severity.INFO, f"Saved {path}"))
        self.accept()


def picture_of(state: AppState, stage: Stage, theme: Theme) -> np.ndarray:
    """The annotated picture of what is shown, (h, w, 3) uint8 RGB."""
    assert state.shown is not None
    assert state.loaded is not None
    assert state.record is not None
    model_stage = stage in (Stage.PROPOSALS, Stage.KEPT)
    result = state.shown.model if model_stage else state.shown.training
    assert result is not None
    return render_picture(
        state.loaded.pixels,
        result,
        stage,
        file_name=state.record.file_name,
        gt_names=state.gt_names,
        preset=state.preset,
        model_note=f"{state.model.name}, {state.model.note}" if model_stage and state.model else "",
        theme=theme,
    )
