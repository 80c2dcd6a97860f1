"""Reads configuration files of unknown quality as plain data: JSON, YAML, INI, and Python that holds literals only.

Nothing in a file is ever run: YAML is read by the safe loader, and of Python only names, numbers, texts, lists and
``dict(...)`` are understood, which is what a dumped configuration consists of.
"""

from __future__ import annotations

import ast
import configparser
import json
import os
import stat
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from rpnviz.errors import ConfigFileError

_MAX_BYTES = 1_000_000
"""Published configurations, bases included, stay below 0.1 MB; YAML of this size takes some seconds."""
_MAX_DEPTH = 60
_MAX_ALIASES = 1000
_MAX_MERGED = 10_000
_MAX_VALUES = 200_000
_CHOOSE_OTHER = "Choose the trainer's configuration file."


class Kind(StrEnum):
    """How a file is written."""

    JSON = "JSON"
    YAML = "YAML"
    INI = "INI"
    PYTHON = "Python"


_KINDS = {
    ".json": Kind.JSON,
    ".yaml": Kind.YAML,
    ".yml": Kind.YAML,
    ".ini": Kind.INI,
    ".cfg": Kind.INI,
    ".py": Kind.PYTHON,
}
SUFFIXES = frozenset(_KINDS)


@dataclass(frozen=True)
class Document:
    """A configuration file as data.

    Attributes:
        path: of the file.
        kind: how it is written.
        value: its mapping; of INI a mapping of sections with texts.
    """

    path: Path
    kind: Kind
    value: Mapping[str, Any]


def load(path: Path) -> Document:
    """Read a file.

    Raises:
        ConfigFileError: it is missing, no text in UTF-8, too large or too deep, or not what its name says.
    """
    kind = kind_of_name(path)
    if kind is None:
        known = ", ".join(sorted(SUFFIXES))
        raise ConfigFileError(
            f"the name ends in {path.suffix!r}, expected one of {known}.", where=str(path), way_out=_CHOOSE_OTHER
        )
    return parse(_read_text(path), path, kind)


def kind_of_name(path: Path) -> Kind | None:
    """How a file is written, by its name alone."""
    return _KINDS.get(path.suffix.lower())


def parse(text: str, path: Path, kind: Kind) -> Document:
    """The data in a text; ``path`` is for messages.

    Raises:
        ConfigFileError: it is not of that kind, or no mapping.
    """
    if not text.strip():
        raise ConfigFileError("the file is empty.", where=str(path), way_out=_CHOOSE_OTHER)
    try:
        value = {Kind.JSON: _json, Kind.YAML: _yaml, Kind.INI: _ini, Kind.PYTHON: _python}[kind](text, path)
    except (RecursionError, MemoryError) as error:
        raise ConfigFileError(f"the {kind} is nested too deeply.", where=str(path), way_out=_CHOOSE_OTHER) from error
    if not isinstance(value, Mapping):
        raise ConfigFileError(
            f"the file holds {_kind_of(value)}, expected a mapping of fields.", where=str(path), way_out=_CHOOSE_OTHER
        )
    _check_extent(value, path)
    return Document(path, kind, value)


def _read_text(path: Path) -> str:
    check = "Check the path and your rights to read it."
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ConfigFileError("this is no regular file, expected a configuration.", where=str(path), way_out=check)
        if status.st_size > _MAX_BYTES:
            raise ConfigFileError(
                f"the file has {status.st_size:,} bytes, expected at most {_MAX_BYTES:,} of a configuration.",
                where=str(path),
                way_out=_CHOOSE_OTHER,
            )
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigFileError(
            f"the configuration cannot be read: {error.strerror or error}.", where=str(path), way_out=check
        ) from error
    except ValueError as error:  # a NUL character: no system has such a name
        raise ConfigFileError("no file can have this name.", where=repr(os.fspath(path)), way_out=check) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigFileError(
            f"byte {error.start:,}: 0x{data[error.start]:02x} is not UTF-8.",
            where=f"{path}, line {line}",
            way_out="If it was saved as Latin-1, Windows-1252 or UTF-16, save it again as UTF-8.",
        ) from error


def _json(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigFileError(
            f"no valid JSON: {error.msg}.",
            where=f"{path}, line {error.lineno}, column {error.colno}",
            way_out="Mend it, or dump the configuration again.",
        ) from error
    except ValueError as error:  # a whole number of thousands of digits
        raise ConfigFileError(f"no usable JSON: {error}.", where=str(path), way_out=_CHOOSE_OTHER) from error


def _yaml(text: str, path: Path) -> Any:
    import yaml  # costs 30 ms that JSON needs not

    loader = None
    try:
        loader = _safe_loader()(text)
        return loader.get_single_data()
    except yaml.constructor.ConstructorError as error:
        place = f"{path}, line {error.problem_mark.line + 1}" if error.problem_mark else str(path)
        if "tag" in (error.problem or ""):
            raise ConfigFileError(
                f"{error.problem}: such a tag runs code, and no configuration is ever run here.",
                where=place,
                way_out="Write the value itself in its place.",
            ) from error
        raise ConfigFileError(f"no usable YAML: {error.problem}.", where=place, way_out="Mend it.") from error
    except yaml.MarkedYAMLError as error:
        place = f"{path}, line {error.problem_mark.line + 1}" if error.problem_mark else str(path)
        raise ConfigFileError(f"no valid YAML: {error.problem}.", where=place, way_out="Mend it.") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        what = " ".join(str(error).split())
        raise ConfigFileError(f"no valid YAML: {what}.", where=str(path), way_out=_CHOOSE_OTHER) from error
    finally:
        if loader is not None:
            loader.dispose()


def _safe_loader() -> Any:
    """PyYAML's safe loader with limits: aliases and merges let a short text stand for billions of values."""
    import yaml

    class Limited(yaml.SafeLoader):
        depth = 0
        aliases = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                self.aliases += 1
            self.depth += 1
            if self.depth > _MAX_DEPTH or self.aliases > _MAX_ALIASES:
                what = "nested too deeply" if self.depth > _MAX_DEPTH else f"it has more than {_MAX_ALIASES:,} aliases"
                raise yaml.composer.ComposerError(None, None, what, self.peek_event().start_mark)
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def flatten_mapping(self, node: Any) -> None:
            super().flatten_mapping(node)
            if len(node.value) > _MAX_MERGED:
                what = f"more than {_MAX_MERGED:,} fields are merged into one mapping"
                raise yaml.constructor.ConstructorError(None, None, what, node.start_mark)

    return Limited


def _ini(text: str, path: Path) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text, source=path.name)
    except configparser.Error as error:
        what = " ".join(str(error).split())
        raise ConfigFileError(f"no valid INI: {what}.", where=str(path), way_out="Mend it.") from error
    return {name: dict(parser[name]) for name in parser.sections()}


# ---------------------------------------------------------------------- Python


def _python(text: str, path: Path) -> dict[str, Any]:
    """Assignments of literals; anything that would have to be run is refused with the way to dump it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in texts
            tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        what = error.msg if isinstance(error, SyntaxError) else error
        raise ConfigFileError(f"no valid Python: {what}.", where=f"{path}{line}", way_out=dump_command(path)) from error
    found: dict[str, Any] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a docstring
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            if isinstance(target, ast.Name) and (target.id != "_base_" or not statement.value):
                found[target.id] = _literal(statement.value, path)
                continue
        raise _must_run(statement, path)
    if not found:
        raise ConfigFileError("the file sets nothing.", where=str(path), way_out=_CHOOSE_OTHER)
    return found


def _literal(node: ast.expr, path: Path) -> Any:
    match node:
        case ast.Constant(value=None | bool() | int() | float() | str()):
            return node.value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
            assert isinstance(node.operand, ast.Constant)
            return -node.operand.value  # type: ignore[operator] # the pattern says it is a number
        case ast.List() | ast.Tuple():
            return [_literal(item, path) for item in node.elts]
        case ast.Dict() if all(isinstance(key, ast.Constant) and isinstance(key.value, str) for key in node.keys):
            pairs = zip(node.keys, node.values, strict=True)
            return {key.value: _literal(value, path) for key, value in pairs}  # type: ignore[union-attr]
        case ast.Call(func=ast.Name(id="dict"), args=[]) if all(keyword.arg for keyword in node.keywords):
            return {keyword.arg: _literal(keyword.value, path) for keyword in node.keywords}
    raise _must_run(node, path)


def _must_run(node: ast.AST, path: Path) -> ConfigFileError:
    return ConfigFileError(
        "this Python has to be run to know its values, and no configuration is ever run here.",
        where=f"{path}, line {getattr(node, 'lineno', 1)}",
        way_out=dump_command(path),
    )


def dump_command(path: Path) -> str:
    """How to turn a Python configuration into a file that can be read, in a sentence."""
    try:
        text = path.read_bytes()[:_MAX_BYTES].decode("utf-8", "replace")
    except (OSError, ValueError):
        text = ""
    target = path.with_suffix(".json").name
    if "detectron2" in text or "LazyC" in text:
        return (
            "A lazy configuration of detectron2 has no form that rpnviz reads: give the values as a Params document "
            "(rpnviz params --preset detectron2), or the YAML that get_cfg().dump() writes."
        )
    if "mrcnn" in text or "RPN_ANCHOR" in text or "(Config)" in text:
        lines = "json.dumps({k: getattr(c, k) for k in dir(c) if k.isupper()}, default=lambda v: v.tolist())"
        return (
            f'Where the trainer is installed: python -c "import json; from {path.stem} import NAME as C; c = C(); '
            f"open('{target}', 'w').write({lines})\""
        )
    command = f"from mmengine import Config; Config.fromfile('{path.name}').dump('{target}')"
    return f'Where mmdetection is installed: python -c "{command}" (mmdetection 2: from mmcv import Config).'


# ---------------------------------------------------------------------- extent


def _check_extent(value: object, path: Path) -> None:
    """Refuse what is too deep, has no end, or grows beyond bounds where aliases are written out."""
    sizes: dict[int, int] = {}
    open_now: set[int] = set()

    def size(item: object, depth: int) -> int:
        if not isinstance(item, (Mapping, list, tuple)):
            return 1
        if id(item) in open_now:
            raise ConfigFileError("a value contains itself.", where=str(path), way_out=_CHOOSE_OTHER)
        if depth > _MAX_DEPTH:
            raise ConfigFileError("it is nested too deeply.", where=str(path), way_out=_CHOOSE_OTHER)
        if id(item) not in sizes:
            open_now.add(id(item))
            inner = item.values() if isinstance(item, Mapping) else item
            sizes[id(item)] = 1 + sum(size(part, depth + 1) for part in inner)
            open_now.remove(id(item))
        return sizes[id(item)]

    total = size(value, 0)
    if total > _MAX_VALUES:
        raise ConfigFileError(
            f"written out it holds {total:,} values, expected at most {_MAX_VALUES:,}.",
            where=str(path),
            way_out=_CHOOSE_OTHER,
        )


def _kind_of(value: object) -> str:
    return {list: "a list", str: "a text", bool: "true or false", type(None): "nothing"}.get(type(value), "a number")
