"""What the program remembers between runs, in one readable file; only what differs from the default is written."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QStandardPaths

from rpnviz.palette import Theme


@dataclass
class Settings:
    """User settings; window geometry is kept apart by Qt.

    Attributes:
        theme: colours of the window.
        last_folder: where the last file was opened.
    """

    theme: Theme = Theme.DARK
    last_folder: str = ""

    def save(self) -> None:
        """Write the settings; a folder that cannot be written is no reason to disturb the user."""
        defaults = Settings()
        changed = {
            field.name: str(getattr(self, field.name))
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != getattr(defaults, field.name)
        }
        path = settings_file()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_suffix(".new")
            beside.write_text(json.dumps(changed, indent=2), encoding="utf-8")
            os.replace(beside, path)
        except OSError:
            return


def settings_file() -> Path:
    """Where the settings are kept."""
    folder = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.AppConfigLocation)
    return Path(folder) / "settings.json"


def load_settings() -> Settings:
    """The stored settings; what is missing or unreadable takes its default."""
    settings = Settings()
    try:
        stored: Any = json.loads(settings_file().read_text(encoding="utf-8"))
        if stored.get("theme") in list(Theme):
            settings.theme = Theme(stored["theme"])
        if isinstance(stored.get("last_folder"), str):
            settings.last_folder = stored["last_folder"]
    except (OSError, ValueError, AttributeError):
        return settings
    return settings
