"""A case in one zip: an image, its boxes, parameters, selection, picture and findings, to open on another machine."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import zipfile
from pathlib import Path

import msgspec
import numpy as np

from rpnviz import __version__
from rpnviz.app.reasons import gt_sentences
from rpnviz.app.session import ModelPart, Session, ViewPart, read_session, session_bytes
from rpnviz.app.snapshot import Snapshot
from rpnviz.app.texts import verdict
from rpnviz.core.params import differences
from rpnviz.core.presets import load
from rpnviz.datasets.base import Finding, GroundTruth, ImageRecord
from rpnviz.errors import SessionError
from rpnviz.export.coco import coco_document
from rpnviz.files import write_whole
from rpnviz.imaging import encode_png
from rpnviz.models.dump import dump_bytes
from rpnviz.paths import cache_folder

_SESSION = "session.rpnviz.json"
_ANNOTATIONS = "annotations.json"
_OUTPUTS = "outputs.npz"
_PICTURE = "picture.png"
_TEXT = "findings.txt"
_RESERVED = {_SESSION, _ANNOTATIONS, _OUTPUTS, _PICTURE, _TEXT}
_MAX_BYTES = 4 * 2**30
_MAX_FILES = 20
_KEPT = 10
"""Unpacked cases that stay in the cache."""
_NAME = re.compile(r"[\w][\w .()+,=@-]{0,200}")


def case_bytes(
    snapshot: Snapshot,
    session: Session,
    region: tuple[float, float, float, float] | None,
    findings: tuple[Finding, ...],
) -> bytes:
    """The zip.

    Args:
        snapshot: what is on the screen.
        session: the same as a session; its paths do not come into the zip.
        region: xyxy original px, the part of the image to share; None: all of it, with the model's outputs.
        findings: what is wrong with the image's records.

    Raises:
        SessionError: the image cannot be read any more, or is part of a capture.
        ExportError: there is no picture to make.
    """
    record = snapshot.record
    if record.stored_in is not None:
        # Beside its batch it is another image: as a file of its own it would be resized.
        raise SessionError(
            "the image is part of a captured step.",
            where=record.file_name,
            way_out=f"Share the file {record.stored_in.name} itself: it opens on another machine as it is.",
        )
    pixels = snapshot.photo.whole()
    name, data = _image(snapshot, region)
    gt, size, offset = record.gt, pixels.shape[:2], (0, 0)
    if region is not None:
        x1, y1, x2, y2 = _whole_pixels(region, size)
        gt, size, offset = _cut(record.gt, (x1, y1, x2, y2)), (y2 - y1, x2 - x1), (x1, y1)
        data = encode_png(np.ascontiguousarray(pixels[y1:y2, x1:x2]))
    own = ImageRecord(name, Path(name), (size[0], size[1]), gt)
    model = snapshot.shown.model if region is None and snapshot.has_proposals else None
    view = session.view
    if view is not None and region is not None:
        view = ViewPart(view.scale, view.x - offset[0], view.y - offset[1])
    inside = msgspec.structs.replace(
        session,
        paths=(name,),
        annotations=_ANNOTATIONS,
        image=name,
        view=view,
        model=ModelPart(_OUTPUTS) if model is not None else None,
        boxes=(),  # they are in its annotations
        gt=session.gt if region is None else -1,
        anchor=session.anchor if region is None else -1,
    )
    document = coco_document([own], [(size[0], size[1])], snapshot.dataset.categories)
    files = {
        name: data,
        _ANNOTATIONS: json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False).encode(),
        _SESSION: session_bytes(inside, None),
        _PICTURE: encode_png(snapshot.picture()),
        _TEXT: "\n".join(_lines(snapshot, region, findings)).encode(),
    }
    if model is not None:
        files[_OUTPUTS] = dump_bytes(model, name)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for member, content in files.items():
            small = member.endswith((".json", ".txt"))
            archive.writestr(member, content, zipfile.ZIP_DEFLATED if small else zipfile.ZIP_STORED)
    return packed.getvalue()


def save_case(data: bytes, path: Path) -> None:
    """Write the zip.

    Raises:
        SessionError: the place cannot be written.
    """
    write_whole(path, data, SessionError)


def is_case(path: Path) -> bool:
    """Whether a file is a shared case."""
    if path.suffix.lower() != ".zip":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return _SESSION in archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def unpack_case(path: Path) -> Path:
    """Unpack a case into the user's cache.

    Returns:
        Its session file.

    Raises:
        SessionError: it is damaged, holds anything but plain files, is too large, or its session names other files.
    """
    where = str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            for member in members:
                if not _NAME.fullmatch(member.filename):
                    raise SessionError(f"it holds {member.filename!r}, expected plain files alone.", where=where)
            total = sum(member.file_size for member in members)
            if len(members) > _MAX_FILES or total > _MAX_BYTES:
                raise SessionError(
                    f"it holds {len(members):,} files of {total:,} bytes, at most {_MAX_FILES} of {_MAX_BYTES:,} bytes "
                    "are taken.",
                    where=where,
                )
            folder = _folder_for(path)
            for member in members:
                # zipfile reads no more than the size that was added up above, and checks it.
                write_whole(folder / member.filename, archive.read(member), SessionError)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, RuntimeError) as error:
        raise SessionError(f"the case cannot be unpacked: {error}.", where=where) from error
    session = read_session(folder / _SESSION)
    for file in session.files:
        if file.parent != folder.absolute():
            raise SessionError(f"its session names {str(file)!r}, which lies outside of the zip.", where=where)
    return folder / _SESSION


def _folder_for(path: Path) -> Path:
    """A folder for the case's content; the oldest others go."""
    cache = cache_folder() / "cases"
    state = path.stat()
    key = f"{path.absolute()} {state.st_mtime_ns} {state.st_size}"
    folder = cache / hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:16] / path.stem
    folder.mkdir(parents=True, exist_ok=True)
    others = sorted((other for other in cache.iterdir() if other != folder.parent), key=lambda o: o.stat().st_mtime)
    for old in others[: max(len(others) + 1 - _KEPT, 0)]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def _image(snapshot: Snapshot, region: object) -> tuple[str, bytes]:
    """A name without folders, and the file as it is, so that it decodes to the same pixels."""
    path = snapshot.record.path
    stem = re.sub(r"[^\w.()-]+", "_", path.stem).lstrip("._-")[:100] or "image"
    if region is not None:
        return f"{stem}_part.png", b""
    try:
        name = f"{stem}{path.suffix}"
        return f"image_{name}" if name in _RESERVED else name, path.read_bytes()
    except OSError as error:
        raise SessionError(f"the image cannot be read any more: {error.strerror or error}.", where=str(path)) from error


def _whole_pixels(region: tuple[float, float, float, float], size: tuple[int, ...]) -> tuple[int, int, int, int]:
    height, width = size
    x1, y1 = max(int(np.floor(region[0])), 0), max(int(np.floor(region[1])), 0)
    return x1, y1, min(max(int(np.ceil(region[2])), x1 + 1), width), min(max(int(np.ceil(region[3])), y1 + 1), height)


def _cut(gt: GroundTruth, part: tuple[int, int, int, int]) -> GroundTruth:
    """Boxes cut to a part of the image, in its pixels; those without any area there go."""
    x1, y1, x2, y2 = part
    with np.errstate(invalid="ignore"):
        boxes = np.clip(gt.boxes, (x1, y1, x1, y1), (x2, y2, x2, y2)) - (x1, y1, x1, y1)
        stays = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    ids = tuple(name for name, stay in zip(gt.ids, stays, strict=True) if stay)
    return GroundTruth(boxes[stays], gt.labels[stays].copy(), gt.ignore[stays].copy(), ids)


def _lines(snapshot: Snapshot, region: object, findings: tuple[Finding, ...]) -> list[str]:
    """What rpnviz says of the image, as text for whoever has no rpnviz."""
    result, preset = snapshot.shown.training, snapshot.preset
    height, width = result.inputs.image_size
    lines = [
        f"rpnviz {__version__}",
        f"{snapshot.record.file_name}, {width} x {height} px, input {result.frame.input_size[1]} x "
        f"{result.frame.input_size[0]} px",
        f"Trainer: {preset.name}",
    ]
    default = load(preset.name)
    changed = differences(default.params, preset.params)
    lines += [f"  {field}: {now} (default {before})" for field, before, now in changed]
    overrides = preset.conventions.overrides_from(default.conventions)
    lines += [f"  conventions.{field}: {value}" for field, value in overrides.items()]
    if snapshot.model is not None:
        lines.append(f"Model: {snapshot.model.name}, {snapshot.model.note}")
    if region is not None:
        lines.append("The zip holds a part of the image: a trainer resizes that differently, and its labels differ.")
    lines += ["", "Ground truth:"]
    names = snapshot.dataset.names_of(snapshot.record)
    for gt, name in enumerate(names):
        lines.append(f"GT {gt} {name}: {verdict(result, gt)}")
        lines += [f"  {sentence}" for sentence in gt_sentences(result, gt)]
    lines += ["", "Findings in the annotation file:", *(f"  {finding.what}" for finding in findings)]
    return [*lines, ""] if findings else [*lines, "  none", ""]
