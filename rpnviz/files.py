"""Files are written beside their place and then renamed: what stood there stays whole until the new one is complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from rpnviz.errors import ExportError, RpnvizError

_CHOOSE = "Choose another name or folder."


def write_whole(
    path: str | Path, data: bytes | Iterable[bytes | memoryview], error: type[RpnvizError] = ExportError
) -> None:
    """Make or replace a file; an older file of that name stays whole until the new one is complete.

    Args:
        path: the file; its folder must exist. A link keeps pointing where it did: the file behind it is replaced.
        data: all of its bytes, or its parts in order; what their making raises ends the writing.
        error: kind of the errors below.

    Raises:
        RpnvizError: of the given kind: the target cannot be written; what stood there before is untouched.
    """
    target = check_target(path, error)
    beside = target.parent / f".rpnviz-{uuid4().hex}.part"
    try:
        with beside.open("xb") as file:
            for part in (data,) if isinstance(data, bytes) else data:
                file.write(part)
        if target.exists():
            shutil.copymode(target, beside)  # who could not read the old file shall not read the new one
        os.replace(beside, target)
    except BaseException as problem:
        with suppress(OSError):
            beside.unlink()
        if isinstance(problem, OSError):
            what = f"the file cannot be written: {problem.strerror or problem}."
            raise error(what, where=str(path), way_out=_CHOOSE) from problem
        raise


def check_target(path: str | Path, error: type[RpnvizError] = ExportError) -> Path:
    """The file that writing to ``path`` would make or replace, links followed.

    Raises:
        RpnvizError: of the given kind: it is a folder or a device, it is write-protected, or its folder does not exist.
    """
    try:
        target = Path(os.path.realpath(path))
        is_folder, exists = target.is_dir(), target.exists()
    except ValueError as problem:  # a NUL character: no system has such a name
        raise error("no file can have this name.", where=repr(str(path)), way_out=_CHOOSE) from problem
    if is_folder:
        raise error("this is a folder, not a file to write.", where=str(path), way_out=_CHOOSE)
    if exists and not target.is_file():
        raise error("this is no regular file, it would be lost.", where=str(path), way_out=_CHOOSE)
    if exists and not os.access(target, os.W_OK):
        raise error("the file is there and write-protected.", where=str(path), way_out=_CHOOSE)
    if not target.parent.is_dir():
        raise error(
            f"the folder {target.parent} does not exist.", where=str(path), way_out="Make it, or choose another one."
        )
    return target
