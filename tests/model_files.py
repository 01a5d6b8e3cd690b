"""Bytes of model files, good and bad, and how they are refused."""

import json
import struct

import numpy as np
import pytest

from fastnn.model_file import CorruptModelError, read_model


def assert_same(got, expected):
    assert set(got) == set(expected)
    for name, array in expected.items():
        assert got[name].dtype == array.dtype
        assert got[name].shape == array.shape
        assert got[name].tobytes() == np.ascontiguousarray(array).tobytes()
        assert got[name].flags.writeable
        assert got[name].flags.aligned


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


def table(tensors=None, **metadata):
    fields = {"format": "fastnn", "version": "1", "header": "{}", "crc32": "00000000", **metadata}
    return {"__metadata__": fields, **(tensors or {})}


def raw(contents, data=b"", length=None):
    text = contents if isinstance(contents, bytes) else json.dumps(contents).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data
