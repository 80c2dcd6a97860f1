"""The arrows of the import graph, tested in fresh interpreters and on the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rpnviz

ROOT = Path(rpnviz.__file__).parent


def loaded_by(statement: str) -> set[str]:
    """Top-level modules in sys.modules after a statement in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint(' '.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    return set(done.stdout.split())


def test_the_core_pipeline_needs_neither_qt_nor_torch_nor_opencv():
    assert not loaded_by("import rpnviz.core.pipeline") & {"PySide6", "torch", "cv2"}


@pytest.mark.parametrize(
    "module",
    [f"rpnviz.export.{name}" for name in ("picture", "save", "svg", "pdf", "batch", "tables", "replay", "log_check")]
    + ["rpnviz.datasets.registry"],
)
def test_what_runs_without_a_window_needs_no_qt(module):
    assert not loaded_by(f"import {module}") & {"PySide6", "superqt", "torch"}


def test_the_window_does_not_load_torch():
    assert "torch" not in loaded_by("import rpnviz.ui.application")


def test_there_is_no_import_loop():
    graph = {name: imports_of(path) for name, path in modules().items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for other in graph[name]:
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())
    assert len(done) > 20


def modules() -> dict[str, Path]:
    """Dotted name of every module of the package; packages by their ``__init__``."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = ("rpnviz", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(path: Path) -> set[str]:
    """Modules of the package that a file imports anywhere, functions included."""
    known = modules()
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    # A package's empty __init__ that is imported only as the parent of a module is no dependency worth following.
    return {name for name in found if name in known and known[name].name != "__init__.py"}
