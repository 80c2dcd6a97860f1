"""The line above the picture while boxes are edited: category, numbers and what is not saved."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QSignalBlocker, Qt
from PySide6.QtGui import QKeyEvent, QKeySequence, QResizeEvent
from PySide6.QtWidgets import QCheckBox, QComboBox, QCompleter, QDoubleSpinBox, QFrame, QHBoxLayout

from rpnviz.app.box_shapes import MIN_SIDE
from rpnviz.app.editing import Editing
from rpnviz.app.state import AppState
from rpnviz.ui.widgets.basics import label, tool_button

_ROOM_FOR_NUMBERS, _ROOM_FOR_WORDS = 700, 440
"""Widths of the bar from which the numbers of the box, and what is not saved, have room, px."""
_KEYS = (
    "Drag: draw a box, or move the selected one or its sides\nCtrl+drag: draw inside the selected one\n"
    "Alt while dragging: hundredths of a pixel\nSpace+drag, middle button: pan\n"
    "Arrows: move by 1 px, Shift by 10, Ctrl its lower right corner\nIns: a copy of the selected one, or a new one"
)
_FAR = 1e7
"""Beyond every image, px."""


class EditBar(QFrame):
    """Shows the selected box in numbers that can be changed; hidden while boxes are only looked at."""

    def __init__(self, state: AppState, editing: Editing) -> None:
        super().__init__()
        self.setObjectName("bar")
        self._state, self._editing = state, editing
        self._listed: tuple[str, ...] = ()
        self.category = QComboBox()
        self.category.setEditable(True)
        self.category.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.category.setMinimumContentsLength(8)
        self.category.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.category.setAccessibleName("Category")
        self.category.setToolTip("Category of the selected box and of the next ones; a new name makes a new category")
        self.category.activated.connect(lambda _index: self._take_category())
        line = self.category.lineEdit()
        assert line is not None
        line.editingFinished.connect(lambda: self._take_category() if line.isModified() else None)
        completer = self.category.completer()
        assert completer is not None
        # Completed in place, "co" could not be typed where there is "coin", nor "Coin".
        completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseSensitive)
        self.numbers = [
            _number(name, tip)
            for name, tip in (
                ("x", "Left side, px of the original image"),
                ("y", "Upper side, px of the original image"),
                ("w", "Width, px of the original image"),
                ("h", "Height, px of the original image"),
            )
        ]
        for spin in self.numbers:
            spin.valueChanged.connect(lambda _value, spin=spin: self._take_number(spin))
        self.ignored = QCheckBox("Ignore")
        self.ignored.setToolTip("A crowd or ignore region: the trainer's rules for these apply")
        self.ignored.clicked.connect(editing.set_ignored)
        self.delete = tool_button("Delete", "flat", "Delete the selected boxes (Del)", editing.delete)
        self.words = label("", "muted")
        self.save = tool_button("Save…", "chip", "Write all boxes as COCO JSON (Ctrl+Alt+S); no file is overwritten")
        self.done = tool_button("Done", "chip", "Stop editing (E)", lambda: editing.set_on(False))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 3, 8, 3)
        layout.setSpacing(4)
        layout.addWidget(self.category)
        self._numbers = QFrame()
        row = QHBoxLayout(self._numbers)
        row.setContentsMargins(4, 0, 0, 0)
        row.setSpacing(4)
        for spin in self.numbers:
            row.addWidget(spin)
        layout.addWidget(self._numbers)
        layout.addWidget(self.ignored)
        layout.addWidget(self.delete)
        layout.addStretch(1)
        layout.addWidget(self.words)
        layout.addWidget(self.save)
        layout.addWidget(self.done)
        self.setMinimumWidth(1)
        for field in (self.category, *self.numbers):
            field.installEventFilter(self)
        editing.changed.connect(self._show)
        state.result_changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        editing = self._editing
        self.setVisible(editing.on)
        if not editing.on:
            return
        gt = editing.selected
        box = editing.box(gt) if gt is not None else None
        line = self.category.lineEdit()
        with QSignalBlocker(self.category):
            if self._listed != editing.categories:
                self._listed = editing.categories
                self.category.clear()
                self.category.addItems(list(editing.categories))
            if line is None or not (line.hasFocus() and line.isModified()):
                self.category.setCurrentIndex(self.category.findText(editing.category, Qt.MatchFlag.MatchExactly))
                self.category.setEditText(editing.category)
        values = (None,) * 4 if box is None else (box[0], box[1], box[2] - box[0], box[3] - box[1])
        for spin, value in zip(self.numbers, values, strict=True):
            spin.show_value(value)
        self.ignored.setEnabled(gt is not None)
        self.ignored.setChecked(gt is not None and editing.ignored(gt))
        many = self._state.selection.many
        self.delete.setEnabled(gt is not None or (many is not None and len(many.gts) > 0))
        count = self._state.unsaved_images
        self.words.setText(f"{count:,} unsaved" if count else "Saved" if self._state.edits else "Drag to draw")
        noun = "image has" if count == 1 else "images have"
        self.words.setToolTip(f"{count:,} {noun} boxes that no file has\n{_KEYS}" if count else _KEYS)
        self.save.setEnabled(self._state.record is not None)

    def _take_category(self) -> None:
        self._editing.set_category(self.category.currentText())
        line = self.category.lineEdit()
        if line is not None:
            line.setModified(False)
        self._show()  # an emptied field is none

    def _take_number(self, spin: _Number) -> None:
        """Move the box by the number that was changed alone: a file may have the others finer than they are shown."""
        gt = self._editing.selected
        box = self._editing.box(gt) if gt is not None else None
        if gt is None or box is None:
            return
        x1, y1, x2, y2 = box
        which, value = self.numbers.index(spin), spin.value()
        if which == 0:
            x1, x2 = value, x2 + value - x1
        elif which == 1:
            y1, y2 = value, y2 + value - y1
        elif which == 2:
            x2 = x1 + max(value, MIN_SIDE)
        else:
            y2 = y1 + max(value, MIN_SIDE)
        self._editing.move(gt, (x1, y1, x2, y2))
        self._show()  # a side that was too short was not taken

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Esc takes back what is being typed; undo is the text's only while there is some."""
        if not isinstance(event, QKeyEvent) or not isinstance(watched, (QComboBox, _Number)):
            return super().eventFilter(watched, event)
        typed = self._types(watched)
        if event.key() == Qt.Key.Key_Escape and typed:
            event.accept()  # the window's shortcut does not hear of it
            if event.type() == QEvent.Type.KeyPress:
                self._take_back(watched)
            return True
        undo = event.matches(QKeySequence.StandardKey.Undo) or event.matches(QKeySequence.StandardKey.Redo)
        if undo and not typed and event.type() == QEvent.Type.ShortcutOverride:
            event.ignore()
            return True
        return super().eventFilter(watched, event)

    def _types(self, field: QComboBox | _Number) -> bool:
        """Whether something was typed that is not taken yet."""
        if isinstance(field, _Number):
            return field.isEnabled() and field.cleanText() != field.textFromValue(field.value())
        return field.currentText() != self._editing.category

    def _take_back(self, field: QComboBox | _Number) -> None:
        if isinstance(field, _Number):
            field.setValue(field.value())
        else:
            field.setEditText(self._editing.category)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        width = event.size().width()
        self._numbers.setVisible(width >= _ROOM_FOR_NUMBERS)
        self.words.setVisible(width >= _ROOM_FOR_WORDS)


class _Number(QDoubleSpinBox):
    """Whole numbers without a point; nothing while there is no box."""

    def show_value(self, value: float | None) -> None:
        """Show a number of the selected box; None: there is none."""
        with QSignalBlocker(self):
            self.setEnabled(value is not None)
            if value is None:
                self.clear()
            elif round(value, self.decimals()) != self.value() or not self.cleanText():
                self.setValue(value)  # else what is being typed stays

    def textFromValue(self, value: float) -> str:
        return f"{value:.2f}".rstrip("0").rstrip(".")


def _number(name: str, tip: str) -> _Number:
    spin = _Number()
    spin.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
    spin.setRange(-_FAR, _FAR)
    spin.setDecimals(2)
    spin.setKeyboardTracking(False)
    spin.setPrefix(f"{name} ")
    spin.setFixedWidth(68)
    spin.setAccessibleName(tip.split(",")[0])
    spin.setToolTip(tip)
    return spin
