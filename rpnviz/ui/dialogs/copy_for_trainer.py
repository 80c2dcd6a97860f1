"""The parameters as a trainer's own configuration, to copy or to save."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontDatabase, QGuiApplication
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHBoxLayout,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)

from rpnviz.app.messages import Message, Severity, from_error
from rpnviz.app.state import AppState
from rpnviz.configs.documents import Kind
from rpnviz.configs.exporting import Export, export_config
from rpnviz.configs.registry import format_named, names
from rpnviz.core.presets import Preset
from rpnviz.errors import RpnvizError
from rpnviz.files import write_whole
from rpnviz.ui.widgets.basics import label, set_kind

_SUFFIX = {Kind.YAML: ".yaml", Kind.INI: ".ini", Kind.PYTHON: ".py", Kind.JSON: ".json"}


class CopyForTrainerDialog(QDialog):
    """Choice of the trainer, the text, and what would be different there."""

    def __init__(self, state: AppState, folder: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = state
        self._folder = folder
        self._export = Export("", "", (), ())
        self.setWindowTitle("Copy for trainer")
        self.resize(820, 600)
        self.trainer = QComboBox()
        self.trainer.addItems(names())
        self.trainer.setAccessibleName("Trainer to write for")
        self.trainer.setToolTip("Whose configuration to write")
        own = [name for name in names() if state.preset.name in format_named(name).presets]
        self.trainer.setCurrentText(own[0] if own else "detectron2")
        caption = label("&For")
        caption.setTextFormat(Qt.TextFormat.AutoText)
        caption.setBuddy(self.trainer)
        self.verdict = label("", "muted", wrap=True)
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.text.setAccessibleName("The configuration")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        self.copy = buttons.addButton("Copy", QDialogButtonBox.ButtonRole.AcceptRole)
        self.save = buttons.addButton("Save…", QDialogButtonBox.ButtonRole.ActionRole)
        self.copy.setDefault(True)
        buttons.rejected.connect(self.reject)
        self.copy.clicked.connect(self._on_copy)
        self.save.clicked.connect(self._on_save)
        row = QHBoxLayout()
        row.addWidget(caption)
        row.addWidget(self.trainer)
        row.addSpacing(8)
        row.addWidget(self.verdict, 1)
        layout = QVBoxLayout(self)
        layout.addLayout(row)
        layout.addWidget(self.text, 1)
        layout.addWidget(buttons)
        self.trainer.currentTextChanged.connect(lambda _name: self._show())
        self._show()

    def _show(self) -> None:
        state = self._state
        source = Preset(state.preset.name, state.params, state.preset.conventions)
        self._export = export = export_config(source, self.trainer.currentText(), state.config)
        refused = bool(export.refusals)
        if refused:
            lines = [f"{number}. {refusal}" for number, refusal in enumerate(export.refusals, 1)]
            lines.append(
                "\nTo see what that trainer does with the rest, choose it in the toolbar; or change these values."
            )
            self.text.setPlainText("\n".join(lines))
            self.verdict.setText(f"Not written: {export.framework} cannot be told this.")
        else:
            self.text.setPlainText(export.text)
            same = "Read again, it gives these parameters."
            count = len(export.remarks)
            others = f" {count} {'thing is' if count == 1 else 'things are'} different there: see the comments."
            self.verdict.setText(same + (others if count else ""))
        self.text.setLineWrapMode(
            QPlainTextEdit.LineWrapMode.WidgetWidth if refused else QPlainTextEdit.LineWrapMode.NoWrap
        )
        set_kind(self.verdict, "title" if refused else "muted")
        self.copy.setEnabled(not refused)
        self.save.setEnabled(not refused)

    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(self._export.text)
        self._state.tell(Message(Severity.INFO, f"Copied the configuration for {self._export.framework}"))
        self.accept()

    def _on_save(self) -> None:
        framework = self._export.framework
        suggested = Path(self._folder) / f"{framework}{_SUFFIX[format_named(framework).kind]}"
        file, _ = QFileDialog.getSaveFileName(self, "Save the configuration", str(suggested))
        if not file:
            return
        try:
            write_whole(file, self._export.text.encode())
        except RpnvizError as error:
            self._state.tell(from_error("Could not save the configuration", error))
            return
        self._state.tell(Message(Severity.INFO, f"Saved {Path(file).name}"))
        self.accept()
