"""A field for a list of numbers."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, Signal
from PySide6.QtWidgets import QLineEdit


class NumberListEdit(QLineEdit):
    """Numbers separated by commas; a wrong text is marked and changes nothing."""

    entered = Signal(tuple)

    def __init__(self, name: str, tip: str, *, optional: bool = False) -> None:
        """``optional``: an empty field is an answer too, the empty tuple."""
        super().__init__()
        self._tip, self._optional = tip, optional
        self.setToolTip(tip)
        self.setAccessibleName(name)
        self.setPlaceholderText("e.g. 32, 64")
        self.editingFinished.connect(self._on_finished)

    def show_numbers(self, values: tuple[float, ...]) -> None:
        """Show a value of the state."""
        with QSignalBlocker(self):
            self.setText(", ".join(f"{value:.15g}" for value in values))
            self.setCursorPosition(0)  # a long list shows its beginning
        self.mark("")

    def mark(self, problem: str) -> None:
        """Show what is wrong, or nothing."""
        self.setStyleSheet("QLineEdit { border: 1px solid #F25D68; }" if problem else "")
        self.setToolTip(problem or self._tip)

    def set_tip(self, tip: str) -> None:
        """What the field means, shown while nothing is wrong with it."""
        self._tip = tip
        self.setToolTip(tip)

    def _on_finished(self) -> None:
        if not self.isModified():
            return
        self.setModified(False)
        try:
            values = tuple(float(part) for part in self.text().replace(";", ",").split(",") if part.strip())
        except ValueError:
            self.mark(f"{self.text()!r} is not a list of numbers; expected for example 32, 64")
            return
        if not values and not self._optional:
            self.mark("At least one number is needed, for example 32")
            return
        self.mark("")
        self.entered.emit(values)
