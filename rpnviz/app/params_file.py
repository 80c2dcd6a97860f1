"""Reads a Params document from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rpnviz.core import presets
from rpnviz.core.presets import Preset
from rpnviz.errors import ParamsError


def read_preset(preset: str | None, file: Path | None, option: str) -> Preset:
    """The preset with the changes of a document; the name decides whose defaults fill the gaps.

    Raises:
        ParamsError: the file is missing, is no JSON or holds a wrong field, or it names another preset.
    """
    if file is None:
        return presets.load(preset or "torchvision")
    where = str(file)
    try:
        document: Any = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ParamsError(f"cannot be read: {error.strerror}.", where=where) from error
    except UnicodeDecodeError as error:
        raise ParamsError("is not text in UTF-8.", where=where) from error
    except json.JSONDecodeError as error:
        raise ParamsError(
            f"is not JSON: {error.msg}.",
            where=f"{where}, line {error.lineno}, column {error.colno}",
            way_out="'rpnviz params' prints a document to start from.",
        ) from error
    named = document.get("preset") if isinstance(document, dict) else None
    if preset and named and named != preset:
        raise ParamsError(f"is for the preset {named!r}, but {option} says {preset!r}.", where=where)
    return presets.from_document(document, preset or "torchvision")
