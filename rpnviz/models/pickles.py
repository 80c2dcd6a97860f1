"""Reads pickled checkpoints as data: nothing that a file names is imported or called.

A pickle is a program that may call any function. This reader knows the few constructors that containers and tensors
are made of, in its own words; every other name becomes an inert :class:`Stub`, which keeps what it is given and does
nothing. torch is not needed.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpnviz.errors import ModelFileError
from rpnviz.models.base import stop_if_asked
from rpnviz.models.unpickler import MOST_GROWTH, BoundedUnpickler, Budget

_MOST_PICKLE = 256 * 2**20
"""Bytes of the pickle itself; tensors lie beside it."""
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
"""What torch.save wrote before it made zip archives, torch ``serialization.py``."""
_PROTOCOL = 1001

_STORAGES: dict[str, np.dtype] = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype("<u2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
    "UntypedStorage": np.dtype("u1"),
}


class Stub:
    """Stands for an object of a class that is not known; holds its state and does nothing."""

    stub_name = "?"

    def __new__(cls, *arguments: Any, **_keywords: Any) -> Stub:
        """Made of whatever it is called with."""
        made = super().__new__(cls)
        made.__dict__["stub_arguments"] = arguments
        return made

    def __init__(self, *_arguments: Any, **_keywords: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
            self.__setstate__(state[0])  # of a class with slots
            state = state[1]
        if isinstance(state, dict):
            self.__dict__.update({key: value for key, value in state.items() if isinstance(key, str)})

    def append(self, _item: Any) -> None:
        """A list of an unknown kind."""

    def extend(self, _items: Any) -> None:
        """A list of an unknown kind."""

    def __setitem__(self, _key: Any, _value: Any) -> None:
        """A mapping of an unknown kind."""

    def __call__(self, *_arguments: Any, **_keywords: Any) -> Stub:
        """Calls nothing."""
        return self

    def __hash__(self) -> int:
        return id(self)


@dataclass(frozen=True, eq=False)
class Pickled:
    """What a pickle holds.

    Attributes:
        value: the object, with tensors as NumPy arrays.
        stubs: names of the classes and functions that were not looked up, in order of appearance.
    """

    value: Any
    stubs: tuple[str, ...]


@dataclass(frozen=True)
class _StorageType:
    dtype: np.dtype
    name: str


@dataclass(frozen=True, eq=False)
class _Storage:
    """A flat row of numbers; ``data`` is read when a tensor is made of it, which ``budget`` pays for.

    Without ``data`` the names of the tensors alone are wanted.
    """

    kind: _StorageType
    data: Callable[[], NDArray] | None
    budget: Budget


def _tensor(storage: Any, offset: int = 0, size: Any = (), stride: Any = (), *_rest: Any) -> Any:
    """What ``torch._utils._rebuild_tensor_v2`` makes, as an array of its own."""
    if not isinstance(storage, _Storage):
        return Stub()
    if storage.data is None:
        return np.zeros(0)
    flat = storage.data()
    shape = tuple(int(side) for side in size)
    steps = tuple(int(step) for step in stride)
    offset = int(offset)
    if len(steps) != len(shape) or min((*shape, *steps, offset), default=0) < 0:
        raise pickle.UnpicklingError(f"a tensor of shape {shape}, strides {steps} and offset {offset}")
    last = offset + sum((side - 1) * step for side, step in zip(shape, steps, strict=True)) if all(shape) else 0
    if last >= max(len(flat), 1) and all(shape):
        raise pickle.UnpicklingError(f"a tensor of {last + 1:,} numbers in a storage of {len(flat):,}")
    # A stride of 0 makes any number of numbers out of one.
    wide = storage.kind.name == "BFloat16Storage"
    storage.budget.spend(math.prod(shape) * (4 if wide else flat.itemsize))
    view = np.lib.stride_tricks.as_strided(
        flat[offset:], shape, tuple(step * flat.itemsize for step in steps), writeable=False
    )
    if wide:
        return (np.ascontiguousarray(view).astype(np.uint32) << 16).view(np.float32)
    return np.array(view)


def _parameter(data: Any, *_rest: Any) -> Any:
    """What ``torch._utils._rebuild_parameter`` makes: the tensor."""
    return data


def _array(_class: Any, _shape: Any = (0,), _kind: Any = b"b") -> _Array:
    """What ``numpy.core.multiarray._reconstruct`` makes: an array whose state follows."""
    return _Array()


class _Array:
    """Takes the state of a pickled ``ndarray`` without its own code."""

    value: NDArray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        if not isinstance(dtype, _DType) or isinstance(raw, list):
            self.value = np.zeros(0)
            return
        flat = np.frombuffer(raw if isinstance(raw, bytes) else raw.encode("latin1"), dtype.value)
        self.value = flat.reshape(shape, order="F" if fortran else "C")


class _DType:
    """A pickled ``dtype``: numbers alone, no objects and no fields."""

    def __init__(self, kind: Any, *_rest: Any) -> None:
        text = kind if isinstance(kind, str) else ""
        self.value = np.dtype(text) if (text[:1] in "biufc?" and text[1:].isdigit()) or text == "?" else np.dtype("u1")

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|", "="):
            self.value = self.value.newbyteorder(state[1])


def _from_buffer(raw: Any, dtype: Any = None, shape: Any = (), order: Any = "C", *_rest: Any) -> Any:
    """What ``numpy._core.numeric._frombuffer`` makes."""
    if not isinstance(dtype, _DType) or not isinstance(raw, (bytes, bytearray)):
        return Stub()
    return np.frombuffer(raw, dtype.value).reshape(shape, order="F" if order == "F" else "C")


def _bytearray(raw: Any = b"", *_rest: Any) -> bytearray:
    """``bytearray`` of bytes, or of a text as Python 2 wrote it; not of a number, which would be its length."""
    return bytearray(raw.encode("latin1") if isinstance(raw, str) else raw if isinstance(raw, bytes) else b"")


def _scalar(dtype: Any, raw: Any = b"") -> Any:
    """What ``numpy.core.multiarray.scalar`` makes."""
    if not isinstance(dtype, _DType) or not isinstance(raw, bytes):
        return Stub()
    return np.frombuffer(raw, dtype.value, 1)[0].item()


_TENSOR_MAKERS = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}
_KNOWN: dict[str, Any] = {
    **_TENSOR_MAKERS,
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "builtins.frozenset": frozenset,
    "builtins.list": list,
    "builtins.dict": dict,
    "builtins.tuple": tuple,
    "builtins.int": int,
    "builtins.float": float,
    "builtins.bool": bool,
    "builtins.complex": complex,
    "builtins.bytearray": _bytearray,
    "__builtin__.set": set,
    "torch.Size": tuple,
    "numpy.dtype": _DType,
    "_codecs.encode": lambda text, *_: text.encode("latin1") if isinstance(text, str) else b"",
    **{
        f"numpy.{core}.multiarray.{name}": maker
        for core in ("core", "_core")
        for name, maker in (("_reconstruct", _array), ("scalar", _scalar))
    },
    **{f"numpy.{core}.numeric._frombuffer": _from_buffer for core in ("core", "_core")},
}


class _Reader(BoundedUnpickler):
    """Knows :data:`_KNOWN`; all else becomes a stub class of its own."""

    def __init__(self, file: Any, storage: Callable[[Any], _Storage | Stub], budget: Budget, **options: Any) -> None:
        super().__init__(file, budget, **options)
        self._storage = storage
        self.stubs: dict[str, type[Stub]] = {}

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full in _KNOWN:
            return _KNOWN[full]
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return _StorageType(_STORAGES[name], name)
        if full == "numpy.ndarray":
            return None  # only named to _reconstruct
        if full not in self.stubs:
            self.stubs[full] = type("Stub", (Stub,), {"stub_name": full})
        return self.stubs[full]

    def persistent_load(self, pid: Any) -> Any:
        # Before 1.6 the classes of modules were written with their source; both are only named.
        if isinstance(pid, tuple) and len(pid) > 1 and pid[0] == "module":
            return pid[1]
        return self._storage(pid)


def read_pickle(path: Path, numbers: bool = True) -> Pickled:
    """Read a checkpoint: what torch.save writes, in both of its forms, or a plain pickle.

    Args:
        path: the file.
        numbers: False: tensors in an archive are empty, which is quick.

    Raises:
        ModelFileError: it is damaged, too large for its size, or none of these.
        Cancelled: nobody waits for it any more.
    """
    try:
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                return _read_zip(path, numbers)
            file.seek(0)
            return _read_plain(path, file)
    except ModelFileError:
        raise
    except RecursionError as error:
        raise _damaged(path, "it is nested too deeply") from error
    except Exception as error:  # a broken pickle may fail in any way; none of its code has run
        raise _damaged(path, f"{type(error).__name__}: {error}") from error


def _damaged(path: Path, how: str) -> ModelFileError:
    return ModelFileError(
        f"the checkpoint is damaged: {how}.",
        where=str(path),
        way_out="Copy or download it again; if it opens elsewhere, save its state_dict as safetensors.",
    )


def _read_zip(path: Path, numbers: bool) -> Pickled:
    """What torch.save writes since 1.6: ``<name>/data.pkl`` and ``<name>/data/<key>``."""
    with zipfile.ZipFile(path) as archive:
        infos = {info.filename: info for info in archive.infolist()}
        size = path.stat().st_size
        unpacked = sum(info.file_size for info in infos.values())
        if unpacked > MOST_GROWTH * size + 2**20:
            raise ModelFileError(
                f"the archive of {size:,} bytes says that it holds {unpacked:,}: it was not unpacked.",
                where=str(path),
                way_out="torch.save does not compress; this is no checkpoint that it wrote.",
            )
        pickles = [name for name in infos if name.endswith("/data.pkl") or name == "data.pkl"]
        if len(pickles) != 1:
            raise ModelFileError(
                f"the archive has {len(pickles)} records data.pkl, expected one.",
                where=str(path),
                way_out="Only what torch.save writes can be opened.",
            )
        if infos[pickles[0]].file_size > _MOST_PICKLE:
            raise _damaged(path, f"its pickle has {infos[pickles[0]].file_size:,} bytes")
        prefix = pickles[0].removesuffix("data.pkl")
        big_endian = archive.read(f"{prefix}byteorder") == b"big" if f"{prefix}byteorder" in infos else False
        read: dict[str, NDArray] = {}
        budget = Budget(path, size)

        def storage(pid: Any) -> _Storage | Stub:
            kind, key = _pid(pid)
            if kind is None:
                return Stub()
            name = f"{prefix}data/{key}"

            def data() -> NDArray:
                if name not in read:
                    raw = np.frombuffer(archive.read(name), kind.dtype)
                    read[name] = raw.byteswap().view(raw.dtype) if big_endian else raw
                return read[name]

            return _Storage(kind, data if numbers else None, budget)

        reader = _Reader(io.BytesIO(archive.read(pickles[0])), storage, budget, encoding="utf-8")
        value = reader.load()
    return Pickled(_plain(value), tuple(reader.stubs))


def _pid(pid: Any) -> tuple[_StorageType | None, str]:
    """Kind and key of a persistent id ``("storage", kind, key, location, count)``."""
    if not (isinstance(pid, tuple) and len(pid) >= 3 and pid[0] == "storage" and isinstance(pid[1], _StorageType)):
        return None, ""
    return pid[1], _key(pid[2])


def _key(value: Any) -> str:
    """Of a storage: a number as text. Nothing else is written out, for that could take forever."""
    return str(value) if isinstance(value, (str, int)) else ""


def _read_plain(path: Path, file: Any) -> Pickled:
    """A plain pickle (detectron2 ``.pkl``), or several in a row, as torch.save wrote before 1.6."""
    if path.stat().st_size > 64 * 2**30:
        raise _damaged(path, "it is larger than any checkpoint")
    found: dict[str, tuple[_StorageType, list[NDArray]]] = {}
    budget = Budget(path, path.stat().st_size)

    def storage(pid: Any) -> _Storage | Stub:
        kind, key = _pid(pid)
        if kind is None:
            return Stub()
        _, holder = found.setdefault(key, (kind, []))
        return _Storage(kind, lambda: holder[0], budget)

    # What a tensor is made of follows only after the pickle that makes it.
    late: list[tuple[_Late, tuple[Any, ...]]] = []
    first = _Reader(file, storage, budget, encoding="latin1")
    value = first.load()
    if not isinstance(value, int) or value != _MAGIC_NUMBER:
        return Pickled(_plain(value), tuple(first.stubs))
    protocol = _Reader(file, storage, budget).load()
    if not isinstance(protocol, int) or protocol != _PROTOCOL:
        raise _damaged(path, "it is of an unknown protocol")
    _Reader(file, storage, budget).load()  # the machine that wrote it
    reader = _LateReader(file, storage, budget, late)
    value = reader.load()
    keys = _Reader(file, storage, budget).load()
    for key in keys if isinstance(keys, list) else []:
        stop_if_asked()
        kind, holder = found.get(_key(key), (None, []))
        (count,) = struct.unpack("<q", file.read(8))
        if kind is None or count < 0:
            raise _damaged(path, f"the storage {_key(key)!r} belongs to no tensor")
        raw = file.read(count * kind.dtype.itemsize)
        holder.append(np.frombuffer(raw, kind.dtype))
        if len(holder[0]) != count:
            raise _damaged(path, "it is cut off")
    for empty, arguments in late:
        empty.value = _tensor(*arguments)
    return Pickled(_plain(value), tuple(reader.stubs))


class _Late:
    """A tensor whose numbers are not read yet."""

    value: Any = None


class _LateReader(_Reader):
    """Notes the tensors instead of making them."""

    def __init__(self, file: Any, storage: Callable[[Any], _Storage | Stub], budget: Budget, late: list[Any]) -> None:
        super().__init__(file, storage, budget, encoding="utf-8")
        self._late = late

    def find_class(self, module: str, name: str) -> Any:
        if _TENSOR_MAKERS.get(f"{module}.{name}") is _tensor:
            return self._note
        return super().find_class(module, name)

    def _note(self, *arguments: Any) -> _Late:
        made = _Late()
        self._late.append((made, arguments))
        return made


def _plain(value: Any) -> Any:
    """The object with arrays in place of what stood for them, in containers and in stubs; cycles stay cycles."""
    done: dict[int, Any] = {}
    todo = [value]
    while todo:
        here = todo.pop()
        if id(here) in done or isinstance(here, (str, bytes, int, float, type(None), np.ndarray)):
            continue
        done[id(here)] = here
        inside: Any = here.__dict__ if isinstance(here, Stub) else here
        if isinstance(inside, dict):
            for key, item in list(inside.items()):
                if isinstance(item, (_Array, _Late)):
                    inside[key] = item.value
                else:
                    todo.append(item)
        elif isinstance(inside, list):
            for place, item in enumerate(inside):
                if isinstance(item, (_Array, _Late)):
                    inside[place] = item.value
                else:
                    todo.append(item)
        elif isinstance(inside, (tuple, set, frozenset)):
            todo.extend(inside)
    return value.value if isinstance(value, (_Array, _Late)) else value


def state_dict(value: Any) -> dict[str, NDArray]:
    """The named tensors of what a checkpoint holds: a state_dict, a checkpoint around one, or a whole module."""
    for found in _candidates(value):
        tensors = {key: item for key, item in found.items() if isinstance(key, str) and isinstance(item, np.ndarray)}
        if tensors:
            return tensors
    return {}


_HOLDERS = ("model", "state_dict", "model_state_dict", "model_state", "net", "weights", "model_ema", "blobs", "module")


def _candidates(value: Any, depth: int = 0) -> Iterator[Mapping[Any, Any]]:
    """Mappings that may be the state_dict, the likeliest first; one inside another a few times at most."""
    if isinstance(value, Stub):
        yield dict(module_tensors(value))
    if isinstance(value, Mapping):
        for name in _HOLDERS:
            inner = value.get(name)
            if isinstance(inner, Stub):
                yield dict(module_tensors(inner))
            elif isinstance(inner, Mapping) and depth < 4:
                yield from _candidates(inner, depth + 1)
        yield value


def module_tensors(module: Stub, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, NDArray]]:
    """The parameters and buffers of a pickled ``nn.Module``, named as its state_dict names them."""
    for group in ("_parameters", "_buffers"):
        held = module.__dict__.get(group)
        for name, item in held.items() if isinstance(held, Mapping) else ():
            if isinstance(item, np.ndarray):
                yield f"{prefix}{name}", item
    children = module.__dict__.get("_modules")
    for name, child in children.items() if isinstance(children, Mapping) and depth < 64 else ():
        if isinstance(child, Stub):
            yield from module_tensors(child, f"{prefix}{name}.", depth + 1)
