"""Asks for a model file, or for a folder with a training or recordings."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QWidget

from rpnviz.app.settings import Settings

SUFFIXES = (".safetensors", ".pth", ".pt", ".pkl", ".npz", ".ckpt", ".h5", ".onnx")
"""Of model files and RPN dumps."""
_FILTER = f"Models and RPN dumps ({' '.join(f'*{suffix}' for suffix in SUFFIXES)});;All files (*)"


def ask_for_model(parent: QWidget, settings: Settings) -> Path | None:
    """A model file; None: none was chosen."""
    file, _ = QFileDialog.getOpenFileName(parent, "Load a model", settings.last_folder, _FILTER)
    return Path(file) if file else None


def ask_for_folder(parent: QWidget, settings: Settings) -> Path | None:
    """A folder; None: none was chosen."""
    title = "Open a folder of checkpoints or RPN dumps"
    folder = QFileDialog.getExistingDirectory(parent, title, settings.last_folder)
    return Path(folder) if folder else None
