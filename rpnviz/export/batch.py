"""Files for the images of a data set: their names, their making one after another, and what went wrong with which."""

from __future__ import annotations

import os
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rpnviz.core import pipeline
from rpnviz.core.presets import Preset
from rpnviz.datasets.base import Dataset, ImageRecord, inputs_of, load_image
from rpnviz.drawing.density import forget
from rpnviz.drawing.frame import Photo
from rpnviz.errors import ExportError, RpnvizError
from rpnviz.export.look import Subject
from rpnviz.models.base import ProposalModel

FIELDS = ("stem", "stage", "index")
"""What a name pattern may hold: the image's name without its ending, what is shown, and the image's number from 1."""
DEFAULT_PATTERN = "{stem}_{stage}"


@dataclass(frozen=True)
class Target:
    """One file of a batch."""

    record: ImageRecord
    path: Path


@dataclass(frozen=True)
class Failure:
    """An image whose file could not be made, and why."""

    file_name: str
    error: RpnvizError


@dataclass(frozen=True)
class Outcome:
    """What became of a batch: files written, in order, and images that failed."""

    written: tuple[Path, ...]
    failures: tuple[Failure, ...]


def is_pattern(name: str) -> bool:
    """Whether a name holds any field, known or not."""
    try:
        return any(field is not None for _, field, _, _ in string.Formatter().parse(name))
    except ValueError:
        return False


def name_of(pattern: str, record: ImageRecord, stage: str, number: int, total: int) -> str:
    """The name that a pattern gives to an image.

    Args:
        pattern: with ``{stem}``, ``{stage}`` and ``{index}`` in it; ``{{`` is a brace.
        record: the image.
        stage: what is shown.
        number: of the image, from 1; written with as many digits as ``total`` has.
        total: images of the batch.

    Raises:
        ExportError: it has another field, or a brace without its partner.
    """
    values = {"stem": Path(record.file_name).stem, "stage": stage, "index": f"{number:0{len(str(total))}d}"}
    try:
        parts = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise ExportError(
            f"the name pattern cannot be read: {error}.", where=pattern, way_out=f"Known fields: {_known()}."
        ) from error
    name = ""
    for text, field, form, conversion in parts:
        name += text
        if field is None:
            continue
        if field not in values or form or conversion:
            raise ExportError(
                f"the name pattern has the field {{{field}}}, which is not known.",
                where=pattern,
                way_out=f"Known fields: {_known()}; {{{{ and }}}} are braces.",
            )
        name += values[field]
    return name


def targets_of(
    images: Sequence[ImageRecord], out: str, stage: str, default: str, keep: Mapping[Path, str] | None = None
) -> list[Target]:
    """Where the file of every image goes, as one argument of the command line says it; folders of several are made.

    Args:
        images: one or several.
        out: a file for one image; a folder, or a path with the fields of :func:`name_of`, for any number.
        stage: what is shown.
        default: name pattern of the files in a folder, with its ending.
        keep: see :func:`check_targets`.

    Raises:
        ExportError: several images would go to one file, a folder cannot be made, or see :func:`plan_targets`.
    """
    path = Path(out)
    is_folder = path.is_dir() or out.endswith(("/", os.sep))
    if is_pattern(out):
        targets = plan_targets(images, out, stage, keep=keep)
    elif len(images) == 1 and not is_folder:
        targets = [Target(images[0], path)]
        check_targets(targets, keep)
        return targets
    elif path.suffix and not is_folder:
        raise ExportError(
            f"{len(images)} images cannot go to one file.",
            where=out,
            way_out="Give a folder, or a name with {stem} or {index} in it.",
        )
    else:
        # What looks like a field in the folder's own name is none: it exists, or was written with an ending slash.
        targets = plan_targets(images, default, stage, path, keep)
    make_folders(targets)
    return targets


def plan_targets(
    images: Sequence[ImageRecord],
    pattern: str,
    stage: str,
    folder: Path = Path(),
    keep: Mapping[Path, str] | None = None,
) -> list[Target]:
    """Where the file of every image goes.

    Args:
        images: in the order of their numbers.
        pattern: path of the files, see :func:`name_of`.
        stage: what is shown.
        folder: in which the pattern's paths lie.
        keep: see :func:`check_targets`.

    Raises:
        ExportError: the pattern is wrong, or two images would be written to one file, or over an image.
    """
    total = len(images)
    targets = [
        Target(record, folder / name_of(pattern, record, stage, number, total))
        for number, record in enumerate(images, 1)
    ]
    check_targets(targets, keep)
    return targets


def check_targets(targets: Sequence[Target], keep: Mapping[Path, str] | None = None) -> None:
    """Check that nothing is overwritten that is needed.

    Args:
        targets: what is written.
        keep: further files to keep, and what they are, see :func:`files_of`; the targets' own images always are.

    Raises:
        ExportError: two images would be written to one file, or over a file to keep.
    """
    taken = {target.record.path.resolve(): f"the image {target.record.file_name}" for target in targets}
    taken.update(keep or {})
    for target in targets:
        check_place(target.path, taken, f"the file of {target.record.file_name}")
        taken[target.path.resolve()] = f"the file of {target.record.file_name}"


def check_place(path: Path, taken: Mapping[Path, str], what: str) -> None:
    """Check that ``what`` is not written to a path, links followed, that is taken.

    Raises:
        ExportError: it would be.
    """
    place = path.resolve()
    if place in taken:
        raise ExportError(
            f"{what} would overwrite {taken[place]}.",
            where=str(path),
            way_out="Choose another name or folder; for several images put {index} into the name.",
        )


def files_of(dataset: Dataset, *others: Path | None) -> dict[Path, str]:
    """The files that a data set was read from, links followed, and what they are; and ``others`` that are read."""
    source = dataset.source
    annotations = [source] if source.is_file() else list(source.glob("*.json")) if source.is_dir() else []
    kept = {path.resolve(): f"{path.name}, which was read" for path in (*annotations, *others) if path is not None}
    kept.update({image.path.resolve(): f"the image {image.file_name}" for image in dataset.images})
    return kept


def make_folders(targets: Sequence[Target]) -> None:
    """Make the folders that do not exist yet.

    Raises:
        ExportError: one of them cannot be made.
    """
    for folder in dict.fromkeys(target.path.parent for target in targets):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ExportError(
                f"the folder cannot be made: {error.strerror}.", where=str(folder), way_out="Choose another place."
            ) from error


def make_subject(
    record: ImageRecord,
    dataset: Dataset,
    preset: Preset,
    model: ProposalModel | None,
    cancelled: Callable[[], bool] | None = None,
) -> Subject:
    """Read an image and compute what its picture shows.

    Args:
        record: the image.
        dataset: that it belongs to.
        preset: the trainer, with the parameters that are used.
        model: whose proposals are shown; None: what training sees.
        cancelled: asked between the stages of the network; True ends the run.

    Raises:
        Cancelled: ``cancelled`` said so.
        RpnvizError: the image cannot be read, or the model does not fit it.
    """
    loaded = load_image(record)
    inputs = inputs_of(record, loaded.size)
    note = ""
    if model is not None:
        result = pipeline.run_outputs(
            inputs, model.propose(loaded.whole(), cancelled, record.file_name), preset.params, preset.conventions
        )
        note = f"{model.name}, {model.note}"
    else:
        result = pipeline.run(inputs, preset.params, preset.conventions)
    names = dataset.names_of(record)
    photo = Photo(loaded.pixels, loaded.size, loaded.read_whole)
    return Subject(photo, result, record.file_name, names, preset, note)


def run_batch(
    targets: Sequence[Target],
    write: Callable[[Target], None],
    progress: Callable[[int, Target], None] = lambda _number, _target: None,
    failed: Callable[[Failure], None] = lambda _failure: None,
) -> Outcome:
    """Write every file; an image that fails does not stop the others.

    Args:
        targets: in order.
        write: makes the file of one, whole or not at all.
        progress: told before each, with the number of those that are done. What it raises, such as
            :class:`~rpnviz.errors.Cancelled`, ends the batch; files that are written stay.
        failed: told at once about every image that fails.
    """
    written, failures = [], []
    for number, target in enumerate(targets):
        forget()  # a large picture's buffers, before the next one and for good after the last
        progress(number, target)
        try:
            write(target)
        except MemoryError:
            problem = ExportError("the memory does not suffice for this image.", where=target.record.file_name)
            failures.append(Failure(target.record.file_name, problem))
            failed(failures[-1])
        except RpnvizError as error:
            failures.append(Failure(target.record.file_name, error))
            failed(failures[-1])
        else:
            written.append(target.path)
    forget()
    return Outcome(tuple(written), tuple(failures))


def _known() -> str:
    return ", ".join(f"{{{field}}}" for field in FIELDS)
