"""Writes the examples in ``tests/data/formats`` with programs of others: our readers shall not be tested on ourselves.

Not part of the project's environment: ``python -m venv /tmp/env && /tmp/env/bin/pip install globox==2.9.0
supervision==0.31.2 && /tmp/env/bin/python tools/make_format_examples.py``. KITTI, CrowdHuman, detectron2's dicts and
videos of CVAT, for which neither library has a writer, are written by hand after their documents.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import supervision
from globox import Annotation, AnnotationSet, BoundingBox

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "formats"
SIZES = {"a": (60, 40), "b": (32, 48)}
"""Width and height of the images."""
BOXES = {
    "a": [("cat", 10, 5, 30, 15), ("dog", 0, 0, 60, 40), ("cat", 20.5, 8.25, 25, 20)],
    "b": [("dog", 4, 6, 28, 44)],
}
"""Corners in pixels from 0, edges."""


def image_files(folder: Path) -> None:
    """The two images."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name, (width, height) in SIZES.items():
        small = rng.integers(0, 255, (4, 4, 3), np.uint8)
        pixels = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(folder / f"{name}.png"), pixels)


def globox_set() -> AnnotationSet:
    """The boxes as globox holds them."""
    annotations = []
    for name, (width, height) in SIZES.items():
        boxes = [BoundingBox(label=label, xmin=a, ymin=b, xmax=c, ymax=d) for label, a, b, c, d in BOXES[name]]
        annotations.append(Annotation(image_id=f"{name}.png", image_size=(width, height), boxes=boxes))
    return AnnotationSet(annotations=annotations)


def supervision_set(images: Path) -> supervision.DetectionDataset:
    """The boxes as supervision holds them."""
    classes = ["cat", "dog"]
    paths = {name: str(images / f"{name}.png") for name in SIZES}
    annotations = {
        paths[name]: supervision.Detections(
            xyxy=np.array([box[1:] for box in BOXES[name]], float),
            class_id=np.array([classes.index(box[0]) for box in BOXES[name]]),
        )
        for name in SIZES
    }
    return supervision.DetectionDataset(classes=classes, images=list(paths.values()), annotations=annotations)


def by_libraries() -> None:
    """What the two libraries write."""
    boxes = globox_set()
    for name in ("globox_voc", "globox_labelme", "globox_cvat", "globox_openimages", "globox_yolo", "globox_coco"):
        (OUT / name).mkdir(parents=True)
    image_files(OUT / "globox_voc" / "JPEGImages")
    boxes.save_pascal_voc(OUT / "globox_voc" / "Annotations")
    image_files(OUT / "globox_labelme")
    boxes.save_labelme(OUT / "globox_labelme")
    image_files(OUT / "globox_cvat" / "images")
    boxes.save_cvat(OUT / "globox_cvat" / "annotations.xml")
    image_files(OUT / "globox_openimages")
    boxes.save_openimage(OUT / "globox_openimages" / "boxes.csv")
    image_files(OUT / "globox_yolo" / "images")
    boxes.save_yolo_v5(OUT / "globox_yolo" / "labels", label_to_id={"cat": 0, "dog": 1})
    image_files(OUT / "globox_coco")
    boxes.save_coco(OUT / "globox_coco" / "instances.json", auto_ids=True)
    images = OUT / "images"
    image_files(images)
    for name in ("supervision_voc", "supervision_yolo", "supervision_coco"):
        (OUT / name).mkdir(parents=True)
    dataset = supervision_set(images)
    at = OUT / "supervision_voc"
    dataset.as_pascal_voc(str(at / "JPEGImages"), str(at / "Annotations"))
    at = OUT / "supervision_yolo"
    dataset.as_yolo(str(at / "images"), str(at / "labels"), str(at / "data.yaml"))
    at = OUT / "supervision_coco"
    dataset.as_coco(str(at / "images"), str(at / "annotations.json"))
    shutil.rmtree(images)


def by_hand() -> None:
    """Formats for which neither library has a writer, after their own documents."""
    folder = OUT / "kitti" / "training"
    image_files(folder / "image_2")
    (folder / "label_2").mkdir(parents=True)
    rest = "1.65 1.67 3.64 -0.65 1.71 46.70 -1.59"
    for name in SIZES:
        lines = []
        for label, *corners in BOXES[name]:
            numbers = " ".join(f"{value:.2f}" for value in corners)
            lines.append(f"{label.title()} 0.00 0 -1.58 {numbers} {rest}")
        lines.append("DontCare -1 -1 -10 1.00 2.00 9.00 8.00 -1 -1 -1 -1000 -1000 -1000 -10")
        (folder / "label_2" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    folder = OUT / "crowdhuman"
    image_files(folder / "images")
    for file in (folder / "images").iterdir():
        file.rename(file.with_suffix(".jpg"))
    records = []
    for name in SIZES:
        boxes = [
            {"tag": "person", "hbox": [a, b, 2, 2], "vbox": [a, b, c - a, d - b], "fbox": [a, b, c - a, d - b],
             "head_attr": {"ignore": 0, "occ": 0, "unsure": 0}, "extra": {"box_id": 0, "occ": 0}}
            for _, a, b, c, d in BOXES[name]
        ]  # fmt: skip
        boxes.append({"tag": "mask", "hbox": [1, 2, 8, 6], "vbox": [1, 2, 8, 6], "fbox": [1, 2, 8, 6],
                      "head_attr": {"ignore": 1}, "extra": {"box_id": 1, "ignore": 1}})  # fmt: skip
        records.append({"ID": name, "gtboxes": boxes})
    (folder / "annotation_train.odgt").write_text("".join(json.dumps(record) + "\n" for record in records))
    folder = OUT / "detectron2"
    image_files(folder)
    dicts = []
    for index, (name, (width, height)) in enumerate(SIZES.items()):
        annotations = [
            {"bbox": [a, b, c - a, d - b] if number % 2 else [a, b, c, d], "bbox_mode": number % 2,
             "category_id": ["cat", "dog"].index(label), "iscrowd": 0}
            for number, (label, a, b, c, d) in enumerate(BOXES[name])
        ]  # fmt: skip
        dicts.append({"file_name": f"{name}.png", "image_id": index, "width": width, "height": height,
                      "annotations": annotations})  # fmt: skip
    (folder / "dicts.json").write_text(json.dumps(dicts))
    folder = OUT / "retinanet"
    image_files(folder / "images")
    lines = [
        f"images/{name}.png,{a:g},{b:g},{c:g},{d:g},{label}" for name in SIZES for label, a, b, c, d in BOXES[name]
    ]
    (folder / "train.csv").write_text("\n".join(lines) + "\n")


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    by_libraries()
    by_hand()


if __name__ == "__main__":
    main()
