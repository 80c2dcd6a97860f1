"""The stages of the selected box, one below the other; a click on one shows it on the picture."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QToolButton, QVBoxLayout, QWidget

from rpnviz.app.inspector import Inspector
from rpnviz.app.viewing import Selection, Viewing
from rpnviz.app.way import Link, Step
from rpnviz.ui.widgets.basics import label, tool_button

_TITLE_WIDTH = 92


class WayList(QWidget):
    """One row per step; rows are kept from one selection to the next, because a slider changes them at every move."""

    def __init__(self, state: Viewing, inspector: Inspector) -> None:
        super().__init__()
        self._state = state
        self._inspector = inspector
        self.rows: list[_Row] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 4, 0, 0)
        self._layout.setSpacing(2)
        inspector.stepped.connect(self._mark)

    def show_way(self) -> None:
        """Show the steps of what is selected."""
        way = self._inspector.way
        while len(self.rows) < len(way):
            number = len(self.rows)
            row = _Row(lambda number=number: self._inspector.look_at(number), self._state.select)  # type: ignore[misc]
            self.rows.append(row)
            self._layout.addWidget(row)
        for number, row in enumerate(self.rows):
            row.setVisible(number < len(way))
            if number < len(way):
                row.show_step(way[number])
        self.setVisible(bool(way))
        self._mark()

    def _mark(self) -> None:
        for number, row in enumerate(self.rows):
            row.title.setChecked(number == self._inspector.number)

    @property
    def current(self) -> QWidget | None:
        """The row of the step that is looked at."""
        number = self._inspector.number
        return self.rows[number] if number is not None and number < len(self.rows) else None


class _Row(QFrame):
    """A title to click, what happens there, and boxes to go to."""

    def __init__(self, look_at: Callable[[], None], go_to: Callable[[Selection], None]) -> None:
        super().__init__()
        self._go_to = go_to
        self.title = QPushButton()  # whose text a style sheet can align, unlike a tool button's
        self.title.setObjectName("step")
        self.title.setCheckable(True)
        self.title.setToolTip("Show this stage on the picture (, and . step through them)")
        self.title.setFixedWidth(_TITLE_WIDTH)
        self.title.clicked.connect(lambda _checked=False: look_at())
        self.text = label("", "muted", wrap=True, selectable=True)
        self.links: list[QToolButton] = []
        self._shown: tuple[Link, ...] = ()
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 2)
        line.setSpacing(4)
        line.addWidget(self.title, 0, Qt.AlignmentFlag.AlignTop)
        self._layout = QVBoxLayout()
        self._layout.setContentsMargins(0, 2, 0, 0)
        self._layout.setSpacing(0)
        self._layout.addWidget(self.text)
        line.addLayout(self._layout, 1)

    def show_step(self, step: Step) -> None:
        """Show another step."""
        self.title.setText(f"✕ {step.title}" if step.lost else step.title)
        self.title.setAccessibleName(f"{step.title}: {step.text}")
        self.text.setText(step.text)
        self.text.setVisible(bool(step.text))
        self._shown = step.links
        while len(self.links) < len(step.links):
            number = len(self.links)
            button = tool_button("", "link", "Select it", lambda number=number: self._follow(number))  # type: ignore[misc]
            self.links.append(button)
            button.setMinimumWidth(1)
            self._layout.addWidget(button, 0, Qt.AlignmentFlag.AlignLeft)
        for number, button in enumerate(self.links):
            button.setVisible(number < len(step.links))
            if number < len(step.links):
                button.setText(step.links[number].text)
                button.setToolTip(f"{step.links[number].text}\nClick: select it")

    def _follow(self, number: int) -> None:
        if number < len(self._shown):
            self._go_to(self._shown[number].selection)
