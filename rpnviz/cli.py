"""The command line: the window, and the window's engine without it.

Exit codes: 0 done, 1 a check failed, 2 unusable input. Qt, torch and OpenCV are imported only by the command that needs
them, so that ``rpnviz --help`` answers at once.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import functools
import json
import os
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpnviz import __version__
from rpnviz.app.params_file import read_settings
from rpnviz.configs.base import Fate
from rpnviz.core import presets
from rpnviz.core.conventions import ProposalStages
from rpnviz.core.params import Params
from rpnviz.core.presets import Preset
from rpnviz.errors import ExportError, ParamsError, RpnvizError
from rpnviz.progress_line import ProgressLine

if TYPE_CHECKING:
    from rpnviz.configs.base import TrainerConfig
    from rpnviz.core.recording import RecordedStep
    from rpnviz.datasets.base import Dataset
    from rpnviz.export.batch import Failure
    from rpnviz.models.base import ProposalModel

_FAILED = 1
_UNUSABLE = 2
_STAGES = ("gt", "anchors", "labels", "proposals", "kept")
_MODEL_STAGES = ("proposals", "kept")
_FORMATS = ("png", "svg", "pdf")
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
        "explain": (_explain_parser, _explain),
        "diff": (_diff_parser, _diff),
        "lint": (_lint_parser, _lint),
        "proposals": (_proposals_parser, _proposals),
        "render": (_render_parser, _render),
        "export-config": (_export_config_parser, _export_config),
        "replay": (_replay_parser, _replay),
        "check-log": (_check_log_parser, _check_log),
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
        epilog="Without a window: 'rpnviz render', and likewise lint, explain, diff, match, replay, check-log, params "
        "and export-config; each has its own --help. A file of such a name is given as ./render.",
    )
    parser.add_argument(
        "paths", metavar="PATH", nargs="*", type=Path, help="images, a folder, an annotation file or a session"
    )
    _add_common(parser)
    parser.add_argument("--version", action="version", version=f"rpnviz {__version__}")
    return parser


def _params_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rpnviz params",
        description="Print the Params document of a preset, or of a trainer's configuration: every field, as JSON.",
    )
    _add_usual_views(parser)
    _add_settings(parser)
    return parser


def _export_config_parser() -> argparse.ArgumentParser:
    from rpnviz.configs.registry import names

    parser = argparse.ArgumentParser(
        prog="rpnviz export-config",
        description="Write the parameters as a trainer's own configuration: YAML for detectron2, INI for "
        "keras-retinanet, assignments to paste for the others. What would be different there stands in it as comments.",
        epilog="Exit code 2 and nothing written where a value of yours would be lost.",
    )
    parser.add_argument("--for", dest="framework", choices=names(), required=True, help="whose configuration to write")
    parser.add_argument("--out", metavar="FILE", help="where to write (default: standard output)")
    _add_settings(parser)
    return parser


def _match_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rpnviz match",
        description="Label the anchors of an image or data set: counts per state, and the numbers of every box; "
        "as CSV and NPZ also those of every anchor.",
        epilog="For several images --csv and --npz take a folder, or a name with {stem} or {index} in it.",
    )
    parser.add_argument("path", metavar="IMAGE|DATASET", type=Path)
    parser.add_argument(
        "--json", metavar="FILE", help="counts and ground truth of all images (standard output: -, the default)"
    )
    parser.add_argument("--anchors", action="store_true", help="put every anchor into the JSON too")
    parser.add_argument(
        "--csv", metavar="NAME.csv", help="two files per image: NAME_anchors.csv and NAME_gt.csv (or a folder)"
    )
    parser.add_argument("--npz", metavar="FILE.npz", help="all arrays and the parameters of an image (or a folder)")
    _add_common(parser, model=False)
    return parser


def _explain_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rpnviz explain",
        description="Say of every ground-truth box why it is or is not matched: the cause, the best IoU at each step, "
        "and changes of the parameters that would help, each checked by running it.",
    )
    parser.add_argument("path", metavar="IMAGE|DATASET", type=Path)
    parser.add_argument("--json", metavar="FILE", default="-", help="where to write (default: standard output, -)")
    parser.add_argument("--only-unmatched", action="store_true", help="only boxes without any positive anchor")
    parser.add_argument("--only-problems", action="store_true", help="these, and those forced at a low IoU")
    parser.add_argument("--weak-iou", type=_share, default=None, metavar="X", help="what is a low IoU (default: 0.5)")
    parser.add_argument("--no-fixes", action="store_true", help="do not look for changes that help: much faster")
    _add_usual_views(parser)
    parser.add_argument(
        "--in-views",
        action="store_true",
        help="changes after which a box is matched in every training view; seconds for each box, so choose some with "
        "--only-problems or --only-unmatched",
    )
    parser.add_argument("--fail-under", type=_share, metavar="X", help="exit 1 if a smaller share has a positive")
    parser.add_argument(
        "--fail-on", choices=("none", "matched"), default="none", help="matched: the share that reaches the threshold"
    )
    _add_common(parser, model=False)
    return parser


def _diff_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rpnviz diff",
        description="Say which ground-truth boxes fare differently under two presets or parameter sets, and which "
        "field makes the difference, found by carrying fields over from the second to the first.",
        epilog="Without --json a line per box and the fields that matter most.",
    )
    parser.add_argument("path", metavar="IMAGE|DATASET", type=Path)
    parser.add_argument("--against", metavar="PRESET", help="the second preset")
    second = parser.add_mutually_exclusive_group()
    second.add_argument(
        "--against-params", metavar="FILE", type=Path, help="the second document as 'rpnviz params' prints it"
    )
    second.add_argument("--against-config", metavar="FILE", type=Path, help="the second trainer's own configuration")
    parser.add_argument("--json", metavar="FILE", help="write all of it as JSON (standard output: -)")
    _add_common(parser, model=False)
    return parser


def _lint_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rpnviz lint",
        description="Say everything that is wrong with a data set, what each trainer does with it, and what can make "
        "the loss NaN. Reads the header of every image.",
        epilog="Exit code 1 if there is any error.",
    )
    parser.add_argument("path", metavar="DATASET", type=Path)
    parser.add_argument(
        "--min-input-px",
        type=_pixels,
        default=8.0,
        metavar="X",
        help="name boxes with a side below X px at the network's input (default: 8; 0: none)",
    )
    parser.add_argument("--json", metavar="FILE", help="write all of it as JSON (standard output: -)")
    _add_common(parser, model=False)
    return parser


def _render_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rpnviz render",
        description="Write the annotated picture with legend, counts and parameters, as PNG, SVG or PDF.",
        epilog="For several images --out takes a folder, or a name with {stem}, {stage} or {index} in it.",
    )
    parser.add_argument("path", metavar="IMAGE|DATASET", type=Path)
    parser.add_argument("--stage", choices=_STAGES, default="labels", help="what to draw (default: labels)")
    parser.add_argument("--out", metavar="FILE", required=True, help="picture.png, picture.svg or picture.pdf")
    parser.add_argument("--format", choices=_FORMATS, help="of the pictures in a folder (default: png)")
    parser.add_argument("--show-all", action="store_true", help="every box, not only the best of each object")
    parser.add_argument("--theme", choices=("dark", "light"), default="dark", help="colours (light: for paper)")
    parser.add_argument("--scale", type=float, default=1.0, help="pixels per pixel of the image (default: 1)")
    parser.add_argument("--crop", metavar="X1,Y1,X2,Y2", type=_crop, help="a part, in pixels of the image")
    parser.add_argument("--dim", type=float, help="darken the photo, 0 to 1 (default: 0.35)")
    parser.add_argument("--saturation", type=float, help="colour of the photo, 0 to 1 (default: 0.5)")
    parser.add_argument("--no-strip", action="store_true", help="without legend, counts and parameters")
    parser.add_argument(
        "--overlay", action="store_true", help="boxes and labels alone on a transparent ground, as large as the image"
    )
    parser.add_argument(
        "--dense-vectors",
        action="store_true",
        help="SVG and PDF: every box of a dense layer as a vector; such files are large",
    )
    _add_common(parser)
    return parser


def _replay_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rpnviz replay",
        description="Run the pipeline on what a network saw at captured training steps, and compare anchors, labels, "
        "targets, mini-batch and losses with what its trainer recorded (docs/capture.md).",
        epilog="Exit code 1: a label, target or the size of a mini-batch differs, no label can be compared, or a step "
        "is not finite; the field or the cause is named.",
    )
    parser.add_argument("path", metavar="CAPTURE", type=Path, help="a captured step (.npz), or a folder of them")
    _add_settings(parser, "those that the capture names")
    parser.add_argument("--json", metavar="FILE", help="write all of it as JSON (standard output: -)")
    parser.add_argument("--no-search", action="store_true", help="do not look for the field that makes a difference")
    return parser


def _check_log_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rpnviz check-log",
        description="Compare the sampled positives per image that a trainer logged with those that the data set gives.",
        epilog="Exit code 1: the mean of the log is none of those that 99 in 100 logs would show, 5 percent allowed.",
    )
    parser.add_argument(
        "log", metavar="LOG", type=Path, help="detectron2's metrics.json, or lines with num_pos_anchors"
    )
    parser.add_argument("path", metavar="IMAGE|DATASET", type=Path)
    parser.add_argument(
        "--batch",
        metavar="N",
        type=int,
        help="images that a logged number is the mean of (default: by the fractions of metrics.json, else 1)",
    )
    parser.add_argument(
        "--images", metavar="N", type=int, default=500, help="images, in training views, that are run (default: 500)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the numbers as JSON (standard output: -)")
    _add_common(parser, model=False)
    return parser


def _crop(text: str) -> tuple[float, float, float, float]:
    """``X1,Y1,X2,Y2``; argparse tells what a ValueError is about."""
    try:
        x1, y1, x2, y2 = (float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not X1,Y1,X2,Y2, four numbers") from error
    return x1, y1, x2, y2


def _add_common(parser: argparse.ArgumentParser, *, model: bool = True) -> None:
    parser.add_argument("--annotations", metavar="FILE", type=Path, help="annotations of the images, any format")
    _add_settings(parser)
    if model:
        _add_model(parser)


def _add_usual_views(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--usual-views",
        action="store_true",
        help="with the training views of the trainer's own default configuration (train_views)",
    )


def _add_settings(parser: argparse.ArgumentParser, default: str = "") -> None:
    usual = f" (default: {default})" if default else ""
    parser.add_argument("--preset", help=f"whose rules apply{usual}, one of: {', '.join(presets.names())}")
    files = parser.add_mutually_exclusive_group()
    files.add_argument("--params", metavar="FILE", type=Path, help="a document as 'rpnviz params' prints it")
    files.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="the trainer's own configuration: detectron2's YAML, mmdetection's or Matterport's as JSON, torchvision's "
        "arguments as JSON, keras-retinanet's INI",
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    kinds = "a checkpoint, an RPN dump or a folder of dumps"
    parser.add_argument("--model", metavar="FILE", type=Path, help=f"{kinds} (default: the sample model)")
    parser.add_argument(
        "--model-option",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        type=_option,
        help="what the file does not say, such as channel_order=rgb; can be given several times",
    )


def _option(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _proposals_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rpnviz proposals",
        description="Run a model and write its proposals as COCO results, how many boxes survive each stage, or an "
        "RPN dump of what the network gave.",
    )
    parser.add_argument("path", metavar="IMAGE|DATASET", type=Path)
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="COCO results: bbox is xywh in original px, infinite or undefined boxes are left out; - prints",
    )
    parser.add_argument("--funnel", metavar="FILE", help="counts, reasons and recall of every stage; - prints")
    parser.add_argument("--dump", metavar="FOLDER", type=Path, help="an RPN dump (.npz) of every image")
    _add_common(parser)
    return parser


# ---------------------------------------------------------------------- commands


def _gui(arguments: argparse.Namespace) -> int:
    preset, config = _settings(arguments.preset, arguments.params, arguments.config, "--preset")
    problem = _display_problem()
    if problem:
        print(f"rpnviz: {problem}; 'rpnviz render' writes the pictures without a window.", file=sys.stderr)
        return _UNUSABLE
    from rpnviz.ui.application import run

    chosen = preset if arguments.preset or arguments.params or config else None
    return run(arguments.paths, arguments.annotations, chosen, arguments.model, dict(arguments.model_option), config)


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
    preset = _preset(arguments)
    params = _with_usual_views(preset) if arguments.usual_views else preset.params
    print(json.dumps(presets.to_document(presets.load(preset.name), params, preset.conventions), indent=2))
    return 0


def _export_config(arguments: argparse.Namespace) -> int:
    from rpnviz.configs.exporting import export_config, refusal

    preset, found = _settings(arguments.preset, arguments.params, arguments.config, "--preset")
    export = export_config(preset, arguments.framework, found)
    if export.refusals:
        raise refusal(export)
    if arguments.out in (None, "-"):
        print(export.text, end="")
        return 0
    from rpnviz.export.batch import check_place
    from rpnviz.files import write_whole

    check_place(Path(arguments.out), _read_files(arguments), "the configuration")
    write_whole(arguments.out, export.text.encode())
    return 0


def _match(arguments: argparse.Namespace) -> int:
    from rpnviz.core import pipeline
    from rpnviz.datasets.base import inputs_of
    from rpnviz.export import tables
    from rpnviz.export.batch import Target, check_place, files_of, run_batch, targets_of
    from rpnviz.files import write_whole

    preset = _preset(arguments)
    dataset = _dataset(arguments)
    keep = files_of(dataset, arguments.annotations, arguments.params, arguments.config)
    csv_of, npz_of = (
        {target.record: target.path for target in targets_of(dataset.images, out, "labels", default, keep)}
        if out
        else {}
        for out, default in ((arguments.csv, "{stem}.csv"), (arguments.npz, "{stem}.npz"))
    )
    _check_endings(csv_of.values(), ".csv")
    _check_endings(npz_of.values(), ".npz")
    for path in csv_of.values():
        for part in tables.csv_paths(path):
            check_place(part, keep, "a table")
    wants_json = arguments.json is not None or not (arguments.csv or arguments.npz)
    if arguments.json not in (None, "-"):
        _check_json(arguments.json, keep)
    found: list[dict[str, Any]] = []

    def write(target: Target) -> None:
        record = target.record
        result = pipeline.run(inputs_of(record), preset.params, preset.conventions)
        table = tables.match_table(result, record, dataset)
        if record in csv_of:
            anchors, gts = tables.csv_paths(csv_of[record])
            write_whole(anchors, tables.anchors_csv(result))
            write_whole(gts, tables.gts_csv(table))
        if record in npz_of:
            write_whole(npz_of[record], tables.match_npz(result, record, dataset, preset))
        if wants_json:
            found.append({**table, "anchor_table": tables.anchor_table(result)} if arguments.anchors else table)

    targets = [Target(record, record.path) for record in dataset.images]
    outcome = run_batch(targets, write, failed=_print_failure)
    if wants_json:
        _write_json(found, arguments.json or "-")
    return _UNUSABLE if outcome.failures else 0


def _explain(arguments: argparse.Namespace) -> int:
    from rpnviz.core import pipeline
    from rpnviz.core.matching import WEAK_IOU, Rank
    from rpnviz.datasets.base import inputs_of
    from rpnviz.export.batch import Target, files_of, run_batch
    from rpnviz.export.tables import explain_table

    preset = _preset(arguments)
    if arguments.usual_views:
        preset = dataclasses.replace(preset, params=_with_usual_views(preset))
    if arguments.in_views and preset.params.views is None:
        raise ParamsError(
            "there are no training views.",
            where="--in-views",
            way_out="Add --usual-views, or --params with a document that has train_views.",
        )
    dataset = _dataset(arguments)
    _hint_at_annotations(dataset)
    if arguments.json != "-":
        _check_json(arguments.json, files_of(dataset, arguments.annotations, arguments.params, arguments.config))
    weak = WEAK_IOU if arguments.weak_iou is None else arguments.weak_iou
    passes = (Rank.MATCHED,) if arguments.fail_on == "matched" else (Rank.MATCHED, Rank.FORCED)
    found: list[dict[str, Any]] = []
    trained = good = 0
    line = ProgressLine("explaining")
    images = len(dataset.images)

    def tell(number: int, box: int, boxes: int) -> None:
        of_box = f", box {box + 1:,} of {boxes:,}" if boxes else ""
        line.show((number + box / max(boxes, 1)) / images, f"image {number + 1:,} of {images:,}{of_box}")

    def failed(failure: Failure) -> None:
        line.clear()
        _print_failure(failure)

    number = 0

    def write(target: Target) -> None:
        nonlocal trained, good
        record = target.record
        result = pipeline.run(inputs_of(record), preset.params, preset.conventions)
        ranks = result.match.ranks
        trained += sum(rank is not Rank.NOT_TRAINED for rank in ranks)
        good += sum(rank in passes for rank in ranks)
        wanted = None
        if arguments.only_problems:
            wanted = result.match.problems(weak)
        elif arguments.only_unmatched:
            wanted = [gt for gt, rank in enumerate(ranks) if rank is Rank.NONE]
        told = functools.partial(tell, number)
        found.append(explain_table(result, record, dataset, wanted, not arguments.no_fixes, arguments.in_views, told))

    def start(done: int, target: Target) -> None:
        nonlocal number
        number = done
        tell(done, 0, 0)

    outcome = run_batch([Target(record, record.path) for record in dataset.images], write, start, failed)
    line.clear()
    _write_json(found, arguments.json)
    if outcome.failures:
        return _UNUSABLE
    if arguments.fail_under is not None and trained and good / trained < arguments.fail_under:
        what = "are matched" if arguments.fail_on == "matched" else "have a positive anchor"
        share = f"{good:,} of {trained:,} boxes {what} ({good / trained:.3f})"
        print(f"rpnviz: {share}, less than {arguments.fail_under:g}.", file=sys.stderr)
        return _FAILED
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    from rpnviz.core.diff import compare
    from rpnviz.datasets.base import inputs_of
    from rpnviz.export.batch import Target, files_of, run_batch
    from rpnviz.export.tables import diff_lines, diff_table

    first = _preset(arguments)
    if arguments.against is None and arguments.against_params is None and arguments.against_config is None:
        raise ParamsError("there is nothing to compare with.", where="diff", way_out="Name a preset with --against.")
    second, _ = _settings(arguments.against, arguments.against_params, arguments.against_config, "--against")
    dataset = _dataset(arguments)
    _hint_at_annotations(dataset)
    if arguments.json not in (None, "-"):
        others = (arguments.against_params, arguments.against_config)
        keep = files_of(dataset, arguments.annotations, arguments.params, arguments.config, *others)
        _check_json(arguments.json, keep)
    found: list[dict[str, Any]] = []

    def write(target: Target) -> None:
        record = target.record
        table = diff_table(compare(inputs_of(record), first, second), record, dataset)
        if arguments.json is None:
            for line in diff_lines(table):
                print(line.encode(errors=_ODD_NAMES).decode())
        else:
            found.append(table)

    if arguments.json is None:
        files = arguments.params or arguments.config, arguments.against_params or arguments.against_config
        print(f"{_named(first, files[0])} against {_named(second, files[1])}")
    outcome = run_batch([Target(record, record.path) for record in dataset.images], write, failed=_print_failure)
    if arguments.json is not None:
        _write_json({"preset": first.name, "against": second.name, "images": found}, arguments.json)
    return _UNUSABLE if outcome.failures else 0


def _lint(arguments: argparse.Namespace) -> int:
    from rpnviz.datasets.lint import lint, report_document, report_lines
    from rpnviz.datasets.registry import open_dataset
    from rpnviz.export.batch import files_of

    preset = _preset(arguments)
    dataset = open_dataset([arguments.path], arguments.annotations)
    if arguments.json not in (None, "-"):
        _check_json(arguments.json, files_of(dataset, arguments.annotations, arguments.params, arguments.config))
    progress = ProgressLine("reading images")
    report = lint(dataset, preset, arguments.min_input_px, progress.show)
    progress.clear()
    if arguments.json is not None:
        _write_json(report_document(report), arguments.json)
    else:
        for line in report_lines(report):
            print(line.encode(errors=_ODD_NAMES).decode())
    return _FAILED if report.count("error") else 0


def _check_endings(paths: Iterable[Path], ending: str) -> None:
    """A table of another kind than its name says would be opened by the wrong program."""
    for path in paths:
        if path.suffix.lower() != ending:
            raise ExportError(
                f"the name does not end in {ending!r}.",
                where=str(path),
                way_out=f"Use {path.with_suffix(ending).name!r}, or an ending slash for a folder.",
            )


def _render(arguments: argparse.Namespace) -> int:
    from rpnviz.drawing.frame import DIM, SATURATION
    from rpnviz.export.batch import DEFAULT_PATTERN, Target, files_of, make_subject, run_batch, targets_of
    from rpnviz.export.look import Look, Stage, check_look
    from rpnviz.export.save import format_of, save_picture
    from rpnviz.export.vector import size_warning
    from rpnviz.palette import Theme

    look = Look(
        stage=Stage(arguments.stage),
        show_all=arguments.show_all,
        theme=Theme(arguments.theme),
        scale=arguments.scale,
        crop=arguments.crop,
        strip=not arguments.no_strip,
        overlay=arguments.overlay,
        dim=DIM if arguments.dim is None else arguments.dim,
        saturation=SATURATION if arguments.saturation is None else arguments.saturation,
        dense_vectors=arguments.dense_vectors,
    )
    check_look(look)
    preset = _preset(arguments)
    dataset = _dataset(arguments)
    default = f"{DEFAULT_PATTERN}.{arguments.format or 'png'}"
    keep = files_of(dataset, arguments.annotations, arguments.params, arguments.config, arguments.model)
    targets = targets_of(dataset.images, arguments.out, arguments.stage, default, keep)
    for target in targets:
        kind = format_of(target.path)
        if arguments.format and kind != arguments.format:
            raise ExportError(
                f"the name asks for {kind.upper()}, but --format says {arguments.format!r}.", where=str(target.path)
            )
    model = _model(arguments, preset)
    if model is not None:
        preset = _with_thresholds(preset, model, arguments)
    warned = False

    def write(target: Target) -> None:
        nonlocal warned
        subject = make_subject(target.record, dataset, preset, model)
        warning = "" if warned else size_warning(subject, look, format_of(target.path))
        if warning:
            warned = True
            print(f"rpnviz: {target.record.file_name}: {warning}", file=sys.stderr)
        save_picture(target.path, subject, look)

    def tell(number: int, target: Target) -> None:
        if len(targets) > 1:
            print(f"{number + 1}/{len(targets)} {target.record.file_name}", file=sys.stderr)

    outcome = run_batch(targets, write, tell, _print_failure)
    return _UNUSABLE if outcome.failures else 0


def _proposals(arguments: argparse.Namespace) -> int:
    from rpnviz.datasets.base import ImageRecord
    from rpnviz.export.batch import Target, check_place, files_of, run_batch
    from rpnviz.export.proposals import coco_results, funnel_table, run_model
    from rpnviz.files import write_whole
    from rpnviz.models.dump import dump_bytes
    from rpnviz.models.watched import open_watched

    if not (arguments.json or arguments.funnel or arguments.dump):
        raise ParamsError("nothing is asked for.", way_out="Give --json, --funnel or --dump.")
    if arguments.json and arguments.funnel and _same_place(arguments.json, arguments.funnel):
        raise ParamsError(
            "--json and --funnel go to the same place, expected two: each writes a document of its own.",
            where=arguments.funnel,
            way_out="Give one of them another file.",
        )
    preset = _preset(arguments)
    if preset.conventions.proposal_stages is ProposalStages.NONE:
        raise ParamsError(f"{preset.name} has no region proposals.", where="--preset", way_out="Choose another preset.")
    dataset = _dataset(arguments)
    keep = files_of(dataset, arguments.annotations, arguments.params, arguments.config, arguments.model)
    for target in (arguments.json, arguments.funnel):
        if target not in (None, "-"):
            _check_json(target, keep)
    model = open_watched(arguments.model, dict(arguments.model_option), _tell)
    preset = _with_thresholds(preset, model, arguments)
    results: list[dict[str, Any]] = []
    funnels: list[dict[str, Any]] = []
    number_of = {id(record): number for number, record in enumerate(dataset.images)}

    def name_of(record: ImageRecord) -> Path:
        return arguments.dump / f"{number_of[id(record)]:06d}_{record.path.stem}.npz"

    def write(target: Target) -> None:
        record = target.record
        result = run_model(record, preset, model)
        image_id = number_of[id(record)] if record.image_id is None else record.image_id
        if arguments.json:
            rows = coco_results(result, image_id)
            results.extend(rows)
            assert result.proposals is not None
            left_out = len(result.proposals.kept) - len(rows)
            if left_out:
                kept = f"{left_out:,} of {len(result.proposals.kept):,} proposals"
                _tell(f"{record.file_name}: {kept} are infinite or undefined; left out of the COCO results.")
        if arguments.funnel:
            funnels.append(funnel_table(result, record.file_name))
        if arguments.dump:
            place = name_of(record)
            check_place(place, keep, "the dump")
            place.parent.mkdir(parents=True, exist_ok=True)
            write_whole(str(place), dump_bytes(result, record.file_name))

    outcome = run_batch([Target(record, record.path) for record in dataset.images], write, failed=_print_failure)
    if arguments.json:
        _write_json(results, arguments.json)
    if arguments.funnel:
        _write_json(funnels, arguments.funnel)
    return _UNUSABLE if outcome.failures else 0


def _replay(arguments: argparse.Namespace) -> int:
    from rpnviz.datasets.captures import capture_files, read_step
    from rpnviz.export.replay import preset_of, replay_lines, replay_step, replay_table

    files = capture_files(arguments.path)
    if arguments.json not in (None, "-"):
        _check_json(arguments.json, dict.fromkeys(files, "the capture"))
    asked = any(given is not None for given in (arguments.preset, arguments.params, arguments.config))
    given = _preset(arguments) if asked else None
    tables: list[dict[str, Any]] = []
    earlier: list[RecordedStep] = []
    failed = unusable = False
    for path in files:
        try:
            step = read_step(path)
            found = replay_step(step, given or preset_of(step), earlier, search=not arguments.no_search)
        except RpnvizError as error:
            print(f"rpnviz: {error}", file=sys.stderr)
            unusable = True
            continue
        failed = failed or not found.passes
        earlier.append(read_step(path, whole=False))
        tables.append(replay_table(found, path))
        if arguments.json is None:
            for line in replay_lines(found, path):
                print(line.encode(errors=_ODD_NAMES).decode())
    if arguments.json is not None:
        _write_json(tables, arguments.json)
    return _UNUSABLE if unusable else _FAILED if failed else 0


def _check_log(arguments: argparse.Namespace) -> int:
    from rpnviz.core.log_band import expected_band, judge
    from rpnviz.export.log_check import log_table, sampled_positives
    from rpnviz.training_logs import read_log

    if (arguments.batch is not None and arguments.batch < 1) or arguments.images < 1:
        raise ParamsError("--batch and --images are at least 1.", where="check-log")
    preset = _preset(arguments)
    log = read_log(arguments.log)
    dataset = _dataset(arguments)
    _hint_at_annotations(dataset)
    if arguments.json not in (None, "-"):
        from rpnviz.export.batch import files_of

        read = files_of(dataset, arguments.annotations, arguments.params, arguments.config)
        keep = {**read, arguments.log.resolve(): "the log"}
        _check_json(arguments.json, keep)
    line = ProgressLine("running images")
    counts = sampled_positives(dataset, preset, arguments.images, line.show)
    line.clear()
    batch = arguments.batch or log.images_per_step or 1
    if arguments.batch is None and batch > 1:
        _tell(f"the log's fractions are those of {batch} images per step; --batch says otherwise.")
    verdict = judge(expected_band(counts, batch, log.window), log.positives, log.steps)
    if arguments.json is None:
        print(verdict.text)
    else:
        _write_json(log_table(log, verdict), arguments.json)
    return 0 if verdict.inside else _FAILED


def _with_thresholds(preset: Preset, model: ProposalModel, arguments: argparse.Namespace) -> Preset:
    """The thresholds that come with the model, unless a document gives others; and whose rules are applied."""
    from rpnviz.export.proposals import own_thresholds

    own = model.settings.preset
    if arguments.model is not None and own not in ("", preset.name):
        print(
            f"rpnviz: {model.name} belongs to {own}; the rules of {preset.name} for top-k and NMS are applied "
            f"(--preset {own} takes its own).",
            file=sys.stderr,
        )
    if arguments.params is not None or arguments.config is not None:
        return preset
    return dataclasses.replace(preset, params=own_thresholds(model, preset.params))


def _model(arguments: argparse.Namespace, preset: Preset) -> ProposalModel | None:
    """The model that a stage needs, if it needs any."""
    if arguments.stage not in _MODEL_STAGES:
        return None
    if preset.conventions.proposal_stages is ProposalStages.NONE:
        raise ParamsError(
            f"{preset.name} has no region proposals, so there is no stage {arguments.stage!r}.",
            where="--stage",
            way_out="Choose another preset, or the stage gt, anchors or labels.",
        )
    from rpnviz.models.watched import open_watched

    return open_watched(arguments.model, dict(arguments.model_option), _tell)


def _same_place(one: str, other: str) -> bool:
    """Whether two documents would be written over or behind each other."""
    return one == other or ("-" not in (one, other) and Path(one).absolute() == Path(other).absolute())


def _print_failure(failure: Failure) -> None:
    _tell(str(failure.error))


def _tell(text: str) -> None:
    print(f"rpnviz: {text}", file=sys.stderr)


# ---------------------------------------------------------------------- shared by the commands


def _preset(arguments: argparse.Namespace) -> Preset:
    """What ``--preset``, ``--params`` and ``--config`` ask for."""
    return _settings(arguments.preset, arguments.params, arguments.config, "--preset")[0]


def _with_usual_views(preset: Preset) -> Params:
    """The parameters with the views of the trainer's own default configuration."""
    return preset.params.with_views(presets.usual_views(preset.name))


def _settings(
    name: str | None, params: Path | None, config: Path | None, option: str
) -> tuple[Preset, TrainerConfig | None]:
    """The same of either side of a comparison; what a configuration was not understood in is told."""
    preset, found = read_settings(name, params, config, option)
    if found is not None:
        print(f"rpnviz: {found.files[0].name}: {found.summary}", file=sys.stderr)
        for note in found.notes:
            if note.fate in (Fate.NOT_UNDERSTOOD, Fate.ASSUMED):
                value = f" = {note.value}" if note.value else ""
                line = f"rpnviz:   {note.fate}: {note.field}{value} ({note.became})"
                print(line.encode(errors=_ODD_NAMES).decode(), file=sys.stderr)
    return preset, found


def _read_files(arguments: argparse.Namespace) -> dict[Path, str]:
    """The files of parameters, which must not be written over."""
    given = (arguments.params, arguments.config)
    return {path.resolve(): f"{path.name}, which was read" for path in given if path is not None}


def _named(preset: Preset, file: Path | None) -> str:
    """A preset, with the file that its parameters come from."""
    return preset.name if file is None else f"{preset.name} ({file.name})"


def _share(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return value


def _pixels(text: str) -> float:
    """A length, 0 or more."""
    value = float(text)
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a length in pixels")
    return value


def _hint_at_annotations(dataset: Dataset) -> None:
    """Say why there is nothing to tell of."""
    if not dataset.box_counts().any():
        print("rpnviz: there are no ground-truth boxes; --annotations FILE names those of images.", file=sys.stderr)


def _dataset(arguments: argparse.Namespace) -> Dataset:
    from rpnviz.datasets.base import CHOICE
    from rpnviz.datasets.registry import open_dataset

    dataset = open_dataset([arguments.path], arguments.annotations)
    serious = [finding for finding in dataset.findings if finding.severity != "note" or finding.kind == CHOICE]
    for finding in serious[:_MAX_FINDINGS]:
        print(f"rpnviz: {finding}", file=sys.stderr)
    if len(serious) > _MAX_FINDINGS:
        print(f"rpnviz: ... and {len(serious) - _MAX_FINDINGS:,} more findings", file=sys.stderr)
    return dataset


def _check_json(target: str, keep: Mapping[Path, str]) -> None:
    """Refuse, before the work, a place that cannot be written or holds what is read."""
    from rpnviz.export.batch import check_place
    from rpnviz.files import check_target

    check_place(Path(target), keep, "the JSON")
    check_target(target)


def _write_json(value: object, target: str) -> None:
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    if target == "-":
        # A file name that is no text in the file system's own encoding.
        print(text.encode(errors=_ODD_NAMES).decode())
        return
    from rpnviz.files import write_whole

    write_whole(target, (text + "\n").encode("utf-8", _ODD_NAMES))
