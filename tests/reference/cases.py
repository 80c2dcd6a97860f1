"""Finds the reference cases: arrays made by running the frameworks themselves."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_HERE = Path(__file__).resolve()
BUNDLED = _HERE.parents[1] / "data" / "reference"
SHARED = _HERE.parents[3] / "shared" / "reference"


@dataclass(frozen=True)
class Case:
    """One entry of a manifest."""

    folder: Path
    entry: dict[str, Any]

    @property
    def id(self) -> str:
        return self.entry["id"]

    @property
    def framework(self) -> str:
        return self.entry["framework"]

    @property
    def kind(self) -> str:
        return self.entry["kind"]

    @property
    def params(self) -> dict[str, Any]:
        return self.entry["params"]

    def file_bytes(self) -> bytes:
        return (self.folder / self.entry["file"]).read_bytes()

    def arrays(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Inputs and outputs by name."""
        with np.load(self.folder / self.entry["file"], allow_pickle=False) as file:
            inputs = {name[3:]: file[name] for name in file.files if name.startswith("in_")}
            outputs = {name[4:]: file[name] for name in file.files if name.startswith("out_")}
        return inputs, outputs


def folders() -> list[Path]:
    """``RPNVIZ_REFERENCE`` alone if set, else the bundled subset and the full set where it exists."""
    chosen = os.environ.get("RPNVIZ_REFERENCE")
    if chosen:
        return [Path(chosen)]
    return [BUNDLED, *([SHARED] if SHARED.is_dir() else [])]


def load_cases() -> list[Case]:
    """All cases of all folders; a case that an earlier folder holds with the same bytes is not run twice."""
    found: dict[str, Case] = {}
    for folder in folders():
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        for entry in manifest["cases"]:
            case = Case(folder, entry)
            if entry["id"] in found and found[entry["id"]].file_bytes() == case.file_bytes():
                continue
            name = entry["id"] if entry["id"] not in found else f"{entry['id']} ({folder})"
            found[name] = case
    return list(found.values())
