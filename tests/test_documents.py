"""The documents say what is true: the README's example, its commands, links, the vocabulary."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("bench/*.md")])


def list_blocks(language):
    """Contents of the README's fenced blocks of one language."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def run(code, folder):
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_prints_what_the_readme_says(tmp_path):
    example, *_ = list_blocks("python")
    assert len(example.splitlines()) <= 15
    assert [run(example, tmp_path)] == list_blocks("text")


def test_the_loop_written_out_and_the_layer_by_itself_run(tmp_path):
    example, loop, layer = list_blocks("python")
    load_data = example.partition("\nnet = ")[0]
    score = "\nassert net.evaluate(X_test, y_test)['accuracy'] > 0.8"
    run(f"{load_data}\n{loop}{score}\n{layer}assert dx.shape == X.shape", tmp_path)


def test_the_readme_begins_with_two_commands_of_one_line():
    first, second = list_blocks("sh")
    assert first.count("\n") == second.count("\n") == 1
    assert first.endswith("fastnn train digits\n")
    assert "/pytest" in second


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (path.parent / target).exists(), target


def test_the_kernel_contract_has_the_whole_vocabulary():
    names = (ROOT / "csrc/names.h").read_text(encoding="utf-8")
    words = set(re.findall(r"\w+", (ROOT / "docs/KERNELS.md").read_text(encoding="utf-8")))
    assert set(re.findall(r"^#define (v\w+) FNN_NAME", names, re.MULTILINE)) - words == set()
