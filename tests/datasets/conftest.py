"""COCO files made on the fly."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rpnviz.datasets import coco
from rpnviz.imaging import write_png


@pytest.fixture
def make_image(tmp_path):
    """Writes a PNG of 60 x 40 px; its name may lead into a folder."""

    def make(name="a.png", height=40, width=60):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, np.full((height, width, 3), 128, np.uint8))
        return path

    return make


@pytest.fixture
def write_coco(tmp_path):
    """Writes ``instances.json``; lists that are not given hold one good record."""

    def write(annotations=None, images=None, categories=None, name="instances.json", **more):
        document = {
            "images": [{"id": 1, "file_name": "a.png", "width": 60, "height": 40}] if images is None else images,
            "annotations": [] if annotations is None else annotations,
            "categories": [{"id": 7, "name": "coin"}] if categories is None else categories,
        } | more
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document), encoding="utf-8")  # writes NaN and Infinity as such
        return path

    return write


@pytest.fixture
def read_coco(write_coco, make_image):
    """Reads a COCO file whose image exists, made as ``write_coco`` makes it."""

    def read(*arguments, **options):
        make_image()
        return coco.read(write_coco(*arguments, **options))

    return read
