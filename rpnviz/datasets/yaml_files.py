"""Reads small YAML files such as YOLO's ``data.yaml``, without what can make a small one large."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from rpnviz.datasets.text_files import decode, read_bytes
from rpnviz.errors import AnnotationError

_MAX_BYTES = 1 << 20
"""A file with the 9,000 names of Objects365 and LVIS together has 0.2 MB; PyYAML takes 10 s per MB."""


class _Loader(yaml.SafeLoader):
    """Safe, and with aliases of single values only: an alias of a list may be ten lists of ten lists of ten ..."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            if not isinstance(self.anchors.get(event.anchor), yaml.ScalarNode | None):
                raise yaml.YAMLError(f"line {event.start_mark.line + 1}: an alias of a list or mapping is not read")
        return super().compose_node(parent, index)


def read_yaml(path: Path) -> Any:
    """What a YAML file holds.

    Raises:
        AnnotationError: it cannot be read, or is no YAML that can be used.
    """
    data = read_bytes(path, _MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise AnnotationError(
            f"the YAML file has more than {_MAX_BYTES:,} bytes, expected a page of names and folders.", where=str(path)
        )
    try:
        return yaml.load(decode(data), Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" at line {mark.line + 1:,}, column {mark.column + 1:,}" if mark is not None else ""
        problem = error.problem or error.context or "cannot be parsed"
        raise _unusable(path, f"no valid YAML{place}: {problem}.") from error
    except RecursionError as error:
        raise _unusable(path, "the YAML is nested too deeply.") from error
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, AttributeError, LookupError) as error:
        # Dates such as 2001-99-99, numbers of thousands of digits, unhashable keys: SafeLoader lets them through.
        raise _unusable(path, f"no usable YAML: {str(error).splitlines()[0] if str(error) else error!r}.") from error


def _unusable(path: Path, what: str) -> AnnotationError:
    return AnnotationError(what, where=str(path), way_out="Mend the file, or open the folder of the images.")
