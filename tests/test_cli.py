"""The command line: the main job, its options, and how it fails."""

import gzip
import re
import struct
import subprocess
import sys

import numpy as np
import pytest

import fastnn
from fastnn.cli import main
from fastnn.cli.confusion import confusion_table


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTNN_MNIST", raising=False)


@pytest.fixture
def mnist(tmp_path):
    """A folder with a small data set of MNIST's form that is easy to learn."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    for part, count in (("train", 400), ("t10k", 50)):
        rng = np.random.default_rng(count)
        labels = rng.integers(0, 10, count, dtype=np.uint8)
        images = rng.integers(0, 100, (count, 28, 28), dtype=np.uint8)
        images[np.arange(count), labels * 2] += 150
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            packed = gzip.compress(head + array.tobytes())
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(packed)
    return folder


def fields(text):
    """The value behind each name that opens a line."""
    return dict(
        re.findall(r"^(data|network|curves|model|test accuracy) +(.*)$", text, re.MULTILINE)
    )


def test_train_digits_ends_with_accuracy_confusion_and_model(tmp_path, capsys):
    pytest.importorskip("sklearn")
    assert main(["train", "digits"]) == 0
    out, err = capsys.readouterr()
    assert "val accuracy" in err  # the progress bar
    lines = out.splitlines()
    accuracy = next(i for i, line in enumerate(lines) if line.startswith("test accuracy "))
    assert re.fullmatch(r"test accuracy 0\.\d{4}", lines[accuracy])
    assert float(lines[accuracy].split()[-1]) >= 0.96
    counts = np.array(
        [line.split("|")[1].replace(".", "0").split() for line in lines[accuracy + 4 : -1]], int
    )
    assert counts.shape == (10, 10)
    assert counts.sum() == 360
    assert counts.trace() / 360 == pytest.approx(float(lines[accuracy].split()[-1]), abs=1e-4)
    assert lines[-1].split() == ["model", "digits.safetensors"]

    X, y = fastnn.datasets.load_digits()[2:]
    net = fastnn.load("digits.safetensors")
    assert net.evaluate(X, y)["accuracy"] == counts.trace() / 360
    if fields(out)["curves"] == "digits.png":
        assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")
    else:
        assert "matplotlib" in fields(out)["curves"]


@pytest.mark.parametrize("seed", range(10))
def test_train_digits_reaches_its_accuracy_from_any_seed(seed, capsys):
    pytest.importorskip("sklearn")
    assert main(["train", "digits", "--no-progress", "--seed", str(seed)]) == 0
    out, err = capsys.readouterr()
    assert float(fields(out)["test accuracy"]) >= 0.96
    assert err == ""


def test_train_mnist_with_options(mnist, tmp_path, capsys):
    command = ["train", "mnist", "--data", str(mnist), "--output", "net.st", "--hidden", "30", "20"]
    command += ["--epochs", "8", "--batch-size", "16", "--learning-rate", "0.1"]
    command += ["--seed", "3", "--threads", "1", "--no-progress"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert fields(out)["model"] == "net.st"
    assert fields(out)["data"] == "360 rows to train, 40 to validate, 50 to test"
    assert fields(out)["network"].startswith("784-30-20-10, 24,380 parameters")
    net = fastnn.load("net.st")
    assert [layer.units for layer in net.layers] == [30, 20, 10]
    assert [layer.activation.name for layer in net.layers] == ["relu", "relu", "identity"]
    assert net.seed == 3
    before = (tmp_path / "net.st").read_bytes()
    assert main([*command, "--data", str(mnist)]) == 0
    assert (tmp_path / "net.st").read_bytes() == before
    assert main([*command, "--seed", "4"]) == 0
    assert (tmp_path / "net.st").read_bytes() != before


def test_train_mnist_takes_the_folder_from_the_environment(mnist, monkeypatch, capsys):
    monkeypatch.setenv("FASTNN_MNIST", str(mnist))
    assert main(["train", "mnist", "--epochs", "1", "--hidden", "--no-progress"]) == 0
    out = capsys.readouterr().out
    assert fields(out)["network"].startswith("784-10, ")
    assert fields(out)["model"] == "mnist.safetensors"


def test_train_without_matplotlib_says_so_and_goes_on(mnist, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["train", "mnist", "--data", str(mnist), "--epochs", "1", "--no-progress"]) == 0
    assert 'pip install "fastnn[demo]"' in fields(capsys.readouterr().out)["curves"]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["mnist"], "no folder for MNIST: pass path (--data on the command line)"),
        (["mnist", "--data", "none"], "folder 'none', which does not exist"),
        (["digits", "--epochs", "0"], "epochs must be at least 1, got 0"),
        (["digits", "--learning-rate", "nan"], "learning_rate must be a finite number"),
        (["digits", "--learning-rate", "1e30"], "diverged"),
        (["digits", "--hidden", "0"], "units must be at least 1"),
        (["digits", "--threads", "0"], "n_threads must be"),
        (["digits", "--output", "none/m.safetensors"], "no such folder for --output: 'none'"),
        (["digits", "--output", "m.png"], "--output m.png"),
    ],
)
def test_errors_are_one_line(arguments, found, tmp_path, capsys):
    pytest.importorskip("sklearn")
    assert main(["train", *arguments, "--no-progress"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("fastnn: error: ")
    assert err.count("\n") == 1
    assert found in err
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_named(mnist, capsys):
    path = mnist / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert main(["train", "mnist", "--data", str(mnist), "--no-progress"]) == 2
    assert str(path) in capsys.readouterr().err


def test_bugs_keep_their_traceback(monkeypatch):
    def broken():
        raise KeyError("bug")

    monkeypatch.setattr(fastnn.datasets, "load_digits", broken)
    with pytest.raises(KeyError):
        main(["train", "digits"])


def test_ctrl_c_exits_with_130(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(fastnn.datasets, "load_digits", interrupted)
    assert main(["train", "digits"]) == 130
    assert capsys.readouterr().err.endswith("fastnn: interrupted\n")


@pytest.mark.parametrize("arguments", [[], ["train"], ["train", "iris"], ["train", "digits", "-x"]])
def test_usage_errors_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: fastnn" in capsys.readouterr().err


def test_config_prints_what_show_config_prints(capsys):
    fastnn.show_config()
    expected = capsys.readouterr().out
    assert main(["config"]) == 0
    assert capsys.readouterr().out == expected
    assert "blas" in expected.lower()


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"fastnn {fastnn.__version__}\n"


def test_help_shows_the_defaults(capsys):
    with pytest.raises(SystemExit):
        main(["train", "digits", "--help"])
    out = capsys.readouterr().out
    assert "(digits.safetensors)" in out
    assert "(0.2)" in out


def test_python_m_fastnn():
    command = [sys.executable, "-m", "fastnn", "train", "mnist", "--data", "none"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("fastnn: error: MNIST files")


def test_confusion_table():
    true, predicted = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 2, 2, 0])
    assert confusion_table(true, predicted, np.array([0, 1, 2])).splitlines() == [
        "     | predicted",
        "true | 0 1 2",
        "-----+------",
        "   0 | 1 1 .",
        "   1 | . 1 .",
        "   2 | 1 . 2",
    ]


def test_confusion_table_of_long_names_and_counts():
    names = np.array(["cat", "giraffe"])
    table = confusion_table(np.repeat(names, [1000, 1]), np.repeat(names, [999, 2]), names)
    assert table.splitlines() == [
        "        | predicted",
        "   true |     cat giraffe",
        "--------+----------------",
        "    cat |     999       1",
        "giraffe |       .       1",
    ]
