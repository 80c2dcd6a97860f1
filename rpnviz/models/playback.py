"""One network at several moments of its training: a folder of checkpoints, or of RPN dumps, in the order of the steps.

The step of a checkpoint is the last number in its file name, as trainers write it (``model_0004999.pth``,
``epoch_12.pth``); files without one, such as ``model_final.pth``, come last. A dump states its step, or lies in a
folder that is named by it.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.inputs import ModelSettings, RPNOutput
from rpnviz.errors import ModelFileError
from rpnviz.models import checkpoint, dump
from rpnviz.models.base import ModelInfo, ProposalModel, cancellable, stop_if_asked
from rpnviz.models.registry import inspect_model, open_model, recognise
from rpnviz.paths import bundled_playback

SUFFIXES = (".safetensors", ".pth", ".pt", ".pkl", ".ckpt", ".h5", ".onnx", ".pth.tar", ".pt.tar")
"""Of files that hold weights."""
_T = TypeVar("_T")
_NUMBER = re.compile(r"(?:^|[\W_])(epoch|ep|e|iteration|iter|it|step|s|)[\W_]?(\d+)(?=$|[\W_])")
_MOST_NAMED = 5
_MOST_REFUSED = 3
"""Steps, from the last one on, that are left out because they cannot be opened: is it more, the reason is another."""
_OPEN = 2
"""Networks that are held at once; one of a ResNet-50 takes about 110 MB."""


@dataclass(frozen=True)
class Step:
    """One moment of a training.

    Attributes:
        number: of the step, iteration or epoch; None where the name has none.
        label: shown to the user, such as ``step 200`` or ``model_final``.
        paths: one checkpoint, or the dumps of that step.
    """

    number: int | None
    label: str
    paths: tuple[Path, ...]


@dataclass(frozen=True, eq=False)
class StepModel:
    """The network at one step, opened when it is first run; see :class:`rpnviz.models.base.ProposalModel`."""

    name: str
    note: str
    settings: ModelSettings
    step: Step
    _open: Callable[[Step], ProposalModel] = field(repr=False)

    def propose(
        self, image: NDArray[np.uint8], cancelled: Callable[[], bool] | None = None, file_name: str = ""
    ) -> RPNOutput:
        """See :meth:`rpnviz.models.base.ProposalModel.propose`.

        Raises:
            ModelFileError: the step's file cannot be opened.
        Cancelled: ``cancelled`` said so.
        """
        with cancellable(cancelled) if cancelled is not None else nullcontext():
            model = self._open(self.step)
        return model.propose(image, cancelled, file_name)


@dataclass(frozen=True, eq=False)
class Playback:
    """A training, step by step.

    Attributes:
        name: of the folder.
        models: one for every step, at least two, in their order; settings and note are those of the last one.
        left_out: files that look like steps and are none, each with the reason.
    """

    name: str
    models: tuple[StepModel, ...]
    left_out: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """What was left out, for the user: a line with the names, then one for each reason; empty if nothing."""
        shown = self.left_out[:_MOST_NAMED]
        more = len(self.left_out) - len(shown)
        end = [f"... and {more:,} more"] if more else []
        names = ", ".join([*(entry.split(": ")[0] for entry in shown), *end])
        return "\n".join([names, *shown, *end]) if shown else ""


@dataclass(frozen=True)
class Found:
    """What a folder holds of a training.

    Attributes:
        steps: in their order; fewer than two: it is no playback.
        left_out: files that look like steps and are none, each with the reason.
    """

    steps: tuple[Step, ...]
    left_out: tuple[str, ...] = ()


def open_playback(path: Path | None, options: Mapping[str, str] | None = None) -> Playback:
    """Open a folder that :func:`find_steps` finds several steps in.

    Args:
        path: the folder; None: the sample model's training.
        options: answers to what the files do not say, the same for all; others are those of last time.

    Raises:
        ModelFileError: it holds fewer than two steps, or the last one cannot be opened.
    """
    folder = bundled_playback() if path is None else path
    found = scan(folder)
    steps, left_out = found.steps, list(found.left_out)
    if len(steps) < 2 and path is None:
        open_model(None)  # says that the sample model is missing
    if len(steps) < 2:
        raise ModelFileError(
            "the folder does not hold two or more steps of a training.",
            where=str(folder),
            way_out="Checkpoints are told apart by the last number in their names, dumps by the step that they state.",
        )
    given = {**checkpoint.read_sidecar(folder), **(options or {})}
    opener = _Opener(given)
    last, steps = _last_usable(steps, opener, left_out)
    of = "Sample model" if path is None else folder.name
    models = tuple(StepModel(f"{of}, {step.label}", last.note, last.settings, step, opener) for step in steps)
    return Playback(of, models, tuple(left_out))


def _last_usable(
    steps: tuple[Step, ...], use: Callable[[Step], _T], left_out: list[str]
) -> tuple[_T, tuple[Step, ...]]:
    """What ``use`` makes of the last step, and the steps up to it; those that it refuses are added to ``left_out``.

    Raises:
        ModelFileError: it refuses the last ones, as it does where the answers are wrong, or all but the first.
    """
    refused: list[ModelFileError] = []
    while True:
        try:
            return use(steps[-1]), steps
        except ModelFileError as error:
            refused.append(error)
            if len(steps) < 3 or len(refused) == _MOST_REFUSED:
                raise refused[0] from None
            left_out.append(f"{steps[-1].paths[0].name}: {error.what}")
            steps = steps[:-1]


def open_last(path: Path | None, options: Mapping[str, str] | None = None) -> ProposalModel:
    """A model as :func:`~rpnviz.models.registry.open_model` opens it; of a training, its last step.

    Raises:
        ModelFileError: it cannot be opened.
    """
    path = path and model_in(path)
    if path is not None and path.is_dir() and len(find_steps(path)) > 1:
        return open_playback(path, options).models[-1]
    return open_model(path, options)


def model_in(path: Path) -> Path:
    """The only checkpoint of a folder; where there are several or none, and of a file, the path itself.

    Raises:
        ModelFileError: the folder cannot be read.
    """
    steps = find_steps(path) if path.is_dir() else ()
    return steps[0].paths[0] if len(steps) == 1 and not _is_dump(steps[0].paths[0]) else path


class _Opener:
    """Opens steps and holds the last few; may be called from several threads."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._held: OrderedDict[Step, ProposalModel] = OrderedDict()

    def __call__(self, step: Step) -> ProposalModel:
        with self._lock:
            if step in self._held:
                self._held.move_to_end(step)
                return self._held[step]
            if _is_dump(step.paths[0]):
                model: ProposalModel = dump.dump_model(step.paths, step.label, self._options.get("preset"))
            else:
                model = open_model(step.paths[0], self._options)
            self._held[step] = model
            while len(self._held) > _OPEN:
                self._held.popitem(last=False)
            return model


def inspect_playback(path: Path) -> ModelInfo:
    """What the last step of a folder is, and what it does not say.

    Raises:
        ModelFileError: it cannot be opened.
    """
    return _last_usable(find_steps(path), lambda step: inspect_model(step.paths[0]), [])[0]


def find_steps(folder: Path) -> tuple[Step, ...]:
    """The steps of a training in a folder, in their order; fewer than two: it is no playback.

    Raises:
        ModelFileError: the folder cannot be read.
        Cancelled: nobody waits for it any more.
    """
    return scan(folder).steps


def scan(folder: Path) -> Found:
    """The steps of a training in a folder, and what looks like one and is none.

    Raises:
        ModelFileError: the folder cannot be read.
        Cancelled: nobody waits for it any more.
    """
    try:
        # Trainers keep links such as latest.pth beside the file itself.
        entries = {entry.resolve(): entry for entry in sorted(folder.iterdir(), key=lambda entry: entry.is_symlink())}
    except OSError as error:
        raise ModelFileError(f"the folder cannot be read: {error.strerror or error}.", where=str(folder)) from error
    files = sorted(entry for entry in set(entries) if entry.is_file())
    problems = {path: _problem(path) for path in files if path.name.lower().endswith((*SUFFIXES, ".npz"))}
    weights = [path for path, problem in problems.items() if problem is None]
    left_out = tuple(f"{path.name}: {problem}" for path, problem in problems.items() if problem)
    if len(weights) > 1:
        return Found(_in_order(_step_of(path.stem, (path,)) for path in weights), left_out)
    stated: dict[int, list[Path]] = {}
    recorded = _dumps(files)
    for path in recorded:
        number = dump.labels(path)[1]
        if number is not None:
            stated.setdefault(number, []).append(path)
    if len(stated) > 1:
        return Found(
            _in_order(Step(number, f"step {number:,}", tuple(paths)) for number, paths in stated.items()), left_out
        )
    folders = [(entry, _dumps(sorted(entry.iterdir()))) for entry in sorted(set(entries)) if entry.is_dir()]
    by_folder = _in_order(_step_of(entry.name, tuple(dumps)) for entry, dumps in folders if dumps)
    if weights and not recorded and len(by_folder) < 2:
        return Found((_step_of(weights[0].stem, (weights[0],)),), left_out)
    return Found(by_folder, left_out)


def _in_order(steps: Iterable[Step]) -> tuple[Step, ...]:
    return tuple(sorted(steps, key=lambda step: (step.number is None, step.number or 0, step.label)))


def _step_of(name: str, paths: tuple[Path, ...]) -> Step:
    """A step by the last number that stands alone, or behind its unit, in a name: not the 50 of resnet50."""
    found = _NUMBER.findall(name.lower())
    if not found:
        return Step(None, name, paths)
    unit, number = found[-1]
    return Step(int(number), f"{'epoch' if unit.startswith('e') else 'step'} {int(number):,}", paths)


def _dumps(files: Sequence[Path]) -> list[Path]:
    return [path for path in files if path.suffix.lower() in dump.SUFFIXES and path.is_file() and _is_dump(path)]


def _is_dump(path: Path) -> bool:
    try:
        return recognise(path).name == "dump"
    except ModelFileError:
        return False


def _problem(path: Path) -> str | None:
    """Why a file is no checkpoint; None if it is one, empty if it is a dump, which is none and no problem."""
    stop_if_asked()
    try:
        status = path.stat()
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}."
    return _problem_of(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1000)
def _problem_of(path: Path, _changed: int, _size: int) -> str | None:
    try:
        form = recognise(path).name
        if form == "checkpoint":
            checkpoint.check_names(path)
    except ModelFileError as error:
        return error.what
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}."
    return "" if form == "dump" else None
