"""An unpickler that a small file cannot make busy for long, nor fill the memory with.

A pickle names its objects, so that few bytes can stand for much: a tuple of two times the same tuple, thirty deep,
takes 160 bytes, and a hash of it, which a key needs, two thousand million steps in one go. Python's own unpickler in C
cannot be told to stop; the one in Python can be watched, and a checkpoint has only some thousand objects.
"""

from __future__ import annotations

import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any, ClassVar

import numpy as np

from rpnviz.errors import ModelFileError
from rpnviz.models.base import stop_if_asked

MOST_GROWTH = 4
"""Times the size of a file that what it makes may have; torch.save does not compress."""
_ROOM = 2**20
"""Bytes that any file may make, however small it is."""
_DEEPEST = 500
"""Levels of tuples: hashing goes down by calling itself, and a stack has an end."""
_MOST_ITEMS = 2**20
"""Items of a tuple, counted as often as they are in it: hashing these takes about 10 ms."""
_GROWING = (list, tuple, dict, set, frozenset, str, bytes, bytearray)


class Budget:
    """The bytes that a file may make."""

    def __init__(self, path: Path, size: int) -> None:
        """Of a file of ``size`` bytes."""
        self._path, self._size = path, size
        self._all = self._left = MOST_GROWTH * size + _ROOM

    def spend(self, count: int) -> None:
        """Take note of bytes that are about to be used.

        Raises:
            ModelFileError: there were too many.
            Cancelled: nobody waits for it any more.
        """
        stop_if_asked()
        self._left -= count
        if self._left < 0:
            raise ModelFileError(
                f"what it describes takes more than {self._all:,} bytes; the file has {self._size:,}: it was not made.",
                where=str(self._path),
                way_out="If tensors of it repeat their numbers (expand), save clones of them.",
            )


class BoundedUnpickler(pickle._Unpickler):
    """Unpickles as Python does, within a budget, and hashes no tuple that unfolds beyond measure."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]
    metastack: list[list[Any]]
    read: Callable[[int], bytes]

    def __init__(self, file: Any, budget: Budget, **options: Any) -> None:
        super().__init__(file, **options)
        self.budget = budget
        # Number of items and of levels, by id; the tuple itself is held, so that no other gets its id.
        self._unfolded: dict[int, tuple[Any, int, int]] = {}

    def check_made(self) -> None:
        """Refuse what was just made if it is too large.

        Raises:
            UnpicklingError: it is a tuple, or a frozen set, of too many levels or items.
            ModelFileError: the budget is spent.
        """
        made = self.stack[-1]
        if isinstance(made, _GROWING):
            self.budget.spend(sys.getsizeof(made))
        if not isinstance(made, (tuple, frozenset)):
            return
        items, levels, nested = len(made), 1, False
        for item in made:
            if isinstance(item, (tuple, frozenset)):
                _, inner, below = self._unfolded.get(id(item), (item, len(item), 1))
                items, levels, nested = items + inner, max(levels, below + 1), True
        if levels > _DEEPEST:
            raise pickle.UnpicklingError(f"a tuple is nested more than {_DEEPEST:,} levels deep")
        if nested and items > _MOST_ITEMS:
            raise pickle.UnpicklingError(f"a tuple holds others again and again, {items:,} items when unfolded")
        if nested:
            self._unfolded[id(made)] = made, items, levels

    def check_items(self, target: Any) -> None:
        """Refuse to set items of an array: its index could unfold without bound too.

        Raises:
            UnpicklingError: ``target`` is an array.
        """
        if isinstance(target, np.ndarray):
            raise pickle.UnpicklingError("it sets items of an array")

    def check_state(self) -> None:
        """Refuse to give a state to a class or a function, which all files share, or to an array.

        Raises:
            UnpicklingError: it does.
        """
        if isinstance(self.stack[-2], (type, FunctionType, BuiltinFunctionType, np.ndarray)):
            raise pickle.UnpicklingError("it changes a class, a function or an array")

    def check_array(self) -> None:
        """Count the array that a state made: of a text it is a copy.

        Raises:
            ModelFileError: the budget is spent.
        """
        made = getattr(self.stack[-1], "value", None)
        if isinstance(made, np.ndarray):
            self.budget.spend(made.nbytes)

    def make_bytearray(self) -> None:
        """``BYTEARRAY8``, whose length is stated: Python would fill so many bytes before it reads one."""
        (length,) = struct.unpack("<Q", self.read(8))
        self.budget.spend(length)
        self.stack.append(bytearray(self.read(length)))


def _checked(
    load: Callable[[Any], None],
    before: Callable[[BoundedUnpickler], None] | None,
    after: Callable[[BoundedUnpickler], None] | None,
) -> Callable[[Any], None]:
    def run(unpickler: BoundedUnpickler) -> None:
        if before is not None:
            before(unpickler)
        load(unpickler)
        if after is not None:
            after(unpickler)

    return run


def _watch() -> None:
    made = (
        *(pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3, pickle.FROZENSET),
        *(pickle.REDUCE, pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.INST, pickle.OBJ),
    )
    known = BoundedUnpickler.dispatch
    for code in made:
        known[code[0]] = _checked(known[code[0]], None, BoundedUnpickler.check_made)
    known[pickle.SETITEM[0]] = _checked(known[pickle.SETITEM[0]], lambda self: self.check_items(self.stack[-3]), None)
    known[pickle.SETITEMS[0]] = _checked(
        known[pickle.SETITEMS[0]], lambda self: self.check_items(self.metastack[-1][-1]), None
    )
    known[pickle.BUILD[0]] = _checked(
        known[pickle.BUILD[0]], BoundedUnpickler.check_state, BoundedUnpickler.check_array
    )
    known[pickle.BYTEARRAY8[0]] = BoundedUnpickler.make_bytearray


_watch()
