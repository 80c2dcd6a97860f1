"""Train the bundled model on synthetic scenes: ``python -m tools.train_model``.

Labels, mini-batch and regression targets come from ``rpnviz.core``, so that the model is trained by the very rules that
the program shows. Writes the weights (fp16) after some steps of the training, which make the bundled playback, the last
of which is the bundled model, and a card with the recipe; ``python -m tools.evaluate_model`` adds the figures to the
card.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from rpnviz.core import pipeline, presets
from rpnviz.core.conventions import Conventions
from rpnviz.core.inputs import ModelSettings
from rpnviz.core.params import Params
from rpnviz.models import native
from rpnviz.models.network import STRIDES, Network, Widths, normalise
from rpnviz.paths import bundled_playback, checkpoint_name
from tools.scenes import Scene, make_scene

MARKS = (0, 50, 200, 500, 1000, 2000)
"""Steps after which the weights are kept, beside the last one: what moves most, moves early."""
TRAIN_SEED = 1_000_000
"""Scenes with this seed and the following ones are trained on; evaluation uses seeds far from it."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the outcome, apart from the scenes' own generator."""

    seed: int = 0
    steps: int = 6000
    batch: int = 8
    num_scenes: int = 4800
    peak_learning_rate: float = 2e-3
    weight_decay: float = 0.05
    smooth_l1_beta: float = 1 / 9


def model_settings() -> ModelSettings:
    """Resize, anchors and coder that the bundled model is built with."""
    preset = presets.load("torchvision")
    return ModelSettings(
        resize=dataclasses.replace(preset.params.resize, min_size=320, max_size=640),
        anchors=dataclasses.replace(
            preset.params.anchors,
            strides=STRIDES,
            sizes=((24, 34), (48, 68), (96, 144)),
            aspect_ratios=((0.5, 1.0, 2.0),) * len(STRIDES),
        ),
        coder=preset.params.coder,
        conventions=preset.conventions,
        preset=preset.name,
    )


def train(
    scenes: Sequence[Scene],
    recipe: Recipe,
    report: Callable[[int, float], None] = lambda step, loss: None,
    keep: Callable[[int, Network], None] = lambda step, network: None,
) -> Network:
    """Train a new network.

    Args:
        scenes: to train on.
        recipe: how.
        report: called with every step and its loss.
        keep: called with the number of steps done, 0 at first, and the network as it is then.
    """
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    settings = model_settings()
    preset = presets.load("torchvision")
    params, conventions = settings.applied_to(preset.params, preset.conventions)
    network = Network(settings.anchors.cells[0], Widths())
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.peak_learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.peak_learning_rate, total_steps=recipe.steps, pct_start=0.15
    )
    order = np.zeros(0, int)
    keep(0, network)
    for step in range(recipe.steps):
        if len(order) < recipe.batch:
            order = rng.permutation(len(scenes))
        picked, order = order[: recipe.batch], order[recipe.batch :]
        images, targets = [], []
        for number, index in enumerate(picked):
            image, boxes = augment(scenes[index].image, scenes[index].boxes, rng)
            images.append(image)
            targets.append(_targets(image, boxes, params, conventions, seed=step * recipe.batch + number))
        loss = _loss(network, images, targets, recipe)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        report(step, loss.item())
        keep(step + 1, network)
    return network.eval()


def augment(
    image: NDArray[np.uint8], boxes: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """One of the eight reflections and rotations by 90 degrees, and the colour channels in a random order."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = boxes.T
    if rng.random() < 0.5:
        image, x1, x2 = image[:, ::-1], width - x2, width - x1
    if rng.random() < 0.5:
        image, y1, y2 = image[::-1], height - y2, height - y1
    if rng.random() < 0.5:
        image, x1, y1, x2, y2 = image.transpose(1, 0, 2), y1, x1, y2, x2
    return np.ascontiguousarray(image[..., rng.permutation(3)]), np.stack([x1, y1, x2, y2], axis=1)


@dataclass(frozen=True, eq=False)
class _Targets:
    """Of one image: ``drawn`` anchors, ``wanted`` labels (0 or 1) of those, ``positive`` anchors and their deltas."""

    drawn: torch.Tensor
    wanted: torch.Tensor
    positive: torch.Tensor
    deltas: torch.Tensor


def _targets(
    image: NDArray[np.uint8], boxes: NDArray[np.float64], params: Params, conventions: Conventions, seed: int
) -> _Targets:
    params = params.with_values("sample", seed=seed)
    inputs = pipeline.Inputs(image_size=image.shape[:2], gt_boxes=boxes)
    result = pipeline.run(inputs, params, conventions)
    positive, negative = result.sample.positive, result.sample.negative
    deltas = result.targets.deltas[np.searchsorted(result.targets.anchor_index, positive)]
    return _Targets(
        torch.from_numpy(np.concatenate([positive, negative])),
        torch.cat([torch.ones(len(positive)), torch.zeros(len(negative))]),
        torch.from_numpy(positive.copy()),
        torch.from_numpy(deltas),
    )


def _loss(network: Network, images: list[NDArray[np.uint8]], targets: list[_Targets], recipe: Recipe) -> torch.Tensor:
    """Binary cross-entropy plus smooth L1, both divided by the number of drawn anchors.

    Source: torchvision ``models/detection/rpn.py: compute_loss``.
    """
    outputs = network(normalise(torch.from_numpy(np.stack(images))))
    logits = torch.cat([level.objectness.permute(0, 2, 3, 1).flatten(1) for level in outputs], dim=1)
    deltas = torch.cat([level.deltas.permute(0, 3, 4, 1, 2).flatten(1, 3) for level in outputs], dim=1)
    count = sum(len(target.drawn) for target in targets)
    total = torch.zeros(())
    for number, target in enumerate(targets):
        total = total + functional.binary_cross_entropy_with_logits(
            logits[number, target.drawn], target.wanted, reduction="sum"
        )
        total = total + functional.smooth_l1_loss(
            deltas[number, target.positive], target.deltas, beta=recipe.smooth_l1_beta, reduction="sum"
        )
    return total / count


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--out", type=Path, default=bundled_playback(), help="folder")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = Recipe(seed=arguments.seed, steps=arguments.steps)
    started = time.perf_counter()
    scenes = [make_scene(TRAIN_SEED + k) for k in range(recipe.num_scenes)]
    print(f"{len(scenes)} scenes after {time.perf_counter() - started:.0f} s", flush=True)
    recent: list[float] = []

    def report(step: int, loss: float) -> None:
        recent.append(loss)
        if (step + 1) % 50 == 0:
            print(
                f"step {step + 1}: loss {np.mean(recent[-50:]):.4f}, {time.perf_counter() - started:.0f} s", flush=True
            )

    def keep(step: int, network: Network) -> None:
        if step in MARKS or step == recipe.steps:
            path = arguments.out / checkpoint_name(step)
            native.save(
                network, path, model_settings(), name="Sample model", note="trained on synthetic shapes", step=step
            )

    network = train(scenes, recipe, report, keep)
    card = {
        "name": "Sample model",
        "note": "trained on synthetic shapes",
        "recipe": {**dataclasses.asdict(recipe), "first_scene_seed": TRAIN_SEED},
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "final_loss": round(float(np.mean(recent[-50:])), 4),
        "training_seconds": round(time.perf_counter() - started),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    (arguments.out / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    _main()
