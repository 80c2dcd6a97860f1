"""What is wrong with the data set: findings by kind, what each trainer makes of them, and the way to each box."""

from __future__ import annotations

from PySide6.QtCore import QByteArray, QSettings, QSignalBlocker, QSize, Qt
from PySide6.QtGui import QCloseEvent, QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QButtonGroup,
    QDoubleSpinBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QSplitter,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from rpnviz.app.linter import Linter
from rpnviz.app.messages import Message, Severity
from rpnviz.app.state import AppState
from rpnviz.datasets.base import Finding
from rpnviz.datasets.edited import as_read, present_index
from rpnviz.datasets.lint import Group, Report, reaction_lines, report_lines
from rpnviz.ui.widgets.basics import breakable, eliding_label, label, separator, tool_button

_FINDING, _GROUP = Qt.ItemDataRole.UserRole, Qt.ItemDataRole.UserRole + 1
_STORED = "layout/findings"
_ROW = 22
"""Height of a row, px."""
_SEVERITIES = {"error": "Error", "warning": "Warning", "note": "Note"}


class FindingsWindow(QWidget):
    """A window beside the main one; whoever clicks a finding is taken to its box."""

    def __init__(self, state: AppState, linter: Linter, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self._state, self._linter = state, linter
        self.resize(980, 620)
        place = QSettings().value(_STORED)
        if isinstance(place, QByteArray):
            self.restoreGeometry(place)
        self.title = eliding_label("", "title")
        self.summary = label("", "muted", wrap=True)
        self.all = tool_button("All", "small-segment", "Everything that was found", checkable=True)
        self.errors = tool_button("Errors", "small-segment", "What cannot be used as it stands", checkable=True)
        self.loss = tool_button("NaN loss", "small-segment", "What can make the loss NaN or infinite", checkable=True)
        self.least = QDoubleSpinBox()
        self.least.setRange(0, 1000)
        self.least.setDecimals(0)
        self.least.setSuffix(" px")
        self.least.setSpecialValueText("off")
        self.least.setKeyboardTracking(False)
        self.least.setValue(linter.min_input_px)
        self.least.setAccessibleName("Least side at the input")
        self.least.setToolTip("Boxes with a side below this at the network's input are noted, in px")
        self.again = tool_button("Check again", "chip", "Look once more (F5)", linter.run)
        self.copy = tool_button("Copy", "chip", "The report as text (Ctrl+Shift+C)", self._copy)
        self.stop = tool_button("Stop", "flat", "End the check", linter.stop)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setFixedSize(120, 10)
        self.tree = QTreeWidget()
        self.tree.setColumnCount(2)
        self.tree.setHeaderLabels(["Finding", "Where"])
        self.tree.setUniformRowHeights(True)
        self.tree.setAlternatingRowColors(True)
        self.tree.setAccessibleName("Findings")
        self.tree.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.tree.header().setSectionResizeMode(1, QHeaderView.ResizeMode.Interactive)
        self.tree.header().setStretchLastSection(False)
        self.tree.setColumnWidth(1, 260)
        self.detail = QLabel()
        self.detail.setWordWrap(True)
        self.detail.setTextFormat(Qt.TextFormat.PlainText)
        self.detail.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.detail.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.detail.setContentsMargins(12, 8, 12, 8)
        self._shown: Report | None = None
        self._build()
        self._filters = QButtonGroup(self)
        for button in (self.all, self.errors, self.loss):
            self._filters.addButton(button)
        self.all.setChecked(True)
        self._filters.buttonClicked.connect(lambda _button: self._fill())
        self.least.valueChanged.connect(self._on_least)
        self.tree.currentItemChanged.connect(lambda item, _before: self._on_current(item))
        self.tree.itemClicked.connect(lambda item, _column: self._go_to(item))
        self.tree.itemActivated.connect(lambda item, _column: self._go_to(item))
        linter.changed.connect(self._show)
        for keys, function in (("F5", linter.run), ("Ctrl+Shift+C", self._copy), ("Ctrl+W", self.close)):
            QShortcut(QKeySequence(keys), self).activated.connect(function)
        self._show()

    def _build(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(12, 8, 12, 0)
        head.addWidget(self.title, 1)
        for widget in (self.bar, self.stop, self.again, self.copy):
            head.addWidget(widget)
        choice = QHBoxLayout()
        choice.setContentsMargins(12, 4, 12, 6)
        choice.setSpacing(0)
        for button in (self.all, self.errors, self.loss):
            choice.addWidget(button)
        choice.addSpacing(16)
        least = label("Small at the input: below", "muted")
        least.setBuddy(self.least)
        choice.addWidget(least)
        choice.addSpacing(6)
        choice.addWidget(self.least)
        choice.addStretch(1)
        words = QVBoxLayout()
        words.setContentsMargins(12, 0, 12, 0)
        words.addWidget(self.summary)
        parts = QSplitter(Qt.Orientation.Vertical)
        parts.addWidget(self.tree)
        parts.addWidget(self.detail)
        parts.setStretchFactor(0, 1)
        parts.setSizes([420, 130])
        parts.setHandleWidth(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(head)
        layout.addLayout(words)
        layout.addLayout(choice)
        layout.addWidget(separator())
        layout.addWidget(parts, 1)

    # ------------------------------------------------------------------ what is asked

    def begin(self, loss: bool = False) -> None:
        """Check the data set if that was not done yet; ``loss``: show what can make the loss NaN alone."""
        (self.loss if loss else self.all).setChecked(True)
        if not self._linter.running and (self._linter.report is None or self._linter.stale):
            self._linter.run()
        self._fill()

    def _on_least(self, value: float) -> None:
        self._linter.min_input_px = value
        self._linter.run()

    def _go_to(self, item: QTreeWidgetItem) -> None:
        finding, report = item.data(0, _FINDING), self._shown
        present = self._state.dataset
        if report is None or present is None or as_read(report.dataset) is not as_read(present):
            return  # the indices are those of another data set
        if isinstance(finding, Finding) and finding.image is not None:
            gt = present_index(report.dataset, present, finding.image, finding.gt)
            self._state.show_box(finding.image, gt)

    def _copy(self) -> None:
        if self._linter.report is not None:
            QGuiApplication.clipboard().setText("\n".join(report_lines(self._linter.report)))
            self._state.tell(Message(Severity.INFO, "Copied the report"))

    # ------------------------------------------------------------------ what is shown

    def _show(self) -> None:
        linter, dataset = self._linter, self._state.dataset
        name = dataset.name if dataset is not None else ""
        self.setWindowTitle(f"Findings in {name} – rpnviz" if name else "Findings – rpnviz")
        self.title.setText(name or "No data set is open")
        for part in (self.bar, self.stop):
            part.setVisible(linter.running)
        self.bar.setValue(round(linter.progress * 1000))
        self.again.setEnabled(dataset is not None and not linter.running)
        self.again.setText("Check again" if linter.report is not None else "Check")
        self.copy.setEnabled(linter.report is not None)
        self.summary.setText(self._summary())
        if linter.report is not self._shown:
            self._fill()

    def _summary(self) -> str:
        linter, report = self._linter, self._linter.report
        if linter.failure:
            return linter.failure
        if report is None:
            return "Looking at every image…" if linter.running else "Not checked yet."
        counts = ", ".join(
            f"{report.count(severity):,} {severity}{'' if report.count(severity) == 1 else 's'}"
            for severity in ("error", "warning", "note")
        )
        text = f"{counts}, for {report.preset.name}." if report.groups else f"Nothing found, for {report.preset.name}."
        return f"{text} Parameters or boxes have changed since." if linter.stale else text

    def _fill(self) -> None:
        report = self._shown = self._linter.report
        with QSignalBlocker(self.tree):
            self.tree.clear()
            groups = () if report is None else tuple(filter(self._wanted, report.groups))
            for group in groups:
                item = self._group_item(group, f"{report.dataset.source.name}: " if report is not None else "")
                self.tree.addTopLevelItem(item)
                item.setExpanded(len(groups) == 1)
        self.detail.setText(self._empty(report, bool(groups)))

    def _wanted(self, group: Group) -> bool:
        return group.loss if self.loss.isChecked() else group.severity == "error" or not self.errors.isChecked()

    def _empty(self, report: Report | None, found: bool) -> str:
        if report is None:
            return ""
        if found:
            return "Choose a finding to see what the trainers do with it; a click goes to its box."
        if self.loss.isChecked():
            return "Nothing that can make the loss NaN was found in the annotations."
        return "No errors." if self.errors.isChecked() and report.groups else "Nothing was found."

    @staticmethod
    def _group_item(group: Group, own: str) -> QTreeWidgetItem:
        """A kind with its findings; ``own`` is what all places begin with."""
        title = f"{_SEVERITIES[group.severity]}: {group.count:,} x {group.title}"
        item = QTreeWidgetItem([title, "can make the loss NaN" if group.loss else ""])
        font = item.font(0)
        font.setBold(group.severity == "error")
        item.setFont(0, font)
        item.setSizeHint(0, QSize(0, _ROW))
        item.setData(0, _GROUP, group)
        for finding in group.findings:
            inner = QTreeWidgetItem([finding.what, finding.where.removeprefix(own)])
            inner.setToolTip(0, str(finding))
            inner.setData(0, _FINDING, finding)
            inner.setData(0, _GROUP, group)
            item.addChild(inner)
        rest = group.count - sum(finding.count for finding in group.findings)
        if rest > 0:
            item.addChild(QTreeWidgetItem([f"... and {rest:,} more, of which only the number was kept", ""]))
        return item

    def _on_current(self, item: QTreeWidgetItem | None) -> None:
        if item is None:
            return
        finding, group = item.data(0, _FINDING), item.data(0, _GROUP)
        lines = []
        if isinstance(finding, Finding):
            lines.append(f"{finding.where}: {finding.what}")
        shown = finding if isinstance(finding, Finding) else group.findings[0] if isinstance(group, Group) else None
        if shown is not None and shown.way_out:
            lines.append(shown.way_out)
        if isinstance(group, Group):
            lines += list(reaction_lines(group))
        self.detail.setText(breakable("\n".join(lines)))

    def closeEvent(self, event: QCloseEvent) -> None:
        self._linter.stop()
        QSettings().setValue(_STORED, self.saveGeometry())
        super().closeEvent(event)
