"""Large COCO files are read in pieces: to the same end as in one go, whatever they hold."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from rpnviz.datasets import coco, coco_pieces
from rpnviz.errors import AnnotationError
from tools.fuzz_datasets import mutate

EXAMPLES = Path(__file__).parent.parent / "data" / "formats"


@pytest.fixture
def both_ways(monkeypatch):
    """Reads a file in one go and in pieces of some bytes; what came out, twice."""

    def told(path):
        try:
            dataset = coco.read(path)
        except AnnotationError as error:
            return str(error)
        columns = dataset.images.columns
        arrays = [columns.boxes, columns.sizes, columns.starts, columns.labels, columns.ignore, columns.places]
        ids = [columns.ids.tolist(), columns.image_ids.tolist()]
        return (
            [repr(array.tolist()) for array in arrays],
            ids,
            list(columns.file_names),
            dataset.categories,
            dataset.findings,
        )

    def read(path, piece):
        whole = told(path)
        monkeypatch.setattr(coco_pieces, "WORTH_SPLITTING", 0)
        monkeypatch.setattr(coco_pieces, "PIECE", piece)
        pieces = told(path)
        monkeypatch.undo()
        return whole, pieces

    return read


def annotation(**more):
    return {"id": 1, "image_id": 1, "category_id": 7, "bbox": [10, 5, 20, 10]} | more


TRICKY = {
    "plain": ([annotation(id=k, bbox=[k, 0, 3, 4]) for k in range(40)], {}),
    "none": ([], {}),
    "lists of objects inside": ([annotation(id=k, attributes=[{"a": 1}, {"b": 2}]) for k in range(9)], {}),
    "keys inside": ([annotation(id=k, note='"images": [', images=[], categories=[]) for k in range(9)], {}),
    "the key in a text": ([annotation(caption='"annotations": [ }, {')], {"info": '"annotations": ['}),
    "the key deeper": ([annotation()], {"info": {"annotations": [1, 2]}}),
    "bad records": (
        [annotation(), 5, annotation(bbox=None), "x", annotation(category_id=99), annotation(iscrowd=7)],
        {},
    ),
    "unknown image": ([annotation(image_id=4)] * 5, {}),
}


@pytest.mark.parametrize("piece", [1, 50, 300, 10_000])
@pytest.mark.parametrize("name", TRICKY)
@pytest.mark.parametrize("order", ["iac", "aic", "ica", "cai"])
def test_order_and_content(write_coco, make_image, both_ways, name, order, piece):
    make_image()
    annotations, more = TRICKY[name]
    path = write_coco(annotations, **more)
    document = json.loads(path.read_text())
    keys = {key[0]: key for key in ("images", "annotations", "categories")}
    first = {key: value for key, value in document.items() if key not in keys.values()}
    path.write_text(
        json.dumps(first | {keys[letter]: document[keys[letter]] for letter in order}, indent=piece % 3 or None)
    )
    whole, pieces = both_ways(path, piece)
    assert pieces == whole


@pytest.mark.parametrize("example", ["globox_coco/instances.json", "supervision_coco/annotations.json"])
def test_broken_files(both_ways, tmp_path, example):
    sound = (EXAMPLES / example).read_bytes()
    rng = random.Random(example)
    path = tmp_path / "x.json"
    for _ in range(300):
        path.write_bytes(mutate(sound, rng))
        whole, pieces = both_ways(path, rng.choice((1, 30, 200)))
        assert pieces == whole


def test_large_files_are_split(write_coco, make_image, monkeypatch):
    """So that the tests above test something."""
    make_image()
    boxes = np.random.default_rng(0).integers(1, 30, (3000, 4)).tolist()
    path = write_coco([annotation(id=k, bbox=box) for k, box in enumerate(boxes)])
    monkeypatch.setattr(coco_pieces, "WORTH_SPLITTING", 100_000)
    monkeypatch.setattr(coco_pieces, "PIECE", 10_000)
    pieces = coco_pieces.split_annotations(path.read_bytes())
    assert len(list(pieces)) > 10
    assert json.loads(pieces.rest)["annotations"] == []
    assert sum(len(json.loads(piece)) for piece, _ in pieces) == 3000
    columns = coco.read(path).images.columns
    assert len(columns.boxes) == 3000
