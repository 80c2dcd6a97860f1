"""Where resources and sample images are, in a checkout and in an installed copy."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    """The wheel maps ``resources/`` and ``sample_images/`` into the package; a checkout has them beside it."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def resources() -> Path:
    """Icons and the bundled model."""
    return _folder("resources")


def bundled_model() -> Path:
    """Weights of the sample model."""
    return resources() / "model" / "bundled.safetensors"


def sample_images() -> Path:
    """Photos and synthetic scenes with their COCO annotations."""
    return _folder("sample_images")
