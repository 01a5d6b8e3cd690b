"""Model files: the format, what is not written, and F17 (damage) of the fault list."""

import errno
import json
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_files import assert_same, raw, refused, table
from safetensors import safe_open
from safetensors.numpy import load_file

from fastnn import model_file
from fastnn.model_file import CorruptModelError, read_model, write_model

HEADER = {"layers": [{"units": 3, "activation": "relu"}], "classes": ["é", 'a"b'], "rate": 0.1}


def make_tensors(dtype="float32"):
    rng = np.random.default_rng(0)
    return {"b": np.arange(3, dtype=dtype), "a": rng.normal(size=(2, 3)).astype(dtype)}


# ---- what is written is read


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip(tmp_path, dtype):
    write_model(tmp_path / "m", HEADER, make_tensors(dtype))
    header, tensors = read_model(tmp_path / "m")
    assert header == HEADER
    assert_same(tensors, make_tensors(dtype))


@settings(deadline=None, max_examples=40)
@given(
    st.dictionaries(
        st.text('abc._é"\\', max_size=8),
        st.tuples(
            st.lists(st.integers(1, 4), max_size=3),
            st.sampled_from(["float32", "float64"]),
            st.booleans(),
        ),
        max_size=5,
    ),
    st.dictionaries(
        st.text(max_size=5), st.one_of(st.none(), st.integers(), st.text()), max_size=4
    ),
)
def test_round_trip_of_anything(tmp_path_factory, shapes, header):
    rng = np.random.default_rng(0)
    tensors = {}
    for name, (shape, dtype, reverse) in shapes.items():
        array = rng.normal(size=shape).astype(dtype)
        tensors[name] = array.T[::-1] if reverse and array.ndim else array
    path = tmp_path_factory.mktemp("models") / "m"
    write_model(path, header, tensors)
    got_header, got = read_model(path)
    assert got_header == header
    assert_same(got, tensors)


def test_the_file_is_plain_safetensors(tmp_path):
    tensors = {**make_tensors(), "c": np.ones((2, 1))}
    write_model(tmp_path / "m", HEADER, tensors)
    assert_same(load_file(tmp_path / "m"), tensors)
    with safe_open(tmp_path / "m", "numpy") as file:
        metadata = file.metadata()
    assert metadata["format"] == "fastnn"
    assert metadata["version"] == "1"
    assert json.loads(metadata["header"]) == HEADER


def test_the_same_state_gives_the_same_bytes(tmp_path):
    for name in ("first", "second"):
        write_model(tmp_path / name, HEADER, make_tensors())
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_every_tensor_starts_aligned(tmp_path):
    tensors = {"a": np.ones(1, np.float32), "b": np.ones(3), "c": np.ones(1, np.float32)}
    for text in ("", "x", "xx", "xxx"):
        write_model(tmp_path / "m", {"text": text}, tensors)
        data = (tmp_path / "m").read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        assert length % 8 == 0
        contents = json.loads(data[8 : 8 + length])
        for name, array in tensors.items():
            assert contents[name]["data_offsets"][0] % array.itemsize == 0


def test_weights_are_neither_copied_nor_changed_when_written(tmp_path):
    tensors = {"w": np.ones((1000, 1000), np.float32)}
    tensors["w"].flags.writeable = False
    write_model(tmp_path / "m", {}, tensors)
    tracemalloc.start()
    write_model(tmp_path / "m", {}, tensors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < tensors["w"].nbytes / 2


def test_reading_holds_one_copy_of_the_weights(tmp_path):
    size = 1 << 26
    write_model(tmp_path / "m", {}, {"w": np.ones(size // 4, np.float32)})
    code = f"""if True:
        import resource
        from fastnn.model_file import read_model
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tensors = read_model({str(tmp_path / "m")!r})
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 1.5 * size


# ---- what is refused when writing


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        ({"w": np.arange(3)}, TypeError, "'w' has dtype int64; expected float32 or float64"),
        ({"w": np.ones(3, ">f4")}, TypeError, "'w' has dtype >f4"),
        ({"w": np.empty((0, 3))}, ValueError, r"'w' has shape \(0, 3\)"),
        ({"w": np.array([[1, np.nan]])}, ValueError, r"'w' has nan at index \(0, 1\)"),
        ({3: np.ones(3)}, ValueError, "tensor name 3"),
        ({"__metadata__": np.ones(3)}, ValueError, "tensor name '__metadata__'"),
    ],
)
def test_tensors_that_could_not_be_read_again_are_not_written(tmp_path, tensors, error, message):
    path = tmp_path / "m"
    path.write_bytes(b"old")
    with pytest.raises(error, match=message):
        write_model(path, HEADER, tensors)
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("header", "error"),
    [
        ([], TypeError),
        ({"rate": float("nan")}, ValueError),
        ({"units": np.int64(3)}, TypeError),
        ({"text": "x" * (1 << 20)}, ValueError),
    ],
)
def test_headers_that_could_not_be_read_again_are_not_written(tmp_path, header, error):
    with pytest.raises(error):
        write_model(tmp_path / "m", header, make_tensors())
    assert os.listdir(tmp_path) == []


def test_F16_errors_of_a_save_carry_errno_and_path(tmp_path, monkeypatch):
    path = tmp_path / "m"
    write_model(path, HEADER, make_tensors())
    before = path.read_bytes()

    def no_space(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space") as caught:
        write_model(path, {}, make_tensors("float64"))
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m"]


# ---- F17 damage


@pytest.fixture
def model(tmp_path):
    """The path of a small whole model and its bytes."""
    path = tmp_path / "model.safetensors"
    write_model(path, HEADER, make_tensors())
    return path, path.read_bytes()


def test_F17_truncated_anywhere(model):
    path, data = model
    for length in range(len(data)):
        refused(path, data[:length])


def test_F17_any_flipped_bit(model):
    path, data = model
    for position in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            refused(path, flipped)


def test_F17_anything_appended(model):
    path, data = model
    for extra in (b"\0", b" ", b"\n", data):
        refused(path, data + extra)


def test_F17_two_exchanged_weights_and_exchanged_tensors(model):
    path, data = model
    assert "crc32" in refused(path, data[:-8] + data[-4:] + data[-8:-4]).expected
    refused(
        path, data.replace(b'"a":', b'"?":').replace(b'"b":', b'"a":').replace(b'"?":', b'"b":')
    )


def test_F17_newer_version_says_upgrade(model):
    path, data = model
    error = refused(path, data.replace(b'"version":"1"', b'"version":"2"'))
    assert error.where == "version"
    assert "version 1 or older" in error.expected
    assert "version 2" in error.found
    assert "upgrade" in error.found


@pytest.mark.parametrize("version", ['"0"', '"x"', "1", "null", '"' + "9" * 200 + '"'])
def test_F17_other_versions(model, version):
    path, _ = model
    error = refused(path, raw(table(version=json.loads(version))))
    assert error.where == "version"
    assert len(str(error)) < 400


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04" + bytes(100),
        b"\x93NUMPY\x01\x00" + bytes(100),
        b"\x89HDF\r\n\x1a\n" + bytes(100),
        b"<!DOCTYPE html><html></html>",
    ],
)
def test_F17_wrong_magic(model, data):
    refused(model[0], data)


def test_F17_safetensors_of_somebody_else(model):
    path, _ = model
    entries = {"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    assert refused(path, raw(entries, bytes(4))).where == "format"
    other = {"__metadata__": {"format": "pt"}, **entries}
    assert refused(path, raw(other, bytes(4))).where == "format"


def test_F17_the_error_is_a_value_error_and_survives_pickling(model):
    error = refused(model[0], b"nonsense")
    assert isinstance(error, ValueError)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.path, again.found) == (str(error), error.path, error.found)


def test_missing_files_folders_and_pipes(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        read_model(tmp_path / "none")
    assert caught.value.filename == str(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        read_model(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(CorruptModelError, match="a regular file"):
            read_model(tmp_path / "pipe")


def test_F17_a_file_that_shrinks_while_it_is_read(model, monkeypatch):
    path, data = model
    check = model_file._check_prefix

    def check_and_cut(name):
        check(name)
        os.truncate(path, len(data) - 5)

    monkeypatch.setattr(model_file, "_check_prefix", check_and_cut)
    with pytest.raises(CorruptModelError):
        read_model(path)


def test_F17_a_file_that_shrinks_after_it_is_opened(tmp_path):
    """In a process of its own, which a memory map would kill by SIGBUS."""
    path = tmp_path / "m"
    write_model(path, {}, {"w": np.ones(1 << 20, np.float32)})
    code = f"""if True:
        import os, safetensors
        from fastnn import model_file
        opened = safetensors.safe_open
        def open_and_cut(*arguments, **options):
            file = opened(*arguments, **options)
            os.truncate({str(path)!r}, 5000)
            return file
        safetensors.safe_open = open_and_cut
        try:
            model_file.read_model({str(path)!r})
        except model_file.CorruptModelError as error:
            print(error.where)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "tensors\n"
