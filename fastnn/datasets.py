"""Data sets to learn with: handwritten digits, small (scikit-learn's) and large (MNIST)."""

from __future__ import annotations

import os
import struct
import zlib

import numpy as np

DataSet = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

_MNIST_SIDE = 28
_MNIST_CLASSES = 10
_IMAGES_MAGIC = 0x00000803  # two zero bytes, 08 for unsigned bytes, the number of dimensions
_LABELS_MAGIC = 0x00000801
_GZIP_START = b"\x1f\x8b"
_GZIP_RATIO = 1032  # deflate cannot shrink data further, so no header can claim more than this
_BLOCK = 1 << 20


def load_digits() -> DataSet:
    """Return scikit-learn's bundled handwritten digits, split once and for all.

    Returns
    -------
    X_train : ndarray of float32, shape (1437, 64)
        8x8 images row by row, 0 (white) to 1.
    y_train : ndarray of int64, shape (1437,)
    X_test : ndarray of float32, shape (360, 64)
    y_test : ndarray of int64, shape (360,)

    Raises
    ------
    ImportError
        If scikit-learn is not installed.

    Notes
    -----
    The split is stratified, 80 to 20, with ``random_state=0``.
    """
    try:
        from sklearn.datasets import load_digits as bundled
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise ImportError(
            'load_digits needs scikit-learn, which is not installed: pip install "fastnn[demo]"'
        ) from error
    X, y = bundled(return_X_y=True)
    X = (X / 16).astype(np.float32)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y.astype(np.int64), test_size=0.2, random_state=0, stratify=y
    )
    return X_train, y_train, X_test, y_test


def load_mnist(path: str | os.PathLike[str] | None = None) -> DataSet:
    """Return MNIST, or a data set of the same form, from its four IDX files.

    Parameters
    ----------
    path : str, os.PathLike or None
        The folder that holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
        ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``, each as it is or gzipped with
        ``.gz`` behind its name; a dot in place of the second hyphen (``train-images.idx3-ubyte``)
        will do. None takes the folder from the environment variable FASTNN_MNIST.

    Returns
    -------
    X_train : ndarray of float32, shape (60000, 784)
        28x28 images row by row, 0 (background) to 1: the byte divided by 255.
    y_train : ndarray of int64, shape (60000,)
    X_test : ndarray of float32, shape (10000, 784)
    y_test : ndarray of int64, shape (10000,)

    Raises
    ------
    FileNotFoundError
        If files are missing; it names them and the folder.
    ValueError
        If a file is damaged; it names the file and what is wrong.
    """
    if path is None:
        path = os.environ.get("FASTNN_MNIST")
    if not path:
        raise ValueError(
            "no folder for MNIST: pass path (--data on the command line), or set the environment "
            "variable FASTNN_MNIST, to the folder with its four IDX files "
            "(train-images-idx3-ubyte.gz and so on)"
        )
    parts = [(part, kind) for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    files = _find(os.fspath(path), [f"{part}-{kind}-ubyte" for part, kind in parts])
    train_images, train_labels, test_images, test_labels = files
    return (*_read_pair(train_images, train_labels), *_read_pair(test_images, test_labels))


def _find(folder, names):
    found = []
    missing = []
    for name in names:
        dotted = name.replace("-idx", ".idx")
        candidates = [name, name + ".gz", dotted, dotted + ".gz"]
        paths = [os.path.join(folder, candidate) for candidate in candidates]
        existing = [candidate for candidate in paths if os.path.isfile(candidate)]
        if existing:
            found.append(existing[0])
        else:
            missing.append(name)
    if missing:
        where = f"folder {folder!r}" + ("" if os.path.isdir(folder) else ", which does not exist")
        raise FileNotFoundError(
            f"MNIST files {', '.join(missing)} (or with .gz, or with a dot before idx) "
            f"not found in {where}"
        )
    return found


def _read_pair(images_path, labels_path):
    X = _read_idx(images_path, _IMAGES_MAGIC, (_MNIST_SIDE, _MNIST_SIDE), np.float32)
    y = _read_idx(labels_path, _LABELS_MAGIC, (), np.int64)
    if len(X) != len(y):
        raise ValueError(
            f"{images_path} has {len(X)} images but {labels_path} has {len(y)} labels; "
            f"expected as many labels as images"
        )
    if y.max() >= _MNIST_CLASSES:
        row = int(y.argmax())
        raise ValueError(f"{labels_path}: label {y[row]} at row {row}; expected 0..9")
    return X, y


def _read_idx(path, magic, item_shape, dtype):
    """One IDX file as an array of `dtype`, bytes divided by 255 if that is a float.

    IDX: the magic number and one size for each dimension, big-endian 32-bit; then the bytes.
    """
    import gzip  # here, and not at the head: `import fastnn` is to be quick

    with open(path, "rb") as raw:
        is_gzip = raw.read(2) == _GZIP_START  # by content: browsers unpack and keep the name
        raw.seek(0)
        limit = os.fstat(raw.fileno()).st_size * (_GZIP_RATIO if is_gzip else 1)
        try:
            with gzip.open(raw) if is_gzip else raw as file:
                count, head = _read_head(file, path, magic, item_shape)
                return _read_items(file, path, (count, *item_shape), head, limit, dtype)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise ValueError(f"{path}: damaged gzip data: {error}") from error


def _read_head(file, path, magic, item_shape):
    head = 8 + 4 * len(item_shape)
    data = file.read(head)
    if len(data) < head:
        raise ValueError(f"{path}: truncated: expected {head} bytes of header, got {len(data)}")
    found, count, *sizes = struct.unpack(f">{head // 4}I", data)
    if found != magic:
        kind = "images" if item_shape else "labels"
        raise ValueError(
            f"{path}: bad magic number 0x{found:08x}; expected 0x{magic:08x} (IDX {kind})"
        )
    if tuple(sizes) != item_shape:
        expected = "x".join(map(str, item_shape))
        raise ValueError(
            f"{path}: wrong dimensions {'x'.join(map(str, sizes))}; expected {expected} images"
        )
    if count == 0:
        raise ValueError(f"{path}: wrong dimensions: 0 items; expected at least 1")
    return count, head


def _read_items(file, path, shape, head, limit, dtype):
    """The items as rows. Block by block, so that the bytes are never all in memory as well."""
    width = int(np.prod(shape[1:], dtype=int))
    expected = head + shape[0] * width
    if expected > limit:  # before anything of that size is allocated
        raise ValueError(f"{path}: truncated: expected {expected} bytes, got at most {limit}")
    items = np.empty((shape[0], width), dtype)
    flat = items.reshape(-1)
    done = 0
    while block := file.read(min(_BLOCK, len(flat) - done)):
        values = np.frombuffer(block, np.uint8)
        part = flat[done : done + len(values)]
        if dtype == np.float32:
            np.divide(values, np.float32(255), out=part)
        else:
            part[:] = values
        done += len(values)
    if done < len(flat):
        raise ValueError(f"{path}: truncated: expected {expected} bytes, got {head + done}")
    extra = len(file.read(_BLOCK))  # at the end of the data gzip compares its checksum
    if extra:
        found = f"{expected + extra}" + (" or more" if extra == _BLOCK else "")
        raise ValueError(f"{path}: trailing bytes: expected {expected} bytes, got {found}")
    return items if len(shape) > 1 else flat
