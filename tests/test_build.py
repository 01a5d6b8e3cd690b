"""Building from source: what a machine without a compiler is told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(sys.platform == "win32", reason="MSVC is not found by PATH")
def test_without_a_compiler_the_packages_to_install_are_named(tmp_path):
    command = [sys.executable, "setup.py", "-q", "build_ext", f"--build-temp={tmp_path}"]
    environment = {**os.environ, "PATH": str(tmp_path)}
    environment.pop("CC", None)
    done = subprocess.run(
        [*command, f"--build-lib={tmp_path}"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "sudo apt-get install gcc python3-dev" in done.stderr
    assert "Traceback" not in done.stderr
