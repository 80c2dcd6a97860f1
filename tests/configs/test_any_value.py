"""Whatever stands in a field: it is read, or refused with a message; never anything else."""

from __future__ import annotations

import contextlib
import copy

import made_configs as made
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rpnviz.configs import documents, registry
from rpnviz.configs.documents import Document, Kind, Path
from rpnviz.errors import ConfigFileError

VALUES = [
    *(None, True, False, 0, 1, -1, 5, 2.5, -2.5, 1e300, 10**400, -(10**400), float("nan"), float("inf")),
    *("", "choice", "range", "none", "nms", "(1, 2)", "[", "1e-3", "p2", "\ud800", "\0", "x" * 1000),
    *([], [0], [1, 2], [[]], [[1], [2]], [[1, 2], [3]], [None], ["a"], [10**400], [float("nan")] * 4, [[[1]]], [{}]),
    *({}, {"type": 3}, {"type": []}, {"a": {"b": [1]}}),
]
"""What a field may hold by mistake or by malice."""


def places(value, trail=()):
    """Every place in a nested value."""
    yield trail
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*trail, key))


def replaced(document, trail, value):
    """The document with another value at one place; the rest is shared."""
    changed = copy.copy(document)
    inner = value if len(trail) == 1 else replaced(document[trail[0]], trail[1:], value)
    changed[trail[0]] = inner
    return changed


ALL_FIELDS = """
MODEL:
  META_ARCHITECTURE: GeneralizedRCNN
  ANCHOR_GENERATOR: {NAME: DefaultAnchorGenerator, SIZES: [[32]], ASPECT_RATIOS: [[1.0]], OFFSET: 0.5}
  PROPOSAL_GENERATOR: {NAME: RPN, MIN_SIZE: 0}
  RPN: {IN_FEATURES: [res4], IOU_THRESHOLDS: [0.3, 0.7], IOU_LABELS: [0, -1, 1], BBOX_REG_WEIGHTS: [1, 1, 1, 1]}
  RESNETS: {RES5_DILATION: 1}
  FPN: {IN_FEATURES: [res2]}
INPUT: {MIN_SIZE_TRAIN: [640, 800], MIN_SIZE_TRAIN_SAMPLING: choice,
        CROP: {ENABLED: True, TYPE: absolute, SIZE: [300, 400]}}
SEED: 1
"""
TORCHVISION = {
    "builder": "fasterrcnn_resnet50_fpn",
    "min_size": [640, 800],
    "max_size": 1000,
    "strides": [4, 8],
    "rpn_anchor_generator": {"sizes": [[1], [2]], "aspect_ratios": [[1], [1]]},
    "fixed_size": [1, 2],
}
DOCUMENTS = [
    (Kind.YAML, yaml.safe_load(made.BASE_FPN)),
    (Kind.YAML, yaml.safe_load(ALL_FIELDS)),
    (Kind.JSON, made.FASTER_RCNN_V3),
    (Kind.JSON, made.faster_rcnn_v2()),
    (Kind.JSON, made.cascade_rcnn()),
    (Kind.JSON, made.matterport()),
    (Kind.JSON, made.NUCLEUS),
    (Kind.JSON, TORCHVISION),
]
ONLY = {3: "data", 4: "train_dataloader"}
"""Of some documents the part in which they differ from those before them."""


def outcome(kind, document):
    """``read`` or ``refused``; anything but a message of ours is raised."""
    changed = Document(Path("c"), kind, document)
    form = registry.recognise(changed)
    if form is None:
        return "nobody's"
    try:
        config = form.read(changed, form.presets[0])
    except ConfigFileError as error:
        said = (error.what, error.where, error.way_out)
    else:
        said = (config.summary, *(f"{note.field}{note.value}{note.became}" for note in config.notes))
    assert all(said)
    assert max(map(len, said)) < 600
    "".join(said).encode()
    return "read" if len(said) != 3 else "refused"


@pytest.mark.parametrize("number", range(len(DOCUMENTS)))
def test_any_value_in_any_place(number):
    kind, document = DOCUMENTS[number]
    for index, trail in enumerate(places(document)):
        # What other tests show to be passed over as a whole is left out, and so is what two documents share.
        shared = number in ONLY and not (trail and trail[0] == ONLY[number])
        if trail and not shared and not {"roi_head", "rcnn", "backbone", "neck", "optim_wrapper"} & set(trail):
            # A third of the values at each place; neighbours get the others.
            for value in VALUES[index % 3 :: 3]:
                outcome(kind, replaced(document, trail, value))


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet="0123456789.- nae\n=[]#", max_size=60))
def test_any_text_in_an_ini(text):
    with contextlib.suppress(ConfigFileError):
        outcome(Kind.INI, documents.parse(f"[anchor_parameters]\n{text}", Path("c.ini"), Kind.INI).value)
