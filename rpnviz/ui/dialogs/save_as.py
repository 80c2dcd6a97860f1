"""Where to write a file: asks, adds the ending, and replaces nothing unasked."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QWidget

from rpnviz.app.messages import Message, Severity
from rpnviz.app.settings import Settings
from rpnviz.app.state import AppState


def ask_where(
    window: QWidget, state: AppState, settings: Settings, title: str, name: str, kinds: str, endings: tuple[str, ...]
) -> Path | None:
    """Ask for a place; the folder is remembered.

    Args:
        window: what the dialog belongs to.
        state: is told if the file cannot be that one.
        settings: have the folder to begin in.
        title: of the dialog.
        name: suggested file name.
        kinds: the dialog's filter.
        endings: that the name may have; the first is added to any other.

    Returns:
        None: the user gave up, or must choose again.
    """
    chosen, _ = QFileDialog.getSaveFileName(window, title, str(Path(settings.last_folder) / name), kinds)
    if not chosen:
        return None
    path = Path(chosen)
    if not path.name.lower().endswith(endings):
        path = path.with_name(f"{path.name}{endings[0]}")
        if path.exists():  # the dialog asked about the name without the ending
            way_out = "Choose it by its whole name to replace it."
            state.tell(Message(Severity.WARNING, f"There is a {path.name} already", way_out))
            return None
    settings.last_folder = str(path.parent)
    return path
