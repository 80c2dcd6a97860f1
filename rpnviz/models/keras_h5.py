"""Weights of Matterport's Mask R-CNN from Keras files (``.h5``), under torchvision's names.

HDF5 holds no code. Source: matterport/Mask_RCNN ``mrcnn/model.py: resnet_graph, rpn_graph, MaskRCNN.build``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpnviz.errors import ModelFileError
from rpnviz.models.base import stop_if_asked

_MOST_GROWTH = 4
"""Times the size of a file that its arrays may take: what was never written, or compresses well, is no weights."""
_ROOM = 2**20
_LAYERS = re.compile(
    r"conv1|bn_conv1|(?:res|bn)\d[a-z]_branch(?:1|2[abc])|fpn_c\dp\d|fpn_p\d|rpn_(?:conv_shared|class_raw|bbox_pred)"
)
"""Those that make proposals; a Mask R-CNN has others."""

Arrays = Mapping[tuple[str, str], NDArray]
"""Arrays by layer and kind: ``("conv1", "kernel")``."""


def read_arrays(path: Path) -> dict[tuple[str, str], NDArray]:
    """Arrays of the layers that make proposals, by the last two parts of their place, which every version of Keras has.

    Raises:
        ModelFileError: h5py is not installed, the file is damaged, or holds no Mask R-CNN of Matterport, or its arrays
            are larger than such a file can hold.
        Cancelled: nobody waits for it any more.
    """
    try:
        import h5py
    except ImportError as error:
        raise ModelFileError(
            "reading Keras weights needs h5py, which is not installed.",
            where=str(path),
            way_out="Install it with 'pip install h5py' (extra 'keras').",
        ) from error
    found: dict[tuple[str, str], Any] = {}

    def take(name: str, item: Any) -> None:
        # Links out of the file are not followed by visititems, and external storage is not read.
        if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "fiu":
            return
        parts = name.split("/")
        if not item.external and len(parts) > 1:
            found[parts[-2], parts[-1].split(":")[0]] = item

    try:
        with h5py.File(path, "r") as file:
            file.visititems(take)
            _check_network(path, found)
            wanted = {key: item for key, item in found.items() if _LAYERS.fullmatch(key[0])}
            _check_size(path, sum(item.nbytes for item in wanted.values()))
            arrays = {}
            for key, item in wanted.items():
                stop_if_asked()
                arrays[key] = np.array(item)
            return arrays
    except ModelFileError:
        raise
    except Exception as error:  # HDF5 reports damage in many ways
        raise ModelFileError(
            f"the HDF5 file cannot be read: {type(error).__name__}: {error}.",
            where=str(path),
            way_out="Copy or download it again.",
        ) from error


def _check_network(path: Path, found: Mapping[tuple[str, str], Any]) -> None:
    if ("rpn_class_raw", "kernel") not in found or ("fpn_c5p5", "kernel") not in found:
        raise ModelFileError(
            f"it holds {len(found):,} Keras arrays, but not those of Matterport's Mask R-CNN.",
            where=str(path),
            way_out="Any other network can write an RPN dump: see docs/rpn-dump.md.",
        )


def _check_size(path: Path, total: int) -> None:
    size = path.stat().st_size
    if total > _MOST_GROWTH * size + _ROOM:
        raise ModelFileError(
            f"its arrays take {total:,} bytes, but the file has {size:,}: they were not read.",
            where=str(path),
            way_out="Keras does not compress weights; this is no file that it wrote.",
        )


def translate(arrays: Arrays) -> dict[str, NDArray]:
    """The weights under torchvision's names.

    Kernels are turned from (H, W, in, out); the bias before a normalisation goes into its mean; of the two logits of
    an anchor the object's less the background's remains; deltas come as dx, dy, dw, dh.
    """
    state: dict[str, NDArray] = {}
    for layer, name, norm in _layers(arrays):
        if (layer, "kernel") not in arrays:
            continue
        state[f"{name}.weight"] = arrays[layer, "kernel"].transpose(3, 2, 0, 1)
        bias = arrays.get((layer, "bias"))
        if norm is None:
            if bias is not None:
                state[f"{name}.bias"] = bias
            continue
        keras_norm, torch_norm = norm
        if (keras_norm, "gamma") not in arrays:
            continue
        for kind, part in (("gamma", "weight"), ("beta", "bias"), ("moving_variance", "running_var")):
            state[f"{torch_norm}.{part}"] = arrays[keras_norm, kind]
        mean = arrays[keras_norm, "moving_mean"]
        state[f"{torch_norm}.running_mean"] = mean if bias is None else mean - bias
    for part in ("weight", "bias"):
        pairs = np.asarray(state[f"rpn.head.cls_logits.{part}"], np.float32)
        pairs = pairs.reshape(-1, 2, *pairs.shape[1:])
        state[f"rpn.head.cls_logits.{part}"] = pairs[:, 1] - pairs[:, 0]
        deltas = state[f"rpn.head.bbox_pred.{part}"]
        turned = deltas.reshape(-1, 4, *deltas.shape[1:])[:, [1, 0, 3, 2]]
        state[f"rpn.head.bbox_pred.{part}"] = turned.reshape(deltas.shape)
    return state


def _layers(arrays: Arrays) -> Iterator[tuple[str, str, tuple[str, str] | None]]:
    """Keras layer, torchvision's name, and the names of the normalisation behind it."""
    body = "backbone.body."
    yield "conv1", f"{body}conv1", ("bn_conv1", f"{body}bn1")
    for layer, _ in {name: None for name, _ in arrays}.items():
        found = re.fullmatch(r"res(\d)([a-z])_branch(1|2[abc])", layer)
        if found is None:
            continue
        stage, letter, branch = int(found[1]) - 1, ord(found[2]) - ord("a"), found[3]
        here = f"{body}layer{stage}.{letter}."
        norm = f"bn{found[1]}{found[2]}_branch{branch}"
        if branch == "1":
            yield layer, f"{here}downsample.0", (norm, f"{here}downsample.1")
        else:
            number = "abc".index(branch[1]) + 1
            yield layer, f"{here}conv{number}", (norm, f"{here}bn{number}")
    for level in range(2, 6):
        yield f"fpn_c{level}p{level}", f"backbone.fpn.inner_blocks.{level - 2}.0", None
        yield f"fpn_p{level}", f"backbone.fpn.layer_blocks.{level - 2}.0", None
    yield "rpn_conv_shared", "rpn.head.conv.0.0", None
    yield "rpn_class_raw", "rpn.head.cls_logits", None
    yield "rpn_bbox_pred", "rpn.head.bbox_pred", None
