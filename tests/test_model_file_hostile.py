"""F18 of the fault list: model files made to harm."""

import json
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_files import assert_same, raw, refused, table

from fastnn import model_file
from fastnn.model_file import read_model


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
