"""docs/COURSES.md keeps its word: every row has its test and its example, and the names exist."""

import re
from pathlib import Path

import fastnn

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "COURSES.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| (C\d\d) \|(.*)$", PAGE, re.MULTILINE))


def test_every_row_has_a_test():
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py")]
    found = {row for text in texts for row in re.findall(r"^def test_(C\d\d)_", text, re.MULTILINE)}
    assert list(ROWS) == [f"C{i:02}" for i in range(1, 37)]
    assert set(ROWS) <= found


def test_examples_and_names_exist():
    shown = re.findall(r"`(\w+)\.py`", "".join(ROWS.values()))
    assert len(shown) == 8
    assert all((ROOT / "examples" / f"{name}.py").is_file() for name in shown)
    names = re.findall(r"fastnn\.(\w+)", PAGE)
    assert len(names) >= 4
    assert all(hasattr(fastnn, name) for name in names)
