"""Checkpoints are read to the bit, and nothing that they name is run."""

from __future__ import annotations

import argparse
import collections
import io
import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from rpnviz.errors import Cancelled, ModelFileError
from rpnviz.models.base import cancellable
from rpnviz.models.pickles import Stub, read_pickle, state_dict


class Malicious:
    """Makes a file when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def tensors():
    torch.manual_seed(0)
    base = torch.rand(4, 6)
    return {
        "a.weight": torch.rand(3, 2, 1, 1),
        "view": base[1:3, ::2],
        "transposed": base.t(),
        "half": torch.rand(5).half(),
        "bfloat": torch.rand(5).bfloat16(),
        "double": torch.rand(2).double(),
        "long": torch.arange(4),
        "flag": torch.tensor([True, False]),
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.rand(2, 2)),
    }


def check(found, expected):
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        wanted = tensor.detach().float() if tensor.dtype is torch.bfloat16 else tensor.detach()
        assert np.array_equal(found[name], wanted.numpy()), name


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"model": state, "epoch": 3, "args": argparse.Namespace(lr=0.1)},
        lambda state: {"state_dict": state, "meta": {"x": np.float64(2.5), "y": np.arange(3)}},
        lambda state: {"model": {"model": state}},
        collections.OrderedDict,
    ],
    ids=["bare", "training", "numpy", "nested", "ordered"],
)
def test_tensors_are_the_same_to_the_bit(tmp_path, zipped, wrap):
    path = tmp_path / "model.pth"
    torch.save(wrap(tensors()), path, _use_new_zipfile_serialization=zipped)
    check(state_dict(read_pickle(path).value), tensors())


def test_a_plain_pickle_of_arrays(tmp_path):
    path = tmp_path / "model.pkl"
    arrays = {
        "w": np.arange(6, dtype="f4").reshape(2, 3),
        "f": np.asfortranarray(np.eye(3)),
        "b": np.arange(3, dtype=">i4"),
    }
    for protocol in (2, 3, 4, 5):
        path.write_bytes(pickle.dumps({"model": arrays, "__author__": "somebody"}, protocol))
        found = state_dict(read_pickle(path).value)
        assert {name: value.tolist() for name, value in found.items()} == {n: v.tolist() for n, v in arrays.items()}


@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_module_gives_its_state_dict_and_its_settings(tmp_path, zipped):
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Sequential(torch.nn.Linear(2, 2))
    )
    path = tmp_path / "whole.pth"
    torch.save(module, path, _use_new_zipfile_serialization=zipped)
    found = read_pickle(path)
    check(state_dict(found.value), module.state_dict())
    assert isinstance(found.value, Stub)
    assert "torch.nn.modules.conv.Conv2d" in found.stubs
    first = found.value.__dict__["_modules"]["0"]
    assert first.__dict__["kernel_size"] == (3, 3)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_code_in_a_pickle_never_runs(tmp_path, protocol):
    trace, path = tmp_path / "trace", tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"model": {"w": np.zeros(2)}, "x": Malicious(trace)}, protocol))
    found = read_pickle(path)
    assert list(state_dict(found.value)) == ["w"]
    assert any("pathlib" in name for name in found.stubs), found.stubs
    assert not trace.exists()
    pickle.loads(path.read_bytes())
    assert trace.exists(), "the test's own file is not malicious"


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'touch {}'\ntR.",
        b'c__builtin__\neval\n(S\'open("{}", "w")\'\ntR.',
        b"cbuiltins\ngetattr\n(cos\nsystem\nS'__call__'\ntR.",
        b"csubprocess\nPopen\n((lS'touch'\naS'{}'\natR.",
        b"ctorch\nload\n(S'{}'\ntR.",
        b"cnumpy\nload\n(S'{}'\nI00\nI01\ntR.",
        b"(S'touch {}'\nios\nsystem\n.",
    ],
)
def test_programs_written_by_hand_do_nothing(tmp_path, program):
    trace, path = tmp_path / "trace", tmp_path / "model.pkl"
    data = b"\x80\x02" + program.replace(b"{}", str(trace).encode())
    path.write_bytes(data)
    assert state_dict(read_pickle(path).value) == {}
    assert not trace.exists()


def saved(state):
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_checkpoint_is_refused(tmp_path, kept, zipped):
    path = tmp_path / "cut.pth"
    torch.save({"w": torch.rand(100, 100)}, path, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ModelFileError, match="damaged"):
        state_dict(read_pickle(path).value)


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", pickle.dumps({}))
        archive.writestr("m/data/0", bytes(200 * 2**20))
    with pytest.raises(ModelFileError, match="was not unpacked"):
        read_pickle(path)


def rebuilt(offset, size, stride):
    """A checkpoint whose tensor is described as told, over a storage of 6 numbers."""
    data = saved({"w": torch.arange(6.0)})
    source = zipfile.ZipFile(io.BytesIO(data))
    prefix = source.namelist()[0].split("/")[0]
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"
    numbers = lambda values: b"(" + b"".join(f"I{value}\n".encode() for value in values) + b"t"  # noqa: E731
    body = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + f"I{offset}\n".encode() + numbers(size) + numbers(stride)
    program = b"\x80\x02}X\x01\x00\x00\x00w" + body + b"I00\n}tRs."
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{prefix}/data.pkl", program)
        archive.writestr(f"{prefix}/data/0", source.read(f"{prefix}/data/0"))
    return file.getvalue()


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(rebuilt(1, (2, 2), (2, 1)))
    assert state_dict(read_pickle(path).value)["w"].tolist() == [[1, 2], [3, 4]]
    for offset, size, stride in (
        (3, (2, 2), (2, 1)),
        (0, (7,), (1,)),
        (0, (2,), (10**9,)),
        (-1, (2,), (1,)),
        (0, (2,), (-1,)),
        (0, (2, 2), (1,)),
    ):
        path.write_bytes(rebuilt(offset, size, stride))
        with pytest.raises(ModelFileError, match="a tensor of"):
            read_pickle(path)


def test_a_pickle_that_nests_without_end(tmp_path):
    path = tmp_path / "deep.pkl"
    path.write_bytes(b"\x80\x02" + b"(" * 400 + b"t" * 400 + b".")
    assert state_dict(read_pickle(path).value) == {}
    path.write_bytes(b"\x80\x02" + b"(" * 200_000 + b"t" * 200_000 + b".")
    with pytest.raises(ModelFileError, match="more than 500 levels deep"):
        read_pickle(path)
    loop = {}
    loop["model"] = loop
    path.write_bytes(pickle.dumps(loop))
    assert state_dict(read_pickle(path).value) == {}


def doubled(last=b""):
    """A program that leaves a tuple of itself twice, 40 levels deep, and then runs ``last``."""
    return b"\x80\x02" + b"K\x00\x85" + b"".join(b"q%c0h%ch%c\x86" % (n, n, n) for n in range(40)) + last + b"."


@pytest.mark.parametrize(
    "program",
    [
        b"}" + doubled(b"K\x01s")[2:],
        b"}(" + doubled(b"K\x01u")[2:],
        b"}" + doubled(b"q\x640h\x64K\x01s")[2:],
        b"c__builtin__\nset\n]" + doubled(b"a\x85R")[2:],
        b"cbuiltins\nfrozenset\n]" + doubled(b"a\x85R")[2:],
        b"(" + doubled(b"\x91")[2:],
        b"cbuiltins\ntuple\n]" + doubled(b"a\x85R")[2:],
        b"((" + doubled(b"X\x05\x00\x00\x00modelt")[2:-1] + b"X\x01\x00\x00\x00xd.",
    ],
    ids=["item", "items", "memo", "set", "frozen set", "frozen set's code", "tuple", "dict"],
)
def test_a_key_that_unfolds_beyond_measure_is_never_hashed(tmp_path, program):
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x02" + program)
    assert path.stat().st_size < 700
    with pytest.raises(ModelFileError, match="again and again"):
        read_pickle(path)


def test_nested_frozen_sets_and_ordinary_keys(tmp_path):
    path = tmp_path / "model.pkl"
    value = {(1, (2, 3)): 1, frozenset({(1, 2), frozenset({3})}): 2, "w": np.zeros(2), None: 3, 4.0: 5, b"6": 7}
    for protocol in (3, 4, 5):
        path.write_bytes(pickle.dumps(value, protocol))
        found = read_pickle(path).value
        assert found.pop("w").tolist() == [0, 0]
        assert found == {key: item for key, item in value.items() if key != "w"}


def test_what_is_written_out_as_text_is_text(tmp_path):
    """A list of itself twice, and so on, has no end as text: what is no text or number is not written out."""
    nested = []
    for _ in range(100):
        nested = [nested, nested]
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"kind": nested, 1: np.zeros(2), "w": np.ones(2)}, 2))
    assert list(state_dict(read_pickle(path).value)) == ["w"]
    body = pickle.dumps(nested, 2)[2:-1]
    for program in (
        b"\x80\x02cnumpy\ndtype\n" + body + b"\x85R.",
        b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\n" + body + b"tQ.",
    ):
        path.write_bytes(program)
        assert state_dict(read_pickle(path).value) == {}


@pytest.mark.parametrize("zipped", [True, False])
def test_a_tensor_that_repeats_its_numbers_is_not_made(tmp_path, zipped):
    path = tmp_path / "model.pth"
    small = {"w": torch.arange(3.0).expand(4, 3)}
    torch.save(small, path, _use_new_zipfile_serialization=zipped)
    check(state_dict(read_pickle(path).value), small)
    torch.save({"w": torch.zeros(1).expand(30_000, 30_000)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelFileError, match=r"takes more than 1,0.* bytes; the file has") as caught:
        read_pickle(path)
    assert "clones" in caught.value.way_out
    torch.save({"w": torch.zeros(1).bfloat16().expand(600_000)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelFileError, match="it was not made"):
        read_pickle(path)


LONG = b"X\x00\x00\x01\x00" + b"a" * 2**16 + b"q\x01"
"""A text of 64 KB, kept under a number."""
ARRAY = (
    b"cnumpy.core.multiarray\n_reconstruct\nN\x85R(K\x01J\x00\x00\x01\x00\x85"
    b"cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85R\x89h\x01tba"
)
"""An array of that text, put into the list below."""


@pytest.mark.parametrize(
    "program",
    [
        b"cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x00\x7f\x85R.",
        LONG + b"]" + b"c_codecs\nencode\nh\x01\x85Ra" * 400 + b".",
        LONG + b"]" + b"cbuiltins\nlist\nh\x01\x85Ra" * 40 + b".",
        LONG + b"]" + ARRAY * 400 + b".",
        b"\x96\x00\x00\x00\x00\x7f\x00\x00\x00.",
        b"Nr\xff\xff\xff\x7f.",
    ],
    ids=[
        "bytearray of a length",
        "codecs",
        "lists of a text",
        "arrays of a text",
        "stated length",
        "place in the memo",
    ],
)
def test_a_small_pickle_makes_no_large_object(tmp_path, program):
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x05" + program)
    tracemalloc.start()
    try:
        assert state_dict(read_pickle(path).value) == {}
    except ModelFileError as error:
        assert "it was not made" in str(error)  # noqa: PT017
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 2**23


@pytest.mark.parametrize("target", [b"cnumpy\ndtype\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"cbuiltins\nlist\n"])
def test_a_pickle_changes_no_class_and_no_function(tmp_path, target):
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x02" + target + b"N}X\x05\x00\x00\x00valueK\x01s\x86b.")
    with pytest.raises(ModelFileError, match="changes a class, a function or an array"):
        read_pickle(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_reading_can_be_cancelled(tmp_path, zipped):
    path = tmp_path / "model.pth"
    torch.save({f"w{number}": torch.zeros(2) for number in range(50)}, path, _use_new_zipfile_serialization=zipped)
    asked = []

    def cancelled():
        asked.append(1)
        return len(asked) > 10

    with cancellable(cancelled), pytest.raises(Cancelled):
        read_pickle(path)
    assert len(asked) == 11
    assert len(state_dict(read_pickle(path).value)) == 50
