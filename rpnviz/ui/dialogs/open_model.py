"""Asks for a model file, or for a folder with a training or recordings."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QWidget

from rpnviz.app.settings import Settings
from rpnviz.datasets.folder import IMAGE_SUFFIXES
from rpnviz.models import playback

SUFFIXES = (".npz", *playback.SUFFIXES)
"""Of model files and RPN dumps."""
_FILTER = f"Models and RPN dumps ({' '.join(f'*{suffix}' for suffix in SUFFIXES)});;All files (*)"


def is_model(path: Path) -> bool:
    """Whether something is meant as a model by its name, or a folder by what it holds: a training, or recordings.

    A folder with pictures in it, or one model file among folders, is a data set.
    """
    if path.name.lower().endswith(SUFFIXES):
        return True
    try:
        entries = list(path.iterdir()) if path.is_dir() else []
    except OSError:
        return False  # opening it says what is wrong
    models = sum(entry.name.lower().endswith(SUFFIXES) for entry in entries)
    if any(entry.suffix.lower() in IMAGE_SUFFIXES for entry in entries):
        return False
    return models > 1 or (models == 1 and not any(entry.is_dir() for entry in entries))


def ask_for_model(parent: QWidget, settings: Settings) -> Path | None:
    """A model file; None: none was chosen."""
    file, _ = QFileDialog.getOpenFileName(parent, "Load a model", settings.last_folder, _FILTER)
    return Path(file) if file else None


def ask_for_folder(parent: QWidget, settings: Settings) -> Path | None:
    """A folder; None: none was chosen."""
    title = "Open a folder of checkpoints or RPN dumps"
    folder = QFileDialog.getExistingDirectory(parent, title, settings.last_folder)
    return Path(folder) if folder else None
