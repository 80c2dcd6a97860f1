"""Opens broken copies of the examples in ``tests/data/formats``: every one must open or be refused with a reason.

``python -m tools.fuzz_datasets --count 2000`` prints how many of each format opened and how many were refused; a
traceback, a warning or more than 20 s ends it. The tests run some hundreds of the same mutations per format.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import shutil
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rpnviz.core import presets
from rpnviz.datasets.base import Dataset
from rpnviz.datasets.lint import lint
from rpnviz.datasets.registry import open_dataset
from rpnviz.errors import RpnvizError

EXAMPLES = Path(__file__).resolve().parent.parent / "tests" / "data" / "formats"
MAX_SECONDS = 20
_NUMBER = re.compile(rb"-?\d+(\.\d+)?")
_STRANGE_NUMBERS = (
    b"-1", b"0", b"1e999", b"-1e308", b"NaN", b"nan", b"Infinity", b"1e-320", b"9" * 400, b"9" * 5000, b"0x10", b"1_0",
    b"99999999999999999999", b"2147483648", b"true", b"null", b'"7"', b"[]", b"{}", b"", b"1.5.5", b"--3",
)  # fmt: skip
_STRANGE_BYTES = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe4", b"\r\n", b"\r", b"\xed\xa0\x80", b"<", b">", b"&x;", b'"', b"'",
    b"{", b"}", b"[", b"]", b",", b";", b"\t", b"\n\n", b"%", b"\\", b"\\u0000", b"\\ud800", b"*a", b"&a ", b": ",
    b"../" * 40, b"/dev/zero", b"/", b"a" * 70_000,
)  # fmt: skip


def annotation_files(folder: Path) -> list[Path]:
    """What can be broken in an example."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".png", ".jpg"))


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to three changes of a file."""
    for _ in range(rng.randint(1, 3)):
        data = rng.choice(_CHANGES)(data, rng)
    return data


def _truncated(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _without_a_part(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.randint(1, 40) :]


def _repeated_part(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    part = data[start : start + rng.randint(1, 200)]
    return data[:start] + part * rng.randint(2, 30) + data[start:]


def _other_bytes(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _strange_bytes(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + rng.choice(_STRANGE_BYTES) + data[start:]


def _strange_number(data: bytes, rng: random.Random) -> bytes:
    places = list(_NUMBER.finditer(data))
    if not places:
        return data
    place = rng.choice(places)
    return data[: place.start()] + rng.choice(_STRANGE_NUMBERS) + data[place.end() :]


def _negative_number(data: bytes, rng: random.Random) -> bytes:
    places = list(_NUMBER.finditer(data))
    if not places:
        return data
    place = rng.choice(places)
    return data[: place.start()] + b"-" + data[place.start() :]


def _other_encoding(data: bytes, rng: random.Random) -> bytes:
    text = data.decode("latin-1")
    return text.encode(rng.choice(("utf-16", "utf-8-sig", "utf-32", "cp037")))


def _line_ends(data: bytes, rng: random.Random) -> bytes:
    return data.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\r", b" \n")))


def _exchanged_lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    rng.shuffle(lines)
    return b"\n".join(lines)


def _other_json(data: bytes, rng: random.Random) -> bytes:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return _strange_number(data, rng)
    return json.dumps(_changed_value(document, rng, rng.randint(0, 4))).encode()


def _changed_value(value: Any, rng: random.Random, depth: int) -> Any:
    """The value with a part at some depth exchanged for another type."""
    if depth and isinstance(value, dict) and value:
        key = rng.choice(list(value))
        return {**value, key: _changed_value(value[key], rng, depth - 1)}
    if depth and isinstance(value, list) and value:
        index = rng.randrange(len(value))
        return [*value[:index], _changed_value(value[index], rng, depth - 1), *value[index + 1 :]]
    nested: Any = []
    for _ in range(50):
        nested = [nested]
    strange = (None, True, -1, 0, 1e308, float("nan"), "", "x", "\ud800", [], {}, [1, 2], {"a": 1}, nested, 10**400)
    return rng.choice(strange)


_CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _truncated,
    _without_a_part,
    _repeated_part,
    _other_bytes,
    _strange_bytes,
    _strange_number,
    _strange_number,
    _negative_number,
    _other_encoding,
    _line_ends,
    _exchanged_lines,
    _other_json,
    _other_json,
)


def look_at(dataset: Dataset) -> None:
    """Use a data set as the window and ``rpnviz lint`` do."""
    for record in dataset.images:
        gt = record.gt
        assert gt.boxes.shape == (len(gt), 4)
        assert all(0 <= label < len(dataset.categories) for label in gt.labels.tolist())
    for finding in dataset.findings:
        assert finding.what
        assert str(finding).isprintable(), repr(str(finding))
        assert finding.image is None or 0 <= finding.image < len(dataset.images)
        assert finding.gt is None or (
            finding.image is not None and 0 <= finding.gt < dataset.images[finding.image].box_count
        )
    lint(dataset, presets.load("torchvision"))


def try_one(example: Path, work: Path, rng: random.Random) -> str:
    """Break one file of an example and open it: "opened" or "refused"."""
    folder = work / example.name
    file = rng.choice(annotation_files(folder))
    sound = file.read_bytes()
    file.write_bytes(mutate(sound, rng))
    try:
        look_at(open_dataset([rng.choice((folder, file))]))
        return "opened"
    except RpnvizError as error:
        return "refused" if error.what else "refused without a word"
    finally:
        file.write_bytes(sound)


def run(example: Path, count: int, seed: int, max_seconds: float = math.inf) -> Counter[str]:
    """Break an example again and again; how often it opened and was refused. ``max_seconds``: for each."""
    rng = random.Random(f"{example.name} {seed}")
    outcome: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("error")
        work = Path(name)
        shutil.copytree(example, work / example.name)
        for number in range(count):
            before, state = time.monotonic(), rng.getstate()
            try:
                outcome[try_one(example, work, rng)] += 1
            except BaseException:
                replay = random.Random()
                replay.setstate(state)
                file = replay.choice(annotation_files(work / example.name))
                kept = Path(tempfile.gettempdir()) / f"fuzz-{example.name}-{number}{file.suffix}"
                kept.write_bytes(mutate(file.read_bytes(), replay))
                print(f"{example.name}: number {number} of seed {seed}, {file.name}; kept as {kept}")
                raise
            seconds = time.monotonic() - before
            assert seconds < max_seconds, f"{example.name}: number {number} took {seconds:.1f} s"
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="mutations per example (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for example in sorted(EXAMPLES.iterdir()):
        started = time.monotonic()
        outcome = run(example, arguments.count, arguments.seed, MAX_SECONDS)
        seconds = time.monotonic() - started
        print(
            f"{example.name:20} {outcome['opened']:6} opened {outcome['refused']:6} refused {seconds:7.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
