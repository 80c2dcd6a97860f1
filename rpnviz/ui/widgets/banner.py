"""Messages that do not stop the work: a line above the canvas with the details one click away."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QFrame, QHBoxLayout, QPlainTextEdit, QVBoxLayout

from rpnviz.app.messages import Message, Severity
from rpnviz.ui.dialogs.field_list import show_table
from rpnviz.ui.widgets.basics import eliding_label, label, set_kind, tool_button

_SIGN = {Severity.INFO: "i", Severity.WARNING: "!", Severity.ERROR: "✕"}


class Banner(QFrame):
    """Shows the newest message; earlier ones stay reachable in the details until they are dismissed."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("banner")
        self.messages: list[Message] = []
        self.sign = label("", "title")
        self.text = eliding_label("")
        self.text.setElideMode(Qt.TextElideMode.ElideRight)
        self.details = tool_button("Details", "flat", "The whole message", self._show_details)
        close = tool_button("Dismiss", "flat", "Hide this message", self.dismiss)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(10, 3, 4, 3)
        layout.addWidget(self.sign)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.details)
        layout.addWidget(close)
        self.hide()

    def show_message(self, message: Message) -> None:
        """Show a message above whatever else is told."""
        self.messages.append(message)
        self._show()

    def forget(self, message: Message) -> None:
        """Drop one message; the others stay."""
        if message in self.messages:
            self.messages.remove(message)
            self._show()

    def _show(self) -> None:
        if not self.messages:
            self.hide()
            return
        message = self.messages[-1]
        self.sign.setText(_SIGN[message.severity])
        set_kind(self.sign, "title" if message.severity is Severity.INFO else "problem")
        first = message.detail.split("\n")[0]
        line = f"{message.title}: {first}" if first else message.title
        more = len(self.messages) - 1
        self.text.setText(f"{line}   (and {more} more)" if more else line)
        self.details.setVisible(bool(message.detail) or more > 0)
        self.show()

    def dismiss(self) -> None:
        """Forget all messages."""
        self.messages.clear()
        self.hide()

    def _show_details(self) -> None:
        newest = self.messages[-1]
        if newest.table:
            name, _, summary = newest.detail.partition("\n")
            show_table(name, summary, newest.table, self.window())
            return
        dialog = QDialog(self.window())
        dialog.setWindowTitle("Messages")
        dialog.resize(680, 320)
        text = QPlainTextEdit()
        text.setReadOnly(True)
        text.setPlainText("\n\n".join(f"{m.title}\n{m.detail}".strip() for m in reversed(self.messages)))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(dialog.reject)
        layout = QVBoxLayout(dialog)
        layout.addWidget(text)
        layout.addWidget(buttons)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()
