"""Model files: the format, and F17 (damage) and F18 (hostile files) of the fault list."""

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
from safetensors import safe_open
from safetensors.numpy import load_file

from fastnn import model_file
from fastnn.model_file import CorruptModelError, read_model, write_model

HEADER = {"layers": [{"units": 3, "activation": "relu"}], "classes": ["é", 'a"b'], "rate": 0.1}


def make_tensors(dtype="float32"):
    rng = np.random.default_rng(0)
    return {"b": np.arange(3, dtype=dtype), "a": rng.normal(size=(2, 3)).astype(dtype)}


def assert_same(got, expected):
    assert set(got) == set(expected)
    for name, array in expected.items():
        assert got[name].dtype == array.dtype
        assert got[name].shape == array.shape
        assert got[name].tobytes() == np.ascontiguousarray(array).tobytes()
        assert got[name].flags.writeable
        assert got[name].flags.aligned


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


def refused(path, data):
    path.unlink(missing_ok=True)  # some file systems sync what is truncated and written anew
    path.write_bytes(data)
    with pytest.raises(CorruptModelError) as caught:
        read_model(path)
    error = caught.value
    assert error.path == str(path)
    for part in (error.path, error.where, error.expected, error.found):
        assert part
        assert part in str(error)
    return error


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


# ---- F18 hostile files


def table(tensors=None, **metadata):
    fields = {"format": "fastnn", "version": "1", "header": "{}", "crc32": "00000000", **metadata}
    return {"__metadata__": fields, **(tensors or {})}


def raw(contents, data=b"", length=None):
    text = contents if isinstance(contents, bytes) else json.dumps(contents).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(start, end, shape=None, dtype="F32"):
    shape = [(end - start) // 4] if shape is None else shape
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def text_of(fields, **changes):
    """JSON of a table, with text put in place of some values."""
    text = json.dumps(fields)
    for old, new in changes.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text.encode()


ONE = {"w": entry(0, 4)}
META = json.dumps(table())[1:-1].encode()
ENTRY = json.dumps(ONE)[1:-1].encode()
HOSTILE = {
    "header length of 2^64-1": raw(table(ONE), bytes(4), (1 << 64) - 1),
    "header length of 2^63": raw(table(ONE), bytes(4), 1 << 63),
    "header length of 0": raw(table(ONE), bytes(4), 0),
    "header length into the data": raw(table(ONE), bytes(4), len(json.dumps(table(ONE))) + 4),
    "large header": raw(b"{" + b" " * (2 << 20) + META + b"," + ENTRY + b"}", bytes(4)),
    "overlap": raw(table({"v": entry(0, 8), "w": entry(4, 12)}), bytes(12)),
    "hole": raw(table({"v": entry(0, 4), "w": entry(8, 12)}), bytes(12)),
    "offsets beyond the end": raw(table({"w": entry(0, 1 << 40)}), bytes(4)),
    "offsets in reverse": raw(table({"w": entry(4, 0, [1])}), bytes(4)),
    "negative offset": raw(table({"w": entry(-4, 0, [1])}), bytes(4)),
    "shape that overflows": raw(table({"w": entry(0, 4, [1 << 33, 1 << 33])}), bytes(4)),
    "shape larger than the data": raw(table({"w": entry(0, 4, [1 << 40])}), bytes(4)),
    "negative shape": raw(table({"w": entry(0, 4, [-1])}), bytes(4)),
    "shape that is too large for NumPy": raw(table({"w": entry(0, 0, [0, 1 << 63])})),
    "many dimensions": raw(table({"w": entry(0, 4, [1] * 100)}), bytes(4)),
    "uncovered data": raw(table(ONE), bytes(4000)),
    "duplicate tensor": raw(b"{" + META + b"," + ENTRY + b"," + ENTRY + b"}", bytes(4)),
    "duplicate metadata": raw(b"{" + META + b"," + META + b"," + ENTRY + b"}", bytes(4)),
    "duplicate version": raw(text_of(table(ONE), **{'"1"': '"1", "version": "1"'}), bytes(4)),
    "unknown dtype": raw(table({"w": entry(0, 4, dtype="Q9")}), bytes(4)),
    "half precision": raw(table({"w": entry(0, 4, [2], "BF16")}), bytes(4)),
    "dtype that is none": raw(table({"w": entry(0, 4, dtype=["F32"])}), bytes(4)),
    "tensor that is none": raw(table({"w": 3}), bytes(4)),
    "deep JSON": raw(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "deep lists": raw(b"[" * 500_000),
    "deep JSON in the header": raw(table(ONE, header="[" * 100_000), bytes(4)),
    "huge number": raw(table(ONE, header='{"units": ' + "9" * 100_000 + "}"), bytes(4)),
    "list for a table": raw(b"[1, 2, 3]"),
    "metadata that is no object": raw({"__metadata__": ["fastnn"], **ONE}, bytes(4)),
    "header that is no text": raw(table(ONE, header={}), bytes(4)),
    "no header": raw({"__metadata__": {"format": "fastnn", "version": "1"}, **ONE}, bytes(4)),
    "not UTF-8": raw(b'{"\xff\xfe": 1}'),
    "lone surrogate": raw(b'{"\\ud800": 1}'),
    "checksum of something else": raw(table(ONE), bytes(4)),
    "no checksum": raw(table(ONE, crc32=None), bytes(4)),
    "pickle": pickle.dumps(os.getcwd, protocol=4) + bytes(100),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_F18_hostile_files_are_refused_cheaply(tmp_path, name):
    path = tmp_path / "m"
    refused(path, HOSTILE[name])  # once before, for what the first error imports
    tracemalloc.start()
    refused(path, HOSTILE[name])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= len(HOSTILE[name]) + (1 << 20)


def test_F18_hostile_entries_are_not_refused_for_the_helper_alone(tmp_path):
    """The tables above are those of a good file but for what their name says."""
    path = tmp_path / "m"
    zero = {"w": np.zeros(1, np.float32)}
    crc = model_file._checksum("{}", zero)
    path.write_bytes(raw(table(ONE, crc32=crc), bytes(4)))
    assert_same(read_model(path)[1], zero)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_F18_weights_that_are_not_finite_are_refused(tmp_path, value):
    weights = {"w": np.array([1, value], np.float32)}
    crc = model_file._checksum("{}", weights)
    data = raw(table({"w": entry(0, 8)}, crc32=crc), weights["w"].tobytes())
    error = refused(tmp_path / "m", data)
    assert error.where == "tensor 'w'"
    assert error.found == f"{value} at index (1,)"


@pytest.mark.parametrize("header", ["[]", "3", "", "{'a': 1}", '{"a": NaN}', '{"a": 1, "a": 1}'])
def test_F18_headers_that_are_no_object(tmp_path, header):
    crc = model_file._checksum(header, {"w": np.zeros(1, np.float32)})
    error = refused(tmp_path / "m", raw(table(ONE, header=header, crc32=crc), bytes(4)))
    assert error.where == "header"


def test_F18_no_code_runs(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trapped"),)

    refused(tmp_path / "m", pickle.dumps(Trap(), protocol=2))
    refused(tmp_path / "m", pickle.dumps(Trap(), protocol=0))
    assert not (tmp_path / "trapped").exists()


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 60))
def test_F18_any_bytes(tmp_path_factory, data, length):
    path = tmp_path_factory.mktemp("models") / "m"
    refused(path, data)
    refused(path, struct.pack("<Q", length) + data)
