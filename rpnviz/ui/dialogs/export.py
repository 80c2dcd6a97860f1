"""Export picture…: what to draw, a preview, and where to."""

from __future__ import annotations

from dataclasses import dataclass
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
from rpnviz.app.state import AppState, Shown
from rpnviz.core.presets import Preset
from rpnviz.datasets.base import ImageRecord, LoadedImage
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

    def __init__(self, state: AppState, snapshot: Snapshot, theme: Theme, folder: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Export picture of {snapshot.record.file_name}")
        self._state = state
        self._snapshot = snapshot
        self._folder = folder
        self.stage = QComboBox()
        self.stage.setAccessibleName("What to draw")
        model = snapshot.shown.model
        has_model = model is not None and model.proposals is not None
        for stage, text in _STAGES:
            if stage.world is World.MODEL and not has_model:
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
        self._picture = self._snapshot.picture(Stage(self.stage.currentData()), Theme(self.theme.currentData()))
        height, width = self._picture.shape[:2]
        image = QImage(np.ascontiguousarray(self._picture).data, width, height, 3 * width, QImage.Format.Format_RGB888)
        pixmap = QPixmap.fromImage(image.copy())
        self.preview.setPixmap(
            pixmap.scaled(*_PREVIEW, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation)
        )

    def _on_save(self) -> None:
        name = f"{Path(self._snapshot.record.file_name).stem}_{self.stage.currentData()}.png"
        start = str(Path(self._folder) / name)
        path, _ = QFileDialog.getSaveFileName(self, "Export picture", start, "PNG picture (*.png)")
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


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What was on the screen when the dialog opened; another image may load meanwhile."""

    shown: Shown
    loaded: LoadedImage
    record: ImageRecord
    gt_names: tuple[str, ...]
    preset: Preset
    model_note: str

    @classmethod
    def of(cls, state: AppState) -> Snapshot | None:
        """The state's image and results; None if there are none that belong together."""
        if state.shown is None or state.loaded is None or state.record is None or state.computing:
            return None
        note = f"{state.model.name}, {state.model.note}" if state.model is not None else ""
        return cls(state.shown, state.loaded, state.record, state.gt_names, state.preset, note)

    def picture(self, stage: Stage, theme: Theme) -> np.ndarray:
        """The annotated picture, (h, w, 3) uint8 RGB."""
        in_model = stage.world is World.MODEL
        result = self.shown.model if in_model else self.shown.training
        assert result is not None
        return render_picture(
            self.loaded.pixels,
            result,
            stage,
            file_name=self.record.file_name,
            gt_names=self.gt_names,
            preset=self.preset,
            model_note=self.model_note if in_model else "",
            theme=theme,
        )
