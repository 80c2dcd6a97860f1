"""Reads a Params document, or a trainer's own configuration, from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rpnviz.configs.base import TrainerConfig
from rpnviz.configs.registry import read_config
from rpnviz.core import presets
from rpnviz.core.presets import Preset
from rpnviz.errors import ParamsError


def read_settings(
    preset: str | None, params: Path | None, config: Path | None, option: str
) -> tuple[Preset, TrainerConfig | None]:
    """The preset with the changes of a Params document or of a trainer's configuration, and the latter.

    Args:
        preset: its name, where one is asked for.
        params, config: one of the two files at most.
        option: what asks for the preset, for messages.

    Raises:
        ParamsError: as :func:`read_preset`.
        ConfigFileError: as :func:`~rpnviz.configs.registry.read_config`.
    """
    if config is None:
        return read_preset(preset, params, option), None
    if preset is not None:
        presets.load(preset)  # a name that nobody has is told as such
    found = read_config(config, preset)
    return found.preset, found


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
