"""Configuration files, written anew after the structure of published ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from rpnviz.configs.registry import read_config


@pytest.fixture
def read(tmp_path):
    """Write a text or a mapping (as JSON) to a file and read it."""

    def write_and_read(name: str, content, preset=None):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return read_config(path, preset)

    return write_and_read
