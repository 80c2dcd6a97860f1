"""A COCO file as large as train2017's (118,287 images, 860,001 boxes, polygons): against ``json.load`` in the same run.

Each figure comes from a process of its own, so that its peak of memory is its own. The file and its images (empty
files) are made in a temporary folder, or kept in the one named by ``--keep``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from coco_generator import BOXES, IMAGES, write_coco
from common import report

_CHILD = """
import json, resource, sys, time
from pathlib import Path
what, path = sys.argv[1], Path(sys.argv[2])
if what == "json":
    start, before = time.perf_counter(), time.process_time()
    with path.open(encoding="utf-8") as file:
        document = json.load(file)
    answer = {"images": len(document["images"]), "boxes": len(document["annotations"])}
else:
    from rpnviz.datasets.registry import open_dataset
    start, before = time.perf_counter(), time.process_time()
    dataset = open_dataset([path])
    answer = {"images": len(dataset.images), "boxes": int(dataset.box_counts().sum()),
              "findings": len(dataset.findings)}
seconds, cpu = time.perf_counter() - start, time.process_time() - before
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"s": seconds, "cpu_s": cpu, "peak_mb": peak, **answer}))
"""


def measure(what: str, path: Path, home: Path) -> dict[str, float]:
    """One fresh process."""
    environment = dict(os.environ, XDG_CACHE_HOME=str(home))
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, what, str(path)], capture_output=True, text=True, check=True, env=environment
    )
    return json.loads(done.stdout)


def prepare(folder: Path) -> Path:
    """The file and its images, unless they are there."""
    path = folder / "annotations" / "instances_train2017.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_coco(path)
        images = folder / "train2017"
        images.mkdir(exist_ok=True)
        for index in range(IMAGES):
            (images / f"{index + 1:012d}.jpg").touch()
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="folder for the generated files")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        path = prepare(arguments.keep or Path(name) / "coco")
        rounds: dict[str, list[dict[str, float]]] = {"json": [], "first": [], "again": []}
        for number in range(arguments.repeat):
            home = Path(name) / f"home{number}"
            rounds["json"].append(measure("json", path, home))
            rounds["first"].append(measure("ours", path, home))
            rounds["again"].append(measure("ours", path, home))
        for first in rounds["first"]:
            assert (first["images"], first["boxes"]) == (IMAGES, BOXES)
        best = {what: min(each, key=lambda one: one["s"]) for what, each in rounds.items()}
        figures = {
            "file_mb": round(path.stat().st_size / 1e6),
            "json_load_s": round(best["json"]["s"], 2),
            "json_load_peak_mb": round(best["json"]["peak_mb"]),
            "opened_s": round(best["first"]["s"], 2),
            "opened_peak_mb": round(max(one["peak_mb"] for one in rounds["first"])),
            "of_json_load": round(best["first"]["s"] / best["json"]["s"], 3),
            "of_json_load_each_round": [
                round(first["s"] / other["s"], 3) for first, other in zip(rounds["first"], rounds["json"], strict=True)
            ],
            "of_json_load_cpu_each_round": [
                round(first["cpu_s"] / other["cpu_s"], 3)
                for first, other in zip(rounds["first"], rounds["json"], strict=True)
            ],
            "again_cpu_s": round(best["again"]["cpu_s"], 2),
            "again_s": round(best["again"]["s"], 2),
            "again_peak_mb": round(max(one["peak_mb"] for one in rounds["again"])),
        }
        report("datasets", figures)


if __name__ == "__main__":
    main()
