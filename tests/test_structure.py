"""The shape of the project: who may know whom, how long a file may be, what must not be in it.

cli -> network -> layers, losses, optimizers, model_file -> _core -> fastnn.pxd
-> csrc/fastnn.h -> blas, dispatch -> isa -> kernels -> simd
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fastnn._core import kernels

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ["csrc", "fastnn", "tests", "bench", "examples"]
SUFFIXES = {".py", ".pyx", ".pxd", ".pyi", ".c", ".h", ".inc", ".def"}
SOURCES = sorted(
    path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES
)

# From the top down: a module imports from the rows below its own, never from beside or above.
PYTHON_ROWS = [
    ["__main__"],
    ["cli"],
    ["cli.train"],
    ["cli.confusion"],
    ["__init__"],
    ["many"],
    ["_config", "checkpoint", "network", "datasets", "batches"],
    ["_fitting", "_saving", "_summary", "frozen"],
    ["_minimizing", "_restarts", "_data", "_unread"],
    ["_training"],
    ["layers", "_rates", "_timing", "_trainer"],
    ["norms"],
    ["_layer"],
    ["_alone", "_stack"],
    ["_programs", "_predictors", "_scaling"],
    ["_planning", "_penalties"],
    ["_parameters"],
    ["_targets", "encoding"],
    ["callbacks", "divergence", "optimizers", "schedules"],
    ["_adam", "_lbfgs"],
    ["_optimizer"],
    ["_settings"],
    ["_coefficients"],
    ["losses", "history", "model_file", "_threads"],
    ["_labels", "_weights", "initializers", "activations"],
    ["_atomic", "_validate", "_version", "_access", "_fixed", "_progress"],
    ["_core.probes"],
    ["_core.quick"],
    ["_core.helpers"],
    ["_core.engine", "_core.inference", "_core.updates"],
    ["_core.worker", "_core.explicit", "_core.layer_plan"],
    ["_core.phase_lists", "_core.binding"],
    ["_core.phases", "_core.plan"],
    ["_core.phase_order"],
    ["_core.plan_structs", "_core.transforms", "_core.clipping", "_core.max_norm"],
    ["_core.forward", "_core.deltas", "_core.gradients"],
    ["_core.structs", "_core.barriers", "_core.epoch_rows"],
    ["_core.kernels"],
    ["_core.fastnn"],
    ["_core.__init__"],
]
PYTHON_RANK = {name: i for i, row in enumerate(PYTHON_ROWS) for name in row}


def name_module(path):
    """Name below `fastnn` of a .py, .pyx or .pxd file."""
    parts = path.relative_to(ROOT / "fastnn").with_suffix("").parts
    if parts[-1] == "__init__" and parts != ("__init__",) and parts[0] == "cli":
        parts = parts[:-1]
    return ".".join(parts)


def list_imports(path):
    """Full names that a file imports or cimports from fastnn; from-imports name by name."""
    text = path.read_text()
    if path.suffix == ".py":
        found = []
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                found += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                found += [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        pattern = r"^\s*from ([\w.]+) c?import (?:\(([^)]*)\)|([^#\n]*))"
        found = [
            f"{module}.{name.split()[0]}"
            for module, inside, line in re.findall(pattern, text, re.MULTILINE)
            for name in (inside or line).split(",")
            if name.strip()
        ]
        found += re.findall(r"^\s*c?import ([\w.]+)", text, re.MULTILINE)
    return [name for name in found if name.split(".")[0] == "fastnn"]


def find_module(full_name):
    """The module that a full name belongs to."""
    parts = full_name.split(".")[1:]
    while parts and ".".join(parts) not in PYTHON_RANK:
        parts.pop()
    return ".".join(parts) or "__init__"


PYTHON_FILES = [
    path for path in SOURCES
    if ROOT / "fastnn" in path.parents and path.suffix in {".py", ".pyx", ".pxd"}
]  # fmt: skip


def test_every_module_has_its_row():
    missing = {name_module(path) for path in PYTHON_FILES} - set(PYTHON_RANK)
    assert not missing, f"give {missing} a row in PYTHON_ROWS, as high as its imports allow"
    assert set(PYTHON_RANK) == {name_module(path) for path in PYTHON_FILES}


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path):
    name = name_module(path)
    for full_name in list_imports(path):
        other = find_module(full_name)
        if other == name:  # a .pyx may import from its .pxd
            continue
        assert PYTHON_RANK[name] < PYTHON_RANK[other], f"{name} imports {full_name}"


def test_imports_are_seen():
    """The readers above find what there is to find."""
    assert "fastnn._core.plan.choose_chunk" in list_imports(ROOT / "fastnn" / "_programs.py")
    core = ROOT / "fastnn" / "_core"
    assert "fastnn._core.kernels.multiply_rows" in list_imports(core / "forward.pyx")
    assert "fastnn._core.fastnn.*" in list_imports(core / "kernels.pyx")
    assert "fastnn._core.kernels.Kernels" in list_imports(core / "structs.pxd")


def test_one_file_declares_the_core_to_cython():
    declaring = [path.name for path in PYTHON_FILES if '"fastnn.h"' in path.read_text()]
    assert declaring == ["fastnn.pxd"]
    names = r"kernels_f|loss_args_f|loss_settings|coefficients|mask\b|barrier|wait|count|has_|read_"
    names += "|desk|pair|set_state|change_state|await_|tell"  # helpers.h
    calling = re.compile(rf"\bfnn_(?!{names})\w+")
    for path in PYTHON_FILES:
        if path.suffix == ".pyx" and path.name != "kernels.pyx":
            code = path.read_text()
            assert not calling.findall(code), f"{path.name} calls the C core past kernels.pyx"


def test_network_holds_no_arithmetic():
    for name in ["network", "layers", "losses", "optimizers"]:
        text = (ROOT / "fastnn" / f"{name}.py").read_text()
        assert not re.search(r"np\.(dot|exp|log|maximum|tanh|matmul|einsum)\b| @ ", text), name


# --- C -------------------------------------------------------------------------------------------

# What each part of csrc may include, besides the C library.
C_RULES = {
    "api": ["paste.h", "lists/", "kernel_table.inc"],
    "core": ["fastnn.h", "paste.h", "dispatch.h", "lists/", "blas_gemm.inc"],
    "isa": ["kernels/both_dtypes.inc"],
    "kernels": ["dispatch.h", "fastnn.h", "names.h", "lists/", "kernels/"],
    "simd": ["simd/tail.h"],
    "names": ["paste.h"],
}
SYSTEM_HEADERS = {
    "isa": set(), "kernels": set(), "simd": {"immintrin.h", "arm_neon.h"}, "api": set(),
    "names": {"math.h", "string.h"}, "core": {"math.h", "string.h", "xmmintrin.h", "intrin.h"},
}  # fmt: skip
C_FILES = [path for path in SOURCES if ROOT / "csrc" in path.parents]


def find_part(path):
    inside = path.relative_to(ROOT / "csrc")
    if len(inside.parts) > 1:
        return inside.parts[0]
    return {"fastnn.h": "api", "names.h": "names"}.get(path.name, "core")


@pytest.mark.parametrize("path", C_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_includes_point_downwards(path):
    part = find_part(path)
    includes = re.findall(r'^\s*#\s*include\s+(["<])([^">]+)[">]', path.read_text(), re.MULTILINE)
    if part == "lists":
        assert not includes
        return
    for quote, name in includes:
        if quote == "<":
            allowed = {"stddef.h", "stdint.h"} | SYSTEM_HEADERS[part]
            assert name in allowed, f"<{name}>"
            continue
        target = (path.parent / name).resolve()
        assert target.is_file(), f"{name} is not there"
        inside = target.relative_to(ROOT / "csrc").as_posix()
        assert any(inside.startswith(rule) for rule in C_RULES[part]), f"{part} includes {inside}"


def remove_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("path", C_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_keeps_its_contract(path):
    """No Python, no OpenMP, no allocation, no output, no way out."""
    code = remove_comments(path.read_text())
    words = r"Python\.h|Py_\w+|omp\w*|malloc|calloc|realloc|free|alloca|exit|abort|f?printf|assert"
    assert not re.search(rf"\b({words})\b", code)
    if path.name != "blas.c":
        assert not re.search(r"^static (?!const\b|inline\b|[^;=]*\()[^;]*[;=]", code, re.MULTILINE)
    assert path.name == "blas.c" or "sgemm" not in code or path.name == "fastnn.h"


def test_lists_are_what_the_package_enumerates():
    def names(name):
        text = remove_comments((ROOT / "csrc" / "lists" / f"{name}.def").read_text())
        return re.findall(r"^X\((\w+),", text, re.MULTILINE)

    assert names("activations") == kernels.list_activations()
    assert names("losses") == kernels.list_losses()
    assert names("optimizers") == kernels.list_optimizers()
    assert [name for name in names("isas") if name in kernels.list_isas()] == kernels.list_isas()


def test_each_isa_is_one_short_file_and_one_vocabulary():
    for path in (ROOT / "csrc" / "isa").glob("*.c"):
        assert (ROOT / "csrc" / "simd" / f"{path.stem}.h").is_file()
        assert len(path.read_text().splitlines()) <= 30


# --- all files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= 400
    # .pxd prototypes and tables of numbers may run over by a little
    assert max(map(len, lines), default=0) <= 110


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.suffix == ".py"],
    ids=lambda path: str(path.relative_to(ROOT)),
)  # fmt: skip
def test_functions_are_short(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = node.end_lineno - body[0].lineno + 1 if body else 0
            assert length <= 60, f"{node.name} has {length} lines"


CYTHON_FUNCTION = re.compile(
    r'^( *)(?:def|cdef|cpdef)\b(?!.*\b(?:class|struct|enum)\b)[^\n]*\((?:[^"]*?):\n'  # its head
    r'(?: +"""(?:.|\n)*?"""\n)?'  # what it says
    r"((?:\1 +[^\n]*\n|\n)*)",  # its body
    re.MULTILINE,
)
C_FUNCTION = re.compile(
    r"^[a-zA-Z](.*)\([^;{}]*\) \{\n"  # its head
    r"((?:[ #].*\n|\n)*)\}",  # its body
    re.MULTILINE,
)


def list_bodies(text, suffix):
    """Of the functions in Cython or C."""
    pattern = CYTHON_FUNCTION if suffix == ".pyx" else C_FUNCTION
    return [match[2].rstrip() for match in pattern.finditer(text)]


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.suffix in {".pyx", ".c", ".h", ".inc"}],
    ids=lambda path: str(path.relative_to(ROOT)),
)  # fmt: skip
def test_compiled_functions_are_short(path):
    for body in list_bodies(path.read_text(), path.suffix):
        assert body.count("\n") < 60, body[:200]


def test_compiled_functions_are_found():
    body = "    int x;\n\n    x = 1;\n"
    assert list_bodies(f"static int f(int a,\n             int b) {{\n{body}}}\n", ".c") == [
        body.rstrip()
    ]
    cython = f'cdef void f(int a,\n            int b) noexcept:\n    """Says."""\n{body}'
    method = "cdef class A:\n    def g(self):\n        return 1\n"
    assert list_bodies(f"{cython}\n\n{method}", ".pyx") == [body.rstrip(), "        return 1"]
    found = list_bodies((ROOT / "fastnn" / "_core" / "phases.pyx").read_text(), ".pyx")
    assert len(found) == 6


TEXTS = [
    *SOURCES,
    *(path for path in ROOT.iterdir() if path.suffix in {".md", ".toml", ".py", ".in"}),
    *(path for folder in [*FOLDERS, "docs"] for path in (ROOT / folder).rglob("*.md")),
]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_traces_of_a_workshop(path):
    """Nothing unfinished, no path of somebody's machine."""
    text = path.read_text()
    assert not re.search("TO" r"DO\b|FIX" r"ME\b|XX" r"X\b", text)
    assert not re.search(r"(?<![\w.])/" r"(work|home|root|Users|tmp)/\w", text)


def test_importing_fastnn_loads_nothing_that_can_wait():
    """What takes milliseconds is loaded where it is needed first."""
    code = (
        "import sys, numpy, scipy.linalg; before = set(sys.modules); import fastnn; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "fastnn" in loaded
    can_wait = {"email", "gzip", "multiprocessing", "safetensors", "threadpoolctl", "tqdm"}
    assert not loaded & can_wait
