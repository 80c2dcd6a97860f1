"""Writes what a trainer's RPN really saw at a step: images, targets, labels, the draw, outputs and losses.

This file stands alone: it needs NumPy and nothing else of rpnviz, so it can be copied beside a training script. Tensors
of any framework are taken by what they can do (``.detach().cpu().numpy()``). Nothing in it raises into a training loop:
the first problem is one warning, and from then on it is off.

    from rpnviz import capture
    handle = capture.torchvision(model, "captures", every=100)     # and handle.remove() to take it off again

``docs/capture.md`` says what a file holds and has such lines for other trainers.
"""

from __future__ import annotations

import contextlib
import copy
import math
import os
import re
import time
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

FORMAT = "rpn-capture/1"
_BROKEN_KEPT = 10
"""Steps with a loss that is not finite that a folder holds: what broke a training is in the first of them."""
_NAME = re.compile(r"step_\d+(-[0-9a-f]+)?(_nonfinite)?\.npz")
_PART = re.compile(r"\.step_\d+(-[0-9a-f]+)?(_nonfinite)?-\d+\.part")
_LEFT_BEHIND_S = 600
"""A file that was begun and has not grown for so long is that of a killed job."""


class Recorder:
    """Decides which steps are written, and writes them.

    Args:
        folder: where the files go; made if it is missing. One process writes to it (rank 0).
        every: every how many-th step is written; steps with a loss that is not finite are written too.
        limit_mb: what all files together may take, in MB of 10^6 bytes. Only the first step of a run whose losses are
            not finite is written beyond it.
        when_full: ``"oldest"`` removes the finite steps that were written first, ``"stop"`` writes no more of them.
        framework: name of the rpnviz preset that belongs to the trainer, such as ``"detectron2"``.
        mean, std: of the images' normalisation, per channel, in the network's channel order; None: images are stored
            as given.
        factor: what makes 0 to 255 of an image once ``std`` and ``mean`` are undone: 255 where pixels are 0 to 1.
        channels: order of the network's channels, ``"rgb"`` or ``"bgr"``; files hold RGB.
        outputs: whether logits and deltas of all anchors are written; they are most of a file.

    Attributes:
        run: tells the steps of this training from those of another in the same folder.

    Raises:
        ValueError: an argument is not allowed. Nothing else raises, here or later.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        every: int = 100,
        limit_mb: float = 1000.0,
        when_full: str = "oldest",
        framework: str = "",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        factor: float = 1.0,
        channels: str = "rgb",
        outputs: bool = True,
    ) -> None:
        if every < 1 or limit_mb <= 0:
            raise ValueError(f"every is {every} and limit_mb {limit_mb}, expected at least 1 and more than 0")
        if when_full not in ("oldest", "stop") or channels not in ("rgb", "bgr"):
            raise ValueError(f"when_full is {when_full!r} and channels {channels!r}, expected oldest|stop and rgb|bgr")
        if (mean is None) != (std is None):
            raise ValueError("mean and std belong together: give both or none")
        self.folder = Path(folder)
        self.every, self.limit, self.when_full = every, limit_mb * 1e6, when_full
        self.framework, self.channels, self.outputs = framework, channels, outputs
        self.mean, self.std, self.factor = mean, std, factor
        self.run = os.urandom(6).hex()
        self.off = False
        self.written: list[Path] = []
        self._next = 0
        self._broken = 0
        self._full = False
        self._told_large = False

    def due(self, losses: Mapping[str, Any], step: int | None = None) -> bool:
        """Whether :meth:`step` would write this step: it is the n-th, or a loss is not finite."""
        return self.guarded(lambda: self._due(losses, self._next if step is None else step)) is True

    def step(
        self,
        images: Any,
        losses: Mapping[str, Any],
        *,
        boxes: Sequence[Any],
        step: int | None = None,
        sizes: Any = None,
        classes: Sequence[Any] | None = None,
        ignore: Sequence[Any] | None = None,
        file_names: Sequence[str | None] | None = None,
        grids: Any = None,
        strides: Any = None,
        anchors: Any = None,
        labels: Sequence[Any] | None = None,
        sampled_positive: Sequence[Any] | None = None,
        sampled_negative: Sequence[Any] | None = None,
        target_anchor: Sequence[Any] | None = None,
        target_deltas: Sequence[Any] | None = None,
        target_boxes: Sequence[Any] | None = None,
        objectness: Sequence[Any] | None = None,
        deltas: Sequence[Any] | None = None,
    ) -> None:
        """Write a step if it is due. N images, A anchors, L levels; lists have one entry per image.

        Args:
            images: (N, 3, H, W) or (N, H, W, 3): the batch that went into the network.
            losses: scalars by the trainer's own names.
            boxes: (M, 4) xyxy, px of that batch, of each image.
            step: its number; None: counted from 0.
            sizes: (N, 2) height and width of each image inside the padded batch; None: the whole.
            classes, ignore: (M,) category index; whether a box is a crowd or ignore region.
            file_names: of the images.
            grids: (L, 3) anchors per position, rows and columns of every level.
            strides: (L,) or (L, 2) px between positions, vertical then horizontal.
            anchors: (A, 4) xyxy for all images, or a list of N.
            labels: (A,) 1 positive, 0 negative, -1 neither.
            sampled_positive, sampled_negative: indices of the anchors in the mini-batch, or (A,) masks.
            target_anchor: indices of the anchors whose targets follow; None: the positive ones, of whole arrays.
            target_deltas, target_boxes: (A, 4) or one row per ``target_anchor``: what they are trained towards.
            objectness, deltas: (A,) logits and (A, 4) dx dy dw dh, in the order of the anchors.
        """
        number = self._next if step is None else step
        self._next = number + 1
        lists = {
            "boxes": boxes,
            "classes": classes,
            "ignore": ignore,
            "file_name": file_names,
            "labels": labels,
            "sampled_positive": sampled_positive,
            "sampled_negative": sampled_negative,
            "target_anchor": target_anchor,
            "target_deltas": target_deltas,
            "target_boxes": target_boxes,
            "objectness": objectness if self.outputs else None,
            "deltas": deltas if self.outputs else None,
        }

        def write() -> None:
            if self._due(losses, number):
                arrays = self._batch(images, sizes, losses, grids, strides, anchors)
                arrays |= _per_image({name: value for name, value in lists.items() if value is not None})
                self._write(number, arrays, all(_is_finite(value) for value in losses.values()))

        self.guarded(write)

    def skip(self) -> None:
        """Count a step that is not handed over because it is not :meth:`due`."""
        self._next += 1

    def guarded(self, function: Callable[[], Any]) -> Any:
        """Call a function; a problem is told once and ends the recording."""
        if self.off:
            return None
        try:
            return function()
        except Exception as error:
            self.off = True
            try:
                text = f"rpnviz.capture is off from now on: {type(error).__name__}: {error}. The training goes on."
                warnings.warn(text, RuntimeWarning, stacklevel=3)
            except Exception:  # where warnings are errors, this one must not end a training either
                pass
            return None

    def _due(self, losses: Mapping[str, Any], number: int) -> bool:
        if not all(_is_finite(value) for value in losses.values()):
            return self._broken < _BROKEN_KEPT
        return number % self.every == 0 and not self._full

    def _batch(self, images: Any, sizes: Any, losses: Any, grids: Any, strides: Any, anchors: Any) -> dict[str, Any]:
        pixels = as_array(images)
        if pixels.ndim != 4 or 3 not in (pixels.shape[1], pixels.shape[3]):
            raise ValueError(f"images have shape {pixels.shape}, expected (N, 3, H, W) or (N, H, W, 3)")
        if pixels.shape[3] != 3:
            pixels = pixels.transpose(0, 2, 3, 1)
        found: dict[str, Any] = {"images": self._pixels(pixels)}
        whole = [pixels.shape[1:3]] * len(pixels)
        found["sizes"] = np.array(whole if sizes is None else [as_array(size) for size in sizes], np.int64)
        if self.mean is not None and self.std is not None:
            found |= {"mean": np.array(self.mean, np.float64), "std": np.array(self.std, np.float64)}
        for name, value in (("grids", grids), ("strides", strides)):
            if value is not None:
                found[name] = as_array(value)
        if anchors is not None:
            every = [as_array(part) for part in anchors] if isinstance(anchors, (list, tuple)) else [as_array(anchors)]
            if all(np.array_equal(every[0], part) for part in every):
                found["anchors"] = every[0]
            else:
                found |= {f"image{number}.anchors": part for number, part in enumerate(every)}
        found |= {f"loss.{name}": np.array(_number(value)) for name, value in losses.items()}
        return found

    def _pixels(self, pixels: np.ndarray) -> np.ndarray:
        """RGB bytes where the normalisation is known and the pixels are numbers, else as given."""
        if pixels.dtype != np.uint8 and self.mean is not None and self.std is not None:
            undone = (pixels * np.array(self.std, np.float32) + np.array(self.mean, np.float32)) * self.factor
            # What is no number is what one looks for: bytes would hide it.
            pixels = np.clip(np.rint(undone), 0, 255).astype(np.uint8) if np.isfinite(undone).all() else pixels
        return np.ascontiguousarray(pixels[..., ::-1] if self.channels == "bgr" else pixels)

    def _write(self, number: int, arrays: dict[str, Any], finite: bool) -> None:
        texts = {"format": FORMAT, "framework": self.framework, "run": self.run}
        arrays |= {"step": np.array(number)} | {name: np.array(text) for name, text in texts.items()}
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / f"step_{number:08d}{'' if finite else '_nonfinite'}.npz"
        if not finite and target.exists() and target not in self.written:  # what broke an earlier run is kept
            target = self.folder / f"step_{number:08d}-{self.run}_nonfinite.npz"
        beside = self.folder / f".{target.stem}-{os.getpid()}.part"
        try:
            with beside.open("wb") as file:
                _save(file, arrays)
            if self._make_room(beside.stat().st_size, finite, target):
                os.replace(beside, target)
                self.written = [path for path in self.written if path != target] + [target]
                self._broken += not finite
        finally:
            beside.unlink(missing_ok=True)

    def _make_room(self, needed: int, finite: bool, target: Path) -> bool:
        """Whether a file of so many bytes may be added; others are removed only if that makes room for it."""
        sizes = {path: path.stat().st_size for path in self._by_age() if path != target}
        broken = [path for path in sizes if path.stem.endswith("_nonfinite")]
        removable: list[Path] = []
        if not finite or self.when_full == "oldest":
            removable = [path for path in sizes if path not in broken]
        surplus = 0
        spare: list[Path] = []
        if not finite:
            surplus = len(broken) + 1 - _BROKEN_KEPT
            spare = self._spare(broken)
        taken = sum(sizes.values()) + needed + self._begun()
        room = taken - sum(sizes[path] for path in [*removable, *spare])
        if (room > self.limit or surplus > len(spare)) and (finite or self._broken):
            if finite and self.when_full == "stop":
                self._full = True
            elif finite:
                self._tell_large(needed, room - needed)
            else:
                self._broken = _BROKEN_KEPT  # further ones of this run are not even made
            return False
        gone = spare[: max(surplus, 0)]
        taken -= sum(sizes[path] for path in gone)
        for path in [*removable, *spare[len(gone) :]]:
            if taken <= self.limit:
                break
            taken -= sizes[path]
            gone.append(path)
        for path in gone:
            path.unlink(missing_ok=True)
        return True

    def _by_age(self) -> list[Path]:
        """The captures of the folder, those that were written first in front; a restarted run counts from 0 again."""
        files = [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)]
        own = {path: place for place, path in enumerate(self.written)}
        return sorted(files, key=lambda path: (own.get(path, -1), path.stat().st_mtime_ns, path.name))

    def _spare(self, broken: list[Path]) -> list[Path]:
        """Steps of earlier runs that are not finite and may go: the first of each run comes last of all."""
        first: dict[str, Path] = {}
        for path in broken:
            if path not in self.written:
                first.setdefault(_run_of(path), path)
        others = [path for path in broken if path not in self.written and path not in first.values()]
        return others if self._broken else [*others, *first.values()]

    def _begun(self) -> int:
        """Bytes of files of other processes that are half written; those of killed jobs are removed."""
        taken = 0
        for path in self.folder.iterdir():
            if _PART.fullmatch(path.name) and not path.name.endswith(f"-{os.getpid()}.part"):
                found = path.stat()
                if time.time() - found.st_mtime > _LEFT_BEHIND_S:
                    path.unlink(missing_ok=True)
                else:
                    taken += found.st_size
        return taken

    def _tell_large(self, needed: int, kept: int) -> None:
        """A finite step that cannot fit is left out: told once, and no reason to miss one that is not finite."""
        if self._told_large:
            return
        self._told_large = True
        text = (
            f"rpnviz.capture: a step needs {needed / 1e6:.1f} MB beside the {kept / 1e6:.1f} MB that are kept, the "
            f"limit is {self.limit / 1e6:g}. Such steps are left out; give a larger limit_mb."
        )
        with contextlib.suppress(Warning):  # where warnings are errors, this one must not end the recording
            warnings.warn(text, RuntimeWarning, stacklevel=4)


def _save(file: IO[bytes], arrays: Mapping[str, Any]) -> None:
    """As ``numpy.savez_compressed``, but fast: the training waits for it.

    Logits and deltas hardly shrink and are most of a file; for the rest the fastest level does nearly as well.
    """
    with zipfile.ZipFile(file, "w", compresslevel=1) as archive:
        for name, value in arrays.items():
            outputs = name.endswith((".objectness", ".deltas"))
            archive.compression = zipfile.ZIP_STORED if outputs else zipfile.ZIP_DEFLATED
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(value), allow_pickle=False)


def _run_of(path: Path) -> str:
    """Which training a capture is of; empty where the file does not say."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return str(file["run"]) if "run" in file.files else ""
    except (OSError, ValueError, zipfile.BadZipFile):
        return ""


def _per_image(lists: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The arrays of every image under its number; targets of all anchors are cut down to those of the positive."""
    found: dict[str, Any] = {}
    for number in range(len(lists["boxes"])):
        own = {name: values[number] for name, values in lists.items() if number < len(values)}
        arrays = {name: as_array(value) for name, value in own.items() if name != "file_name" and value is not None}
        boxes = arrays["boxes"]
        arrays["boxes"] = boxes.reshape(-1, 4)
        for name in ("sampled_positive", "sampled_negative"):
            if name in arrays and arrays[name].dtype.kind in "bB":
                arrays[name] = np.flatnonzero(arrays[name])
        if "labels" in arrays:
            arrays["labels"] = arrays["labels"].astype(np.int8)
            if "target_anchor" not in arrays:
                positive = np.flatnonzero(arrays["labels"] == 1)
                for name in ("target_deltas", "target_boxes"):
                    if name in arrays:
                        arrays[name] = arrays[name][positive]
                        arrays["target_anchor"] = positive
        if "objectness" in arrays:
            arrays["objectness"] = arrays["objectness"].ravel()
        found |= {f"image{number}.{name}": value for name, value in arrays.items()}
        if own.get("file_name") is not None:
            found[f"image{number}.file_name"] = np.array(str(own["file_name"]))
    return found


def as_array(value: Any) -> np.ndarray:
    """A tensor of any framework, or what NumPy takes, as an array; half precision becomes float32."""
    for name in ("detach", "cpu"):
        if hasattr(value, name):
            value = getattr(value, name)()
    if hasattr(value, "numpy"):
        try:
            value = value.numpy()
        except TypeError:  # bfloat16 has no NumPy type
            value = value.float().numpy()
    array = np.asarray(value)
    if array.dtype == object:
        raise TypeError(f"{type(value).__name__} is no array of numbers")
    return array.astype(np.float32) if array.dtype.kind == "f" and array.itemsize < 4 else array


def _number(value: Any) -> float:
    """A scalar loss, or the sum of a list of them: mmdetection has one per level."""
    if isinstance(value, (list, tuple)):
        return sum(_number(part) for part in value)
    return float(as_array(value).sum())


def _is_finite(value: Any) -> bool:
    return math.isfinite(_number(value))


# ---------------------------------------------------------------------- watching a model


class Watched:
    """Stands in for a method and tells what went in and came out; copies and pickles of its owner hold the method.

    Args:
        owner, name: of the method, or of a callable that an object holds.
        recorder: guards ``tell``: whatever that raises ends the recording, not the training.
        tell: called with the arguments, named ones last, and the answer.
    """

    def __init__(self, owner: Any, name: str, recorder: Recorder, tell: Callable[[tuple[Any, ...], Any], None]) -> None:
        self._owner, self._name, self._recorder, self._tell = owner, name, recorder, tell
        self._original = getattr(owner, name)
        setattr(owner, name, self)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """What the method does, then ``tell``."""
        answer = self._original(*arguments, **named)
        self._recorder.guarded(lambda: self._tell((*arguments, *named.values()), answer))
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_original"], name)

    def __reduce_ex__(self, protocol: Any) -> Any:
        if hasattr(self._original, "__self__"):
            return getattr, (self._owner, self._name)
        return copy.copy, (self._original,)

    def remove(self) -> None:
        """Put the method back."""
        if self._owner.__dict__.get(self._name) is self:
            if hasattr(self._original, "__self__"):
                delattr(self._owner, self._name)
            else:
                setattr(self._owner, self._name, self._original)


class Capture:
    """Watches methods of a model; :meth:`remove` leaves it as it was.

    Attributes:
        recorder: what is captured goes to it.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._seen: dict[str, Any] = {}
        self._watched: list[Watched] = []

    def _watch(self, owner: Any, name: str, tell: Callable[[tuple[Any, ...], Any], None]) -> None:
        def told(arguments: tuple[Any, ...], answer: Any) -> None:
            try:
                tell(arguments, answer)
            except Exception:
                self._seen = {}  # nothing of a step is held once the recording is off
                raise

        self._watched.append(Watched(owner, name, self.recorder, told))

    def remove(self) -> None:
        """Leave the model as it was."""
        for watched in reversed(self._watched):
            watched.remove()
        self._watched = []
        self._seen = {}


# ---------------------------------------------------------------------- torchvision


class TorchvisionCapture(Capture):
    """Watches a ``GeneralizedRCNN`` of torchvision; made by :func:`torchvision`."""

    def __init__(self, model: Any, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._model = model
        rpn = model.rpn
        self._watch(model.transform, "forward", self._on_transform)
        self._watch(rpn.head, "forward", self._on_head)
        self._watch(rpn, "assign_targets_to_anchors", self._on_assign)
        self._watch(rpn, "fg_bg_sampler", self._on_sampled)
        self._watch(rpn, "compute_loss", self._on_rpn_loss)
        self._watch(model, "forward", self._on_losses)

    def _on_transform(self, arguments: tuple[Any, ...], answer: Any) -> None:
        self._seen = {"images": answer[0].tensors, "sizes": answer[0].image_sizes, "targets": answer[1]}

    def _on_head(self, arguments: tuple[Any, ...], answer: Any) -> None:
        self._seen["grids"] = [tuple(level.shape[1:]) for level in answer[0]]

    def _on_assign(self, arguments: tuple[Any, ...], answer: Any) -> None:
        self._seen |= {"anchors": arguments[0], "labels": answer[0], "target_boxes": answer[1]}

    def _on_sampled(self, arguments: tuple[Any, ...], answer: Any) -> None:
        self._seen |= {"sampled_positive": answer[0], "sampled_negative": answer[1]}

    def _on_rpn_loss(self, arguments: tuple[Any, ...], answer: Any) -> None:
        objectness, deltas, _, targets = arguments
        self._seen |= {"objectness": objectness, "deltas": deltas, "target_deltas": targets}

    def _on_losses(self, arguments: tuple[Any, ...], answer: Any) -> None:
        seen, self._seen = self._seen, {}
        if self._model.training and isinstance(answer, dict):
            self._record(seen, answer)

    def _record(self, seen: dict[str, Any], losses: Mapping[str, Any]) -> None:
        recorder = self.recorder
        if not recorder.due(losses):
            recorder.skip()
            return
        targets = seen["targets"]
        height, width = seen["images"].shape[-2:]
        count = len(seen["labels"])
        recorder.step(
            seen["images"],
            losses,
            boxes=[target["boxes"] for target in targets],
            sizes=seen["sizes"],
            classes=[target.get("labels") for target in targets],
            file_names=[_name_of(target) for target in targets],
            grids=seen["grids"],
            strides=[(height // rows, width // columns) for _, rows, columns in seen["grids"]],
            anchors=list(seen["anchors"]),
            labels=seen["labels"],
            sampled_positive=[as_array(mask) != 0 for mask in seen["sampled_positive"]],
            sampled_negative=[as_array(mask) != 0 for mask in seen["sampled_negative"]],
            target_boxes=seen["target_boxes"],
            target_deltas=seen["target_deltas"],
            objectness=list(as_array(seen["objectness"]).reshape(count, -1)),
            deltas=list(as_array(seen["deltas"]).reshape(count, -1, 4)),
        )


def _name_of(target: Mapping[str, Any]) -> str | None:
    """torchvision's reference data sets give each target its COCO ``image_id``."""
    return None if target.get("image_id") is None else f"image {as_array(target['image_id']).ravel()[0]}"


def torchvision(model: Any, folder: str | os.PathLike[str], **options: Any) -> TorchvisionCapture:
    """Capture from a torchvision detector while it trains.

    Args:
        model: a ``GeneralizedRCNN`` with an RPN (Faster, Mask, Keypoint R-CNN), also inside DistributedDataParallel.
        folder: as for :class:`Recorder`.
        options: of :class:`Recorder`.

    Returns:
        A handle; its ``remove()`` leaves the model as it was.

    Raises:
        ValueError: the model has no RPN, or an option is not allowed.
    """
    inner = getattr(model, "module", model)
    if not all(hasattr(getattr(inner, "rpn", None), name) for name in ("head", "fg_bg_sampler", "compute_loss")):
        raise ValueError(f"{type(inner).__name__} has no RPN as torchvision's detectors do")
    transform = inner.transform
    defaults = {
        "framework": "torchvision",
        "mean": transform.image_mean,
        "std": transform.image_std,
        "factor": 255.0,
    }
    return TorchvisionCapture(inner, Recorder(folder, **{**defaults, **options}))


# ---------------------------------------------------------------------- mmdetection


class MmdetectionCapture(Capture):
    """Watches a detector of mmdetection 3 with an RPN; made by :func:`mmdetection`."""

    def __init__(self, model: Any, head: Any, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._head = head
        self._watch(head.assigner, "assign", self._on_assign)
        self._watch(head, "_get_targets_single", self._on_targets)
        self._watch(head, "loss_by_feat", self._on_rpn_loss)
        self._watch(model, "loss", self._on_losses)

    def _on_assign(self, arguments: tuple[Any, ...], answer: Any) -> None:
        self._seen["gt_inds"] = answer.gt_inds

    def _on_targets(self, arguments: tuple[Any, ...], answer: Any) -> None:
        """One image: what the assigner says of the anchors inside, and what the sampler took of them."""
        if "losses" in self._seen:
            self._seen = {"gt_inds": self._seen["gt_inds"]}  # another step has begun without the end of the last
        self._seen.setdefault("images", []).append((*arguments[:5], *answer[:3], self._seen.pop("gt_inds")))

    def _on_rpn_loss(self, arguments: tuple[Any, ...], answer: Any) -> None:
        self._seen |= {"logits": arguments[0], "deltas": arguments[1], "losses": answer}

    def _on_losses(self, arguments: tuple[Any, ...], answer: Any) -> None:
        seen, self._seen = self._seen, {}
        losses = {**seen["losses"], **answer}  # a detector's own come with the prefix "rpn" or as they are
        if not self.recorder.due(losses):
            self.recorder.skip()
            return
        levels = [as_array(level) for level in seen["logits"]]
        count = len(levels[0])
        # A step that ended with an error has left its images behind.
        images = [self._image(*image) for image in seen["images"][-count:]]
        deltas = [as_array(level) for level in seen["deltas"]]
        fields: dict[str, Any] = {name: [image[name] for image in images] for name in images[0]}
        self.recorder.step(
            arguments[0],
            losses,
            sizes=fields.pop("size"),
            anchors=fields.pop("anchors"),
            grids=[(level.shape[1] // 4, *level.shape[2:]) for level in deltas],
            strides=[(stride[1], stride[0]) for stride in self._head.prior_generator.strides],
            objectness=list(np.concatenate([_rows(level, count, 1) for level in levels], 1)),
            deltas=list(np.concatenate([_rows(level, count, 4) for level in deltas], 1)),
            **fields,
        )

    def _image(
        self,
        anchors: Any,
        valid: Any,
        gt: Any,
        meta: Any,
        ignored: Any,
        labels: Any,
        weights: Any,
        targets: Any,
        gt_inds: Any,
    ) -> dict[str, Any]:
        boxes, inside = _boxes(anchors), as_array(valid) != 0
        parts = [_boxes(own.bboxes) for own in (gt, ignored) if own is not None and hasattr(own, "bboxes")]
        height, width = meta["img_shape"][:2]
        border = self._head.train_cfg["allowed_border"]
        if border >= 0:
            inside &= (boxes[:, :2] >= -border).all(axis=1) & (boxes[:, 2:] < (width + border, height + border)).all(1)
        whole = np.full(len(boxes), -1, np.int8)
        whole[inside] = np.minimum(as_array(gt_inds), 1)
        sampled, foreground = as_array(weights) > 0, as_array(labels) == 0
        positive = np.flatnonzero(sampled & foreground)
        return {
            "size": (height, width),
            "anchors": boxes,
            "boxes": np.concatenate(parts),
            "ignore": np.repeat([False, True][: len(parts)], [len(part) for part in parts]),
            "labels": whole,
            "sampled_positive": positive,
            "sampled_negative": np.flatnonzero(sampled & ~foreground),
            "target_anchor": positive,
            "target_deltas": as_array(targets)[positive],
        }


def _boxes(value: Any) -> np.ndarray:
    """(N, 4) of a tensor, or of mmdetection's box type."""
    return as_array(getattr(value, "tensor", value)).reshape(-1, 4)


def _rows(level: np.ndarray, images: int, numbers: int) -> np.ndarray:
    """(N, cells * numbers, H, W) as (N, anchors, numbers), by row, column and cell."""
    return level.transpose(0, 2, 3, 1).reshape(images, -1, numbers)


def mmdetection(model: Any, folder: str | os.PathLike[str], **options: Any) -> MmdetectionCapture:
    """Capture from a detector of mmdetection 3 while it trains.

    Args:
        model: a two-stage detector with an anchor-based RPN, or the detector ``RPN``; also inside a DDP wrapper.
        folder: as for :class:`Recorder`.
        options: of :class:`Recorder`.

    Returns:
        A handle; its ``remove()`` leaves the model as it was.

    Raises:
        ValueError: the model has no such RPN, or an option is not allowed.
    """
    inner = getattr(model, "module", model)
    head = getattr(inner, "rpn_head", None) or getattr(inner, "bbox_head", None)
    if not all(hasattr(head, name) for name in ("assigner", "_get_targets_single", "prior_generator")):
        raise ValueError(f"{type(inner).__name__} has no anchor-based RPN as mmdetection's detectors do")
    pixels = inner.data_preprocessor
    defaults: dict[str, Any] = {"framework": "mmdetection", "channels": "rgb" if pixels._channel_conversion else "bgr"}
    if pixels._enable_normalize:
        defaults |= {name: as_array(getattr(pixels, name)).ravel().tolist() for name in ("mean", "std")}
    return MmdetectionCapture(inner, head, Recorder(folder, **{**defaults, **options}))
