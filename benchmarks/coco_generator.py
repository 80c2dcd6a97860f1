"""Writes a COCO file as large as train2017's: 118,287 images, 860,001 boxes, with polygons or without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TextIO

import numpy as np

IMAGES, BOXES = 118_287, 860_001


def write_coco(path: Path, images: int = IMAGES, boxes: int = BOXES, points: int = 22, seed: int = 0) -> None:
    """Write the file line by line, so that making it needs little memory.

    Args:
        path: the file to make.
        images: how many.
        boxes: how many, spread over the images at random; 1 % of the images get none, 1 % of the boxes are crowds.
        points: mean number of points of a polygon; 0 writes none. 22 gives some 440 MB, the size of COCO's own.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    sizes = rng.choice([[480, 640], [640, 480], [427, 640], [640, 427], [375, 500]], images)
    owners = np.sort(rng.integers(0, max(1, images - images // 100), boxes))
    with path.open("w", encoding="utf-8") as file:
        file.write('{"info": {"description": "made by benchmarks/coco_generator.py"}, "images": [')
        for index in range(images):
            record = {
                "license": 3,
                "file_name": f"{index + 1:012d}.jpg",
                "coco_url": f"http://images.cocodataset.org/train2017/{index + 1:012d}.jpg",
                "height": int(sizes[index][0]),
                "width": int(sizes[index][1]),
                "date_captured": "2013-11-14 11:18:45",
                "id": index + 1,
            }
            file.write((", " if index else "") + json.dumps(record))
        file.write('], "annotations": [')
        for start in range(0, boxes, 10_000):
            _write_annotations(file, rng, np.arange(start, min(boxes, start + 10_000)), owners, sizes, points)
        names = [{"supercategory": "thing", "id": id_, "name": f"class {id_}"} for id_ in _category_ids()]
        file.write('], "categories": ' + json.dumps(names) + "}")


def _category_ids() -> list[int]:
    """80 ids up to 90 with gaps, as COCO has them."""
    gaps = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
    return [id_ for id_ in range(1, 91) if id_ not in gaps]


def _write_annotations(
    file: TextIO,
    rng: np.random.Generator,
    rows: np.ndarray,
    owners: np.ndarray,
    sizes: np.ndarray,
    points: int,
) -> None:
    ids = _category_ids()
    shape = sizes[owners[rows]].astype(float)[:, ::-1]
    sides = np.exp(rng.uniform(-4, -0.1, (len(rows), 2))) * shape
    corners = rng.uniform(0, 1, (len(rows), 2)) * (shape - sides)
    numbers = np.round(np.concatenate([corners, sides], axis=1), 2).tolist()
    categories = rng.integers(0, len(ids), len(rows))
    lengths = np.maximum(3, rng.poisson(points, len(rows))) if points else np.zeros(len(rows), int)
    for row, box, category, length in zip(rows.tolist(), numbers, categories.tolist(), lengths.tolist(), strict=True):
        x, y, width, height = box
        crowd = int(row % 100 == 99)
        record: dict[str, object] = {}
        if points:
            outline = (rng.uniform(0, 1, (length, 2)) * (width, height) + (x, y)).round(2).ravel().tolist()
            run_lengths = {"counts": rng.integers(1, 5000, length).tolist(), "size": sizes[owners[row]].tolist()}
            record["segmentation"] = run_lengths if crowd else [outline]
        record |= {
            "area": round(width * height * 0.6, 4),
            "iscrowd": crowd,
            "image_id": int(owners[row]) + 1,
            "bbox": box,
            "category_id": ids[category],
            "id": row + 1,
        }
        file.write((", " if row else "") + json.dumps(record))
