"""Models on disk: safetensors with a JSON header, written atomically and read with suspicion.

The file is a plain safetensors file, readable by any tool that knows the format. Its metadata are
"format" ("fastnn"), "version" ("1"), "header" (a JSON object, whatever the caller passes) and
"crc32" (over these and every tensor). This module takes and gives plain state; it knows no Network.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn._atomic import replace_file
from fastnn._validate import nonfinite_position

_FORMAT = "fastnn"
_VERSION = 1
_MAX_HEADER = 1 << 20  # about 50,000 class names; parsing takes some ten times its size in memory
_DTYPES = {"F32": np.dtype(np.float32), "F64": np.dtype(np.float64)}


class CorruptModelError(ValueError):
    """A model file that is damaged, of another kind, or of a newer version.

    Attributes
    ----------
    path : str
    where : str
        The part of the file that is wrong.
    expected, found : str
    """

    def __init__(self, path: str, where: str, expected: str, found: str) -> None:
        super().__init__(path, where, expected, found)  # all of them, so that it can be pickled
        self.path, self.where, self.expected, self.found = path, where, expected, found

    def __str__(self) -> str:
        return f"{self.path}: {self.where}: expected {self.expected}, found {self.found}"


def write_model(
    path: str | os.PathLike[str], header: dict[str, Any], tensors: Mapping[str, np.ndarray]
) -> None:
    """Write a model so that `path` holds, whatever happens, what it held before or all of this.

    The same state gives the same bytes. How it is made atomic: `fastnn._atomic.replace_file`.

    Parameters
    ----------
    path : str or os.PathLike
    header : dict
        What JSON can hold, without NaN or infinity.
    tensors : dict of str to ndarray
        Finite, of float32 or float64, none of them empty.

    Raises
    ------
    OSError
        With errno and `path`. The old file is unchanged and no temporary file stays.
    ValueError, TypeError
        If `read_model` would refuse the file.
    """
    arrays = _checked_tensors(tensors)
    replace_file(path, [_prefix(header, arrays), *map(_bytes_of, arrays.values())])


def read_model(
    path: str | os.PathLike[str],
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `write_model` wrote.

    Returns
    -------
    header : dict
    tensors : dict of str to ndarray
        Fresh, writable arrays.

    Raises
    ------
    CorruptModelError
        If the file is damaged, not a fastnn model, of a newer version, or holds NaN or infinity.
    OSError
        If it cannot be read.
    """
    import safetensors  # here, and not at the head: `import fastnn` is to be quick

    path = os.fsdecode(path)
    _check_prefix(path)
    try:
        # "pread" rather than the memory map: a file cut short meanwhile is an error, not a SIGBUS,
        # and the peak is one copy of the weights.
        with safetensors.safe_open(path, "numpy", backend="pread") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.offset_keys()}
    except (safetensors.SafetensorError, ValueError, OverflowError) as error:
        # The last two are NumPy's, for shapes that it cannot have.
        raise CorruptModelError(path, "tensors", "a whole safetensors file", str(error)) from None
    header = metadata.get("header", "")
    crc = _checksum(header, tensors)
    if metadata.get("crc32") != crc:
        written = f"{metadata.get('crc32')!r:.80}"
        raise CorruptModelError(path, "checksum", f"crc32 {written} as written", f"{crc!r}")
    for name, array in tensors.items():
        index = nonfinite_position(array)
        if index is not None:
            found = f"{array[index]} at index {index}"
            raise CorruptModelError(path, f"tensor {name!r:.80}", "finite weights", found)
    return _parsed(path, "header", header), tensors


# ---- the bytes of a file


def _checked_tensors(tensors):
    """The tensors as contiguous arrays, float64 before float32, so that each starts aligned."""
    arrays = {}
    for name, tensor in tensors.items():
        if not isinstance(name, str) or name == "__metadata__":
            raise ValueError(f"tensor name {name!r}; expected a string other than '__metadata__'")
        array = np.require(tensor, requirements=["C", "A"])
        if array.dtype not in _DTYPES.values():
            raise TypeError(f"tensor {name!r} has dtype {array.dtype}; expected float32 or float64")
        if array.size == 0:
            raise ValueError(f"tensor {name!r} has shape {array.shape}; expected some elements")
        index = nonfinite_position(array)
        if index is not None:
            found = f"{array[index]} at index {index}"
            raise ValueError(f"tensor {name!r} has {found}; expected finite weights (not saved)")
        arrays[name] = array
    return dict(sorted(arrays.items(), key=lambda item: -item[1].itemsize))


def _prefix(header, arrays):
    """The 8 bytes of length and the JSON table of contents that open a safetensors file.

    safetensors' own writer copies all weights once and orders the metadata at random, so that
    equal models have different bytes. Reading is left to the library.
    """
    if not isinstance(header, dict):
        raise TypeError(f"header is a {type(header).__name__}; expected a dict")
    text = json.dumps(header, allow_nan=False)
    crc = _checksum(text, arrays)
    metadata = {"format": _FORMAT, "version": str(_VERSION), "header": text, "crc32": crc}
    table = {"__metadata__": metadata}
    codes = {dtype: code for code, dtype in _DTYPES.items()}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        entry = {"dtype": codes[array.dtype], "shape": array.shape, "data_offsets": (start, end)}
        table[name] = entry
    encoded = json.dumps(table, separators=(",", ":")).encode("ascii")
    encoded += b" " * (-len(encoded) % 8)
    if len(encoded) > _MAX_HEADER:
        raise ValueError(f"the header takes {len(encoded)} bytes; expected at most {_MAX_HEADER}")
    return struct.pack("<Q", len(encoded)) + encoded


def _bytes_of(array):
    return array.reshape(-1).view(np.uint8)


def _checksum(header, tensors):
    """CRC-32 of what a file says; by name, so that a tool may re-order the tensors."""
    names = sorted(tensors)
    contents = [[name, tensors[name].dtype.str[1:], tensors[name].shape] for name in names]
    crc = zlib.crc32(json.dumps([_FORMAT, _VERSION, header, contents]).encode("ascii"))
    for name in names:
        crc = zlib.crc32(_bytes_of(tensors[name]), crc)
    return f"{crc:08x}"


# ---- what is looked at before the safetensors library parses anything


def _check_prefix(path):
    """Refuse a file by its size, its table of contents or its version; no tensor is read."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        raise CorruptModelError(path, "file", "a regular file", "a device, pipe or socket")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        if size < 10 or len(start) < 8:
            raise CorruptModelError(path, "file", "at least 10 bytes", f"{size} bytes")
        (length,) = struct.unpack("<Q", start)
        limit = min(size - 8, _MAX_HEADER)
        if not 2 <= length <= limit:
            expected = f"2 to {limit} in a fastnn model of {size} bytes"
            raise CorruptModelError(path, "header length (bytes 0-7)", expected, str(length))
        encoded = file.read(length)
    table = _parsed(path, "table of contents", encoded)
    metadata = table.pop("__metadata__", None)
    if not isinstance(metadata, dict) or metadata.get("format") != _FORMAT:
        found = f"metadata {metadata!r:.80}" if metadata else "no metadata"
        raise CorruptModelError(path, "format", f'metadata with "format": "{_FORMAT}"', found)
    _check_version(path, metadata.get("version"))
    if not isinstance(metadata.get("header"), str):
        raise CorruptModelError(path, "header", "JSON text", f"{metadata.get('header')!r:.80}")
    for name, entry in table.items():
        code = entry.get("dtype") if isinstance(entry, dict) else None
        if not isinstance(code, str) or code not in _DTYPES:
            where = f"dtype of tensor {name!r:.80}"
            raise CorruptModelError(path, where, " or ".join(_DTYPES), f"{code!r:.80}")


def _check_version(path, version):
    if version == str(_VERSION):
        return
    expected = f"version {_VERSION}"
    if isinstance(version, str) and re.fullmatch("[1-9][0-9]{0,8}", version):
        found = f"version {version}, of a newer fastnn: upgrade with pip install -U fastnn"
        raise CorruptModelError(path, "version", f"{expected} or older", found)
    raise CorruptModelError(path, "version", expected, f"{version!r:.80}")


def _parsed(path, where, text):
    """A JSON object without duplicate keys or non-finite numbers."""

    def unique(pairs):
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a key that occurs twice")
        return found

    def no_constant(name):
        raise ValueError(f"the number {name}")

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)
    except RecursionError:
        raise CorruptModelError(path, where, "a JSON object", "too deep a nesting") from None
    except ValueError as error:  # JSON, UTF-8, and integers of thousands of digits
        raise CorruptModelError(path, where, "a JSON object", f"{error!s:.200}") from None
    if not isinstance(value, dict):
        raise CorruptModelError(path, where, "a JSON object", type(value).__name__)
    return value
