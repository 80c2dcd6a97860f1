"""Where resources, sample images and cached files are, in a checkout and in an installed copy."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    """The wheel maps ``resources/`` and ``sample_images/`` into the package; a checkout has them beside it."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def resources() -> Path:
    """Icons and the bundled model."""
    return _folder("resources")


def bundled_playback() -> Path:
    """Folder with the sample model after some steps of its training."""
    return resources() / "model"


def checkpoint_name(step: int) -> str:
    """File name of the sample model after that many steps of its training."""
    return f"step-{step:04}.safetensors"


def bundled_model() -> Path:
    """Weights of the sample model, fully trained."""
    steps = bundled_playback().glob("step-*.safetensors")
    return max(steps, default=bundled_playback() / checkpoint_name(0))


def sample_images() -> Path:
    """Photos and synthetic scenes with their COCO annotations."""
    return _folder("sample_images")


def cache_folder() -> Path:
    """What can be made again at any time; the folder need not exist yet."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        return Path(base) / "rpnviz" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "rpnviz"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rpnviz"
