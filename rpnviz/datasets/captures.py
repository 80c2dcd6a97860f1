"""Captured training steps (``rpn-capture/1``) as recordings, and as a data set of the images that the network saw.

The format is described for users in ``docs/capture.md``; :mod:`rpnviz.capture` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rpnviz.array_files import array_names, read_arrays, read_size
from rpnviz.core import presets
from rpnviz.core.inputs import frozen
from rpnviz.core.recording import RecordedImage, RecordedStep
from rpnviz.datasets.base import Dataset, Finding, GroundTruth, ImageRecord, Progress, no_progress
from rpnviz.errors import ModelFileError, ShapeError

FORMAT = "rpn-capture/1"
SUFFIX = ".npz"
_LARGE = ("objectness", "deltas", "anchors", "labels")
_WHOLE = (np.int64, np.int8, np.bool_)
_WAY_OUT = "docs/capture.md says what it must hold."


@dataclass(frozen=True)
class CapturedImage:
    """Where an image of a capture is: file, and number in its batch."""

    path: Path
    number: int


@dataclass(frozen=True, eq=False)
class CaptureDataset(Dataset):
    """The images of captured steps, step by step.

    Attributes:
        places: of each of ``images``.
        steps: what the losses of each file were, by file; read without the large arrays.
    """

    places: tuple[CapturedImage, ...] = ()
    steps: tuple[tuple[Path, RecordedStep], ...] = ()

    @property
    def framework(self) -> str:
        """Name of the preset that belongs to the trainer of the first step; empty where none is named."""
        return self.steps[0][1].framework if self.steps else ""


def is_capture(path: Path) -> bool:
    """Whether a file is a captured step, or a folder holds one."""
    try:
        if path.is_dir():
            return any(entry.name.startswith("step_") and is_capture(entry) for entry in sorted(path.glob("*.npz")))
    except OSError:
        return False
    return path.suffix.lower() == SUFFIX and {"images", "image0.boxes"} <= set(array_names(path))


def capture_files(path: Path) -> list[Path]:
    """The captured steps of a folder, in order; of a file itself.

    Raises:
        ModelFileError: the folder holds none.
    """
    if not path.is_dir():
        return [path]
    found = sorted(entry for entry in path.glob("*.npz") if is_capture(entry))
    if not found:
        raise ModelFileError("the folder holds no captured step (.npz).", where=str(path), way_out=_WAY_OUT)
    return found


def read_step(path: Path, *, whole: bool = True) -> RecordedStep:
    """Read a captured step without its pixels.

    Args:
        path: the file.
        whole: False leaves logits, deltas, anchors and labels out.

    Raises:
        ModelFileError: the file is damaged, an array is missing, or has another shape than the others say.
    """

    def wanted(name: str) -> bool:
        return name != "images" and (whole or name.rpartition(".")[2] not in _LARGE)

    try:
        arrays, texts = read_arrays(path, wanted)
        return _step(path, arrays, texts)
    except ModelFileError:
        raise
    except (ShapeError, ValueError, KeyError, TypeError, IndexError, OSError) as error:
        what = f"the array {error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise ModelFileError(f"it is no whole captured step: {what}.", where=str(path), way_out=_WAY_OUT) from error


def _step(path: Path, arrays: Mapping[str, NDArray], texts: Mapping[str, str]) -> RecordedStep:
    found = texts.get("format", FORMAT)
    if found != FORMAT:
        raise ValueError(f"its format is {found!r}, expected {FORMAT!r}")
    shape, kind = _header(path)
    count = shape[0]
    sizes = np.asarray(arrays["sizes"]).reshape(-1, 2) if "sizes" in arrays else np.tile(shape[1:3], (count, 1))
    if len(sizes) != count:
        raise ValueError(f"'sizes' has {len(sizes)} rows, expected {count}: one per image")
    bad = [0] * count
    if np.issubdtype(kind, np.floating):
        pixels = read_arrays(path, lambda name: name == "images")[0]["images"]
        bad = [int((~np.isfinite(pixels[number])).sum()) for number in range(count)]
    shared = arrays.get("anchors")
    images = tuple(
        _image(arrays, texts, number, read_size(sizes[number], "sizes"), shared, bad[number]) for number in range(count)
    )
    grids = tuple((int(c), int(h), int(w)) for c, h, w in arrays["grids"].reshape(-1, 3)) if "grids" in arrays else ()
    strides: tuple[tuple[float, float], ...] = ()
    if "strides" in arrays:
        pairs = np.asarray(arrays["strides"], np.float64).reshape(len(arrays["strides"]), -1)
        strides = tuple((float(row[0]), float(row[-1])) for row in pairs)
        if grids and len(strides) != len(grids):
            raise ValueError(f"'strides' has {len(strides)} rows, expected {len(grids)}: one per level")
    losses = {
        name.removeprefix("loss."): float(np.asarray(value).sum())
        for name, value in arrays.items()
        if name.startswith("loss.")
    }
    framework, run = texts.get("framework", ""), texts.get("run", "")
    unknown = framework if framework not in presets.names() else ""
    framework = "" if unknown else framework
    size = shape[1], shape[2]
    return RecordedStep(int(arrays["step"]), framework, size, images, losses, grids, strides, run, unknown)


def _header(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of the images without reading them."""
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
        if "images" not in archive.files:
            raise KeyError("images")
        with archive.zip.open("images.npy") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, kind = read(file)
    if len(shape) != 4 or shape[3] != 3 or min(shape) < 1:
        raise ValueError(f"'images' has shape {shape}, expected (N, H, W, 3)")
    return shape, kind


def _image(
    arrays: Mapping[str, NDArray],
    texts: Mapping[str, str],
    number: int,
    size: tuple[int, int],
    anchors: NDArray | None,
    bad_pixels: int,
) -> RecordedImage:
    def own(name: str, kind: type | None = None) -> NDArray | None:
        value = arrays.get(f"image{number}.{name}")
        if value is None or kind is None:
            return value
        cast: NDArray = np.asarray(value, kind)
        if kind in _WHOLE and not np.array_equal(cast, value):
            raise ValueError(f"'image{number}.{name}' holds numbers that are not whole, or too large")
        return cast

    boxes = np.asarray(arrays[f"image{number}.boxes"], np.float64)
    boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"'image{number}.boxes' has shape {boxes.shape}, expected (M, 4)")
    sampled = [own(name, np.int64) for name in ("sampled_positive", "sampled_negative")]
    own_anchors = own("anchors")
    return RecordedImage(
        size=size,
        boxes=boxes,
        classes=own("classes", np.int64),
        ignore=own("ignore", np.bool_),
        anchors=anchors if own_anchors is None else own_anchors,
        labels=own("labels", np.int8),
        sampled_positive=None if sampled[0] is None else np.sort(sampled[0]),
        sampled_negative=None if sampled[1] is None else np.sort(sampled[1]),
        target_anchor=own("target_anchor", np.int64),
        target_deltas=own("target_deltas"),
        target_boxes=own("target_boxes"),
        objectness=own("objectness", np.float32),
        deltas=own("deltas", np.float32),
        bad_pixels=bad_pixels,
        file_name=texts.get(f"image{number}.file_name", ""),
    )


def read_pixels(path: Path, number: int) -> NDArray[np.uint8]:
    """An image of a captured batch without its padding, (H, W, 3) RGB, read-only.

    Floating pixels that were stored as given are stretched to 0 to 255; those that are not finite are magenta.

    Raises:
        ModelFileError: the file is damaged.
    """
    arrays, _ = read_arrays(path, lambda name: name in ("images", "sizes"))
    batch = arrays["images"]
    height, width = arrays["sizes"][number].tolist() if "sizes" in arrays else batch.shape[1:3]
    pixels = batch[number, :height, :width]
    if pixels.dtype != np.uint8:
        finite = np.isfinite(pixels)
        low, high = (pixels[finite].min(), pixels[finite].max()) if finite.any() else (0.0, 1.0)
        with np.errstate(invalid="ignore"):
            scaled = (pixels.astype(np.float64) - low) / max(high - low, 1e-12) * 255
        shown = np.where(finite, np.clip(scaled, 0, 255), 0).astype(np.uint8)
        shown[~finite.all(axis=2)] = (255, 0, 255)
        pixels = shown
    return frozen(np.ascontiguousarray(pixels))


def open_captures(path: Path, progress: Progress = no_progress) -> CaptureDataset:
    """A captured step, or a folder of them, as a data set; damaged files are findings.

    Names of images of a step that is not finite begin with "!".

    Raises:
        ModelFileError: there is no step that can be read.
    """
    files = capture_files(path)
    records: list[ImageRecord] = []
    places: list[CapturedImage] = []
    steps: list[tuple[Path, RecordedStep]] = []
    findings: list[Finding] = []
    numbered: list[ImageRecord] = []
    used: set[int] = set()
    unknown: set[str] = set()
    for done, file in enumerate(files):
        progress(done / len(files))
        try:
            step = read_step(file, whole=False)
        except ModelFileError as error:
            if len(files) == 1:
                raise
            findings.append(Finding("error", error.what, file.name, error.way_out, kind="damaged capture"))
            continue
        steps.append((file, step))
        if step.stated_framework and step.stated_framework not in unknown:
            unknown.add(step.stated_framework)
            what = f"no rules are known for its framework {step.stated_framework!r}; those of another trainer apply"
            out = f"Captures name one of {', '.join(presets.names())} (Recorder(framework=...))."
            findings.append(Finding("warning", what, file.name, out, kind="unknown trainer"))
        for number, image in enumerate(step.images):
            classes = np.zeros(len(image.boxes), np.int64) if image.classes is None else image.classes
            classes = np.maximum(classes, 0)
            used.update(np.unique(classes).tolist())
            ignore = np.zeros(len(image.boxes), bool) if image.ignore is None else image.ignore
            gt = GroundTruth(image.boxes.copy(), classes.copy(), ignore.copy(), (None,) * len(image.boxes))
            mark = "" if step.finite else "! "
            own = f" · {image.file_name}" if image.file_name else ""
            name = f"{mark}step {step.step:,} · image {number}{own}"
            place = file.with_name(f"{file.stem}_image{number}{SUFFIX}")
            read, seen = partial(read_pixels, file, number), step.input_size
            records.append(ImageRecord(name, place, image.size, gt, read=read, stored_in=file, seen_size=seen))
            places.append(CapturedImage(file, number))
    if not records:
        raise ModelFileError("none of its captured steps can be read.", where=str(path), way_out=_WAY_OUT)
    # Only ids that occur have a name: one of millions must not make as many.
    ids = np.array(sorted(used), np.int64)
    for record in records:
        before = record.gt
        labels: NDArray[np.int64] = np.asarray(np.searchsorted(ids, before.labels), np.int64)
        gt = GroundTruth(before.boxes, labels, before.ignore, before.ids)
        numbered.append(record.with_gt(gt))
    categories = tuple(f"class {number}" for number in ids.tolist())
    return CaptureDataset(
        path.name, path, tuple(numbered), categories, tuple(findings), places=tuple(places), steps=tuple(steps)
    )
