"""Data sets: the IDX reader on small files of the right form, and on damaged ones."""

import gzip
import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from fastnn import datasets

MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist"
NAMES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]
N_TRAIN, N_TEST = 7, 3


def images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def labels(count, seed=0):
    return np.random.default_rng(seed).integers(0, 10, count, dtype=np.uint8)


def idx(array):
    magic = bytes([0, 0, 8, array.ndim])
    return magic + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def contents():
    return [
        idx(images(N_TRAIN)),
        idx(labels(N_TRAIN)),
        idx(images(N_TEST, 1)),
        idx(labels(N_TEST, 1)),
    ]


def write(folder, name_of=lambda name: name, pack=lambda data: data):
    for name, data in zip(NAMES, contents(), strict=True):
        (folder / name_of(name)).write_bytes(pack(data))


def check(data):
    X_train, y_train, X_test, y_test = data
    for X, y, count, seed in ((X_train, y_train, N_TRAIN, 0), (X_test, y_test, N_TEST, 1)):
        assert X.dtype == np.float32
        assert y.dtype == np.int64
        assert X.flags.c_contiguous
        expected = images(count, seed).reshape(count, 784).astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(X, expected)
        np.testing.assert_array_equal(y, labels(count, seed))


@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("packed", [False, True])
def test_mnist_of_every_name_and_packing(tmp_path, dotted, ending, packed):
    """Packed or not is told by the content: browsers unpack a download and keep its name."""
    write(
        tmp_path,
        lambda name: (name.replace("-idx", ".idx") if dotted else name) + ending,
        gzip.compress if packed else bytes,
    )
    check(datasets.load_mnist(tmp_path))
    check(datasets.load_mnist(str(tmp_path)))


def test_mnist_in_several_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "_BLOCK", 1000)
    write(tmp_path)
    check(datasets.load_mnist(tmp_path))


def test_mnist_from_the_environment(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setenv("FASTNN_MNIST", str(tmp_path))
    check(datasets.load_mnist())


def test_mnist_without_a_path_says_what_to_pass(monkeypatch):
    monkeypatch.delenv("FASTNN_MNIST", raising=False)
    with pytest.raises(ValueError, match=r"pass path .*FASTNN_MNIST.*train-images-idx3-ubyte\.gz"):
        datasets.load_mnist()


def test_missing_files_are_named_with_their_folder(tmp_path):
    write(tmp_path)
    (tmp_path / NAMES[1]).unlink()
    (tmp_path / NAMES[2]).unlink()
    with pytest.raises(FileNotFoundError) as caught:
        datasets.load_mnist(tmp_path)
    message = str(caught.value)
    assert NAMES[1] in message
    assert NAMES[2] in message
    assert NAMES[0] not in message
    assert repr(str(tmp_path)) in message
    assert "does not exist" not in message


def test_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="which does not exist"):
        datasets.load_mnist(tmp_path / "none")


def set_sizes(data, *sizes):
    head = struct.pack(f">{len(sizes)}I", *sizes)
    return data[:4] + head + data[4 + len(head) :]


IMAGE_BYTES, LABEL_BYTES = 16 + N_TRAIN * 784, 8 + N_TRAIN
DAMAGE = {
    "magic of images": (0, lambda d: b"\0\0\x0d\3" + d[4:], "bad magic number 0x00000d03"),
    "magic of labels": (1, lambda d: b"\0\0\x08\3" + d[4:], "expected 0x00000801 (IDX labels)"),
    "web page": (0, lambda d: b"<!DOCTYPE html><html>", "bad magic number 0x3c21444f"),
    "empty": (0, lambda d: b"", "truncated: expected 16 bytes of header, got 0"),
    "cut header": (1, lambda d: d[:7], "truncated: expected 8 bytes of header, got 7"),
    "other size": (0, lambda d: set_sizes(d, N_TRAIN, 14, 56), "wrong dimensions 14x56"),
    "no items": (0, lambda d: set_sizes(d, 0, 28, 28), "wrong dimensions: 0 items"),
    "cut images": (
        0,
        lambda d: d[:-1],
        f"truncated: expected {IMAGE_BYTES} bytes, got {{}}{IMAGE_BYTES - 1}",
    ),
    "cut labels": (
        1,
        lambda d: d[:-2],
        f"truncated: expected {LABEL_BYTES} bytes, got {{}}{LABEL_BYTES - 2}",
    ),
    "trailing bytes": (
        0,
        lambda d: d + b"xyz",
        f"trailing bytes: expected {IMAGE_BYTES} bytes, got {IMAGE_BYTES + 3}",
    ),
    "label too large": (1, lambda d: d[:-1] + b"\x0a", f"label 10 at row {N_TRAIN - 1}"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", DAMAGE)
def test_damage_names_the_file_and_what_is_wrong(tmp_path, name, packed):
    which, spoil, found = DAMAGE[name]
    write(tmp_path)
    path = tmp_path / NAMES[which]
    data = spoil(path.read_bytes())
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(ValueError, match="idx") as caught:
        datasets.load_mnist(tmp_path)
    assert str(path) in str(caught.value)
    # the size of a file that is not packed is known before anything is read
    assert found.format("" if packed else "at most ") in str(caught.value)


def test_images_and_labels_that_do_not_pair(tmp_path):
    write(tmp_path)
    (tmp_path / NAMES[1]).write_bytes(idx(labels(N_TRAIN + 1)))
    with pytest.raises(ValueError, match=r"7 images but .* has 8 labels") as caught:
        datasets.load_mnist(tmp_path)
    assert NAMES[0] in str(caught.value)
    assert NAMES[1] in str(caught.value)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d[: len(d) // 2],
        lambda d: d[:-1],
        lambda d: d[:-8] + bytes(4) + d[-4:],  # the checksum
        lambda d: d[:2000] + bytes(byte ^ 255 for byte in d[2000:2100]) + d[2100:],
        lambda d: d[:5],
        lambda d: d + b"garbage",
    ],
)
def test_damaged_gzip(tmp_path, spoil):
    write(tmp_path)
    path = tmp_path / NAMES[0]
    path.write_bytes(spoil(gzip.compress(path.read_bytes())))
    with pytest.raises(ValueError, match="damaged gzip data") as caught:
        datasets.load_mnist(tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("packed", [False, True])
def test_a_count_that_no_file_could_hold_allocates_nothing(tmp_path, packed):
    write(tmp_path)
    path = tmp_path / NAMES[0]
    data = set_sizes(path.read_bytes(), 2**32 - 1, 28, 28)
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(ValueError, match=f"expected {16 + (2**32 - 1) * 784} bytes, got at most"):
        datasets.load_mnist(tmp_path)


def test_real_mnist():
    if not MNIST.is_dir():
        pytest.skip(f"MNIST's IDX files are not at {os.path.relpath(MNIST)}")
    X_train, y_train, X_test, y_test = datasets.load_mnist(MNIST)
    assert X_train.shape == (60000, 784)
    assert X_test.shape == (10000, 784)
    assert (X_train.min(), X_train.max()) == (0, 1)
    assert np.bincount(y_train).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert float(X_train.mean()) == pytest.approx(0.1307, abs=1e-4)


def test_digits():
    pytest.importorskip("sklearn")
    X_train, y_train, X_test, y_test = datasets.load_digits()
    assert X_train.shape == (1437, 64)
    assert X_test.shape == (360, 64)
    assert X_train.dtype == X_test.dtype == np.float32
    assert y_train.dtype == y_test.dtype == np.int64
    assert (X_train.min(), X_train.max()) == (0, 1)
    assert y_test[:10].tolist() == [7, 6, 3, 7, 7, 3, 2, 8, 9, 3]
    assert set(np.bincount(y_test)) <= {35, 36, 37}  # stratified
    again = datasets.load_digits()
    np.testing.assert_array_equal(again[0], X_train)
    np.testing.assert_array_equal(again[3], y_test)
    rows = {row.tobytes() for row in X_train}
    assert not any(row.tobytes() in rows for row in X_test)


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r'pip install "fastnn\[demo\]"'):
        datasets.load_digits()
