"""Loads torch's large library in a way that lets a window go on."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from pathlib import Path

_LIBRARIES = {"linux": ("libtorch_global_deps.so", "libtorch_cpu.so"), "darwin": (None, "libtorch_cpu.dylib")}


def preload_torch() -> None:
    """Map and link ``libtorch_cpu``, some 0.3 s, before ``import torch`` would, without the interpreter's lock.

    ``import torch`` and ``ctypes.CDLL`` hold the lock meanwhile, and with it every window; a foreign function that is
    called does not. Where this does not work out, the import does all of it as ever.

    Source: torch ``__init__.py: _load_global_deps``, which loads the first of the two in this way.
    """
    if "torch" in sys.modules or sys.platform not in _LIBRARIES:
        return
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return
    folder = Path(spec.origin).parent / "lib"
    deps, library = _LIBRARIES[sys.platform]
    try:
        if deps is not None and (folder / deps).is_file():
            ctypes.CDLL(str(folder / deps), mode=ctypes.RTLD_GLOBAL)
        dlopen = ctypes.CDLL(None).dlopen
    except (OSError, AttributeError):
        return
    dlopen.restype, dlopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
    if (folder / library).is_file():
        dlopen(os.fsencode(folder / library), os.RTLD_LAZY)
