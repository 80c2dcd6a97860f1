"""Find a command by name."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import QDialog, QLineEdit, QListWidget, QListWidgetItem, QVBoxLayout, QWidget


class CommandDialog(QDialog):
    """A line to type in and the commands that match; Return runs the marked one."""

    def __init__(self, actions: list[QAction], parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Find a command")
        self.resize(460, 360)
        self._actions = actions
        self.line = QLineEdit()
        self.line.setPlaceholderText("Type part of a command's name")
        self.line.setAccessibleName("Command")
        self.list = QListWidget()
        self.list.setAccessibleName("Matching commands")
        layout = QVBoxLayout(self)
        layout.addWidget(self.line)
        layout.addWidget(self.list)
        self.line.textChanged.connect(self._show)
        self.line.returnPressed.connect(self._run)
        self.line.installEventFilter(self)
        self.list.itemActivated.connect(lambda _item: self._run())
        self._show("")

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Up and Down move the mark while the line keeps the focus."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
            if step is not None and self.list.count():
                self.list.setCurrentRow((self.list.currentRow() + step) % self.list.count())
                return True
        return super().eventFilter(watched, event)

    def _show(self, text: str) -> None:
        self.list.clear()
        words = text.casefold().split()
        for action in self._actions:
            name = action.text().replace("&", "")
            haystack = f"{name} {action.toolTip()}".casefold()
            if action.isEnabled() and all(word in haystack for word in words):
                keys = action.shortcut().toString()
                item = QListWidgetItem(f"{name}    {keys}" if keys else name)
                item.setToolTip(action.toolTip())
                item.setData(Qt.ItemDataRole.UserRole, action)
                self.list.addItem(item)
        self.list.setCurrentRow(0)

    def _run(self) -> None:
        item = self.list.currentItem()
        if item is not None:
            self.accept()
            item.data(Qt.ItemDataRole.UserRole).trigger()
