"""The command line: the window, and the window's engine without it.

Exit codes: 0 done, 1 a check failed, 2 unusable input. Qt, torch and OpenCV are imported only by the command that needs
them, so that ``rpnviz --help`` answers at once.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpnviz import __version__
from rpnviz.core import presets
from rpnviz.core.conventions import ProposalStages
from rpnviz.core.presets import Preset
from rpnviz.errors import ExportError, ParamsError, RpnvizError

if TYPE_CHECKING:
    from rpnviz.core.inputs import RPNOutput
    from rpnviz.core.pipeline import Result
    from rpnviz.datasets.base import Dataset, ImageRecord, LoadedImage
    from rpnviz.models.base import ProposalModel

_UNUSABLE = 2
_STAGES = ("gt", "anchors", "labels", "proposals", "kept")
_MODEL_STAGES = ("proposals", "kept")
_MAX_FINDINGS = 5
_ODD_NAMES = "backslashreplace"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: without the program's name; None: those of the process.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    commands: dict[str, tuple[Callable[[], argparse.ArgumentParser], Callable[[argparse.Namespace], int]]] = {
        "params": (_params_parser, _params),
        "match": (_match_parser, _match),
        "render": (_render_parser, _render),
    }
    try:
        if words and words[0] in commands:
            parser, command = commands[words[0]]
            return command(parser().parse_args(words[1:]))
        chosen = _gui_parser().parse_args(words)
        if chosen.paths and str(chosen.paths[0]) in commands and not chosen.paths[0].exists():
            name = chosen.paths[0]
            _gui_parser().error(f"a command comes first: rpnviz {name} ... (a file of that name: ./{name})")
        return _gui(chosen)
    except RpnvizError as error:
        print(f"rpnviz: {error}", file=sys.stderr)
        return _UNUSABLE
    except KeyboardInterrupt:
        print("rpnviz: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough; the interpreter must not complain about it while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


# ---------------------------------------------------------------------- parsers


def _gui_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rpnviz",
        description="Shows what a Region Proposal Network's trainer does to every ground-truth box. "
        "Without PATH the window opens on the samples.",
        epilog="Without a window: 'rpnviz render', 'rpnviz match' and 'rpnviz params'; each has its own --help. "
        "A file of such a name is given as ./render.",
    )
    parser.add_argument("paths", metavar="PATH", nargs="*", type=Path, help="images, a folder, or a COCO JSON file")
    _add_common(parser)
    parser.add_argument("--version", action="version", version=f"rpnviz {__version__}")
    return parser


def _params_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rpnviz params", description="Print the Params document of a preset: every field, as JSON."
    )
    parser.add_argument("--preset", default="torchvision", help="one of: " + ", ".join(presets.names()))
    return parser


def _match_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rpnviz match",
        description="Label the anchors of an image or data set: counts per state, and the numbers of every box.",
    )
    parser.add_argument("path", metavar="IMAGE|DATASET", type=Path)
    parser.add_argument("--json", metavar="FILE", default="-", help="where to write (default: standard output, -)")
    _add_common(parser, model=False)
    return parser


def _render_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rpnviz render",
        description="Write the annotated picture in the original resolution, with legend, counts and parameters.",
    )
    parser.add_argument("path", metavar="IMAGE|DATASET", type=Path)
    parser.add_argument("--stage", choices=_STAGES, default="labels", help="what to draw (default: labels)")
    parser.add_argument(
        "--out", metavar="FILE.png", required=True, help="the picture; a folder, or a name with {stem}, for several"
    )
    parser.add_argument("--theme", choices=("dark", "light"), default="dark", help="colours (light: for paper)")
    _add_common(parser)
    return parser


def _add_common(parser: argparse.ArgumentParser, *, model: bool = True) -> None:
    parser.add_argument("--annotations", metavar="FILE", type=Path, help="the COCO JSON file of the images")
    parser.add_argument("--preset", help="whose rules apply, one of: " + ", ".join(presets.names()))
    parser.add_argument("--params", metavar="FILE", type=Path, help="a document as 'rpnviz params' prints it")
    if model:
        parser.add_argument("--model", metavar="FILE", type=Path, help="weights of a model (default: the sample model)")


# ---------------------------------------------------------------------- commands


def _gui(arguments: argparse.Namespace) -> int:
    preset = _preset(arguments)
    problem = _display_problem()
    if problem:
        print(f"rpnviz: {problem}; 'rpnviz render' writes the pictures without a window.", file=sys.stderr)
        return _UNUSABLE
    from rpnviz.ui.application import run

    return run(arguments.paths, arguments.annotations, preset, arguments.model)


def _display_problem() -> str:
    """Why no window can open, empty if one can: Qt would abort the process instead of saying so."""
    if sys.platform != "linux":
        return ""
    platform = os.environ.get("QT_QPA_PLATFORM", "").split(":")[0].split(";")[0]
    display = os.environ.get("DISPLAY", "")
    if platform not in ("", "xcb", "wayland") or (platform != "xcb" and os.environ.get("WAYLAND_DISPLAY")):
        return ""
    if not display:
        return "there is no display to open a window on"
    if not _answers(display):
        return f"the display {display} does not answer"
    import PySide6

    plugin = Path(PySide6.__file__).parent / "Qt" / "plugins" / "platforms" / "libqxcb.so"
    if plugin.is_file():
        try:
            ctypes.CDLL(str(plugin))
        except OSError as error:
            return f"a library that windows need is missing ({error}); README.md lists them"
    return ""


def _answers(display: str) -> bool:
    """Whether an X server listens at ``host:number.screen``, or at a socket of this machine without a host."""
    host, _, number = display.rpartition(":")
    number = number.split(".")[0]
    try:
        if host in ("", "unix"):
            with socket.socket(socket.AF_UNIX) as local:
                local.settimeout(2)
                local.connect(f"/tmp/.X11-unix/X{number}")
        elif not host.startswith("/"):
            socket.create_connection((host, 6000 + int(number)), timeout=2).close()
    except (OSError, ValueError):
        return False
    return True


def _params(arguments: argparse.Namespace) -> int:
    preset = presets.load(arguments.preset)
    print(json.dumps(presets.to_document(preset, preset.params), indent=2))
    return 0


def _match(arguments: argparse.Namespace) -> int:
    from rpnviz.core import pipeline
    from rpnviz.datasets.base import shown_size
    from rpnviz.export.tables import match_table

    preset = _preset(arguments)
    dataset = _dataset(arguments)
    tables, failed = [], 0
    for record in dataset.images:
        try:
            inputs = pipeline.Inputs(shown_size(record), record.gt.boxes, record.gt.labels, record.gt.ignore)
            tables.append(match_table(pipeline.run(inputs, preset.params, preset.conventions), record, dataset))
        except RpnvizError as error:
            print(f"rpnviz: {error}", file=sys.stderr)
            failed += 1
    _write_json(tables, arguments.json)
    return _UNUSABLE if failed else 0


def _render(arguments: argparse.Namespace) -> int:
    from rpnviz.datasets.base import load_image
    from rpnviz.export.picture import Stage, render_picture, save_picture
    from rpnviz.palette import Theme

    preset = _preset(arguments)
    dataset = _dataset(arguments)
    targets = _targets(dataset, arguments.out, arguments.stage)
    model: ProposalModel | None = None
    if arguments.stage in _MODEL_STAGES:
        if preset.conventions.proposal_stages is ProposalStages.NONE:
            raise ParamsError(
                f"{preset.name} has no region proposals, so there is no stage {arguments.stage!r}.",
                where="--stage",
                way_out="Choose another preset, or the stage gt, anchors or labels.",
            )
        from rpnviz.models.registry import open_model

        model = open_model(arguments.model)
    failed = 0
    for number, (record, target) in enumerate(targets, 1):
        if len(targets) > 1:
            print(f"{number}/{len(targets)} {record.file_name}", file=sys.stderr)
        try:
            loaded = load_image(record)
            picture = render_picture(
                loaded.pixels,
                _run(loaded, record, preset, model),
                Stage(arguments.stage),
                file_name=record.file_name,
                gt_names=dataset.names_of(record),
                preset=preset,
                model_note=f"{model.name}, {model.note}" if model is not None else "",
                theme=Theme(arguments.theme),
            )
            save_picture(target, picture)
        except RpnvizError as error:
            print(f"rpnviz: {error}", file=sys.stderr)
            failed += 1
    return _UNUSABLE if failed else 0


def _run(loaded: LoadedImage, record: ImageRecord, preset: Preset, model: ProposalModel | None) -> Result:
    from rpnviz.core import pipeline

    outputs: RPNOutput | None = None
    params, conventions = preset.params, preset.conventions
    if model is not None:
        outputs = model.propose(loaded.pixels)
        params, conventions = outputs.settings.applied_to(params, conventions)
    inputs = pipeline.Inputs(loaded.size, record.gt.boxes, record.gt.labels, record.gt.ignore, outputs=outputs)
    return pipeline.run(inputs, params, conventions)


def _targets(dataset: Dataset, out: str, stage: str) -> list[tuple[ImageRecord, Path]]:
    """Where the picture of every image goes.

    Raises:
        ExportError: two images would be written to one file, or over an image of the data set.
    """
    images = dataset.images
    if "{stem}" in out:
        targets = [(record, Path(out.replace("{stem}", Path(record.file_name).stem))) for record in images]
    elif len(images) == 1 and not Path(out).is_dir():
        targets = [(images[0], Path(out))]
    elif Path(out).suffix:
        raise ExportError(
            f"{len(images)} images cannot go to one file.",
            where=out,
            way_out="Give a folder, or a name with {stem} in it.",
        )
    else:
        try:
            Path(out).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ExportError(
                f"the folder cannot be made: {error.strerror}.", where=out, way_out="Choose another place."
            ) from error
        targets = [(record, Path(out) / f"{Path(record.file_name).stem}_{stage}.png") for record in images]
    taken: dict[Path, str] = {record.path.resolve(): f"the image {record.file_name}" for record in images}
    for record, target in targets:
        place = target.resolve()
        if place in taken:
            raise ExportError(
                f"the picture of {record.file_name} would overwrite {taken[place]}.",
                where=str(target),
                way_out="Give another name or folder, or render the images one by one.",
            )
        taken[place] = f"the picture of {record.file_name}"
    return targets


# ---------------------------------------------------------------------- shared by the commands


def _preset(arguments: argparse.Namespace) -> Preset:
    """The preset with the changes of ``--params``; ``--preset`` decides whose defaults fill the gaps.

    Raises:
        ParamsError: the file is missing, is no JSON or holds a wrong field, or it names another preset.
    """
    if arguments.params is None:
        return presets.load(arguments.preset or "torchvision")
    where = str(arguments.params)
    try:
        document: Any = json.loads(arguments.params.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ParamsError(f"cannot be read: {error.strerror}.", where=where) from error
    except UnicodeDecodeError as error:
        raise ParamsError("is not text in UTF-8.", where=where) from error
    except json.JSONDecodeError as error:
        raise ParamsError(
            f"is not JSON: {error.msg}.",
            where=f"{where}, line {error.lineno}, column {error.colno}",
            way_out="'rpnviz params' prints a document to start from.",
        ) from error
    named = document.get("preset") if isinstance(document, dict) else None
    if arguments.preset and named and named != arguments.preset:
        raise ParamsError(f"is for the preset {named!r}, but --preset says {arguments.preset!r}.", where=where)
    return presets.from_document(document, arguments.preset or "torchvision")


def _dataset(arguments: argparse.Namespace) -> Dataset:
    from rpnviz.datasets.registry import open_dataset

    dataset = open_dataset([arguments.path], arguments.annotations)
    serious = [finding for finding in dataset.findings if finding.severity != "note"]
    for finding in serious[:_MAX_FINDINGS]:
        print(f"rpnviz: {finding}", file=sys.stderr)
    if len(serious) > _MAX_FINDINGS:
        print(f"rpnviz: ... and {len(serious) - _MAX_FINDINGS:,} more findings", file=sys.stderr)
    return dataset


def _write_json(value: object, target: str) -> None:
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    if target == "-":
        # A file name that is no text in the file system's own encoding.
        print(text.encode(errors=_ODD_NAMES).decode())
        return
    path = Path(target)
    beside = path.with_name(path.name + ".new")
    try:
        beside.write_text(text + "\n", encoding="utf-8", errors=_ODD_NAMES)
        os.replace(beside, path)
    except OSError as error:
        raise ExportError(
            f"cannot be written: {error.strerror}.", where=str(path), way_out="Choose another folder."
        ) from error
