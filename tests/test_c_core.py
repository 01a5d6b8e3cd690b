"""The C core without Python, built by the system's compiler and run.

tests/c/test_core.c calls every kernel: once with the flags of setup.py, and once under
AddressSanitizer and UndefinedBehaviorSanitizer. tests/c/test_vocabulary.c checks the vector
operations that the kernels of an instruction set are made of. The loops of the register tiles are
looked at in the object files.
"""

import ast
import os
import platform
import re
import shlex
import shutil
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fastnn._core import kernels

ROOT = Path(__file__).resolve().parents[1]
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g"]
SANITIZER_OPTIONS = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


def find_compiler():
    for command in [os.environ.get("CC"), sysconfig.get_config_var("CC"), "cc", "gcc", "clang"]:
        if command and shutil.which(shlex.split(command)[0]):
            return shlex.split(command)
    return None


COMPILER = find_compiler()
pytestmark = pytest.mark.skipif(
    COMPILER is None or os.name == "nt", reason="no C compiler with the command line of cc"
)


def read_constants():
    """The constants of setup.py: what is compiled where, with which flags."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    constants = [
        node
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).isupper()
    ]
    names = {"Path": Path}
    exec(compile(ast.Module(constants, []), "setup.py", "exec"), names)
    return names


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=240, **options)


def build(folder, extra):
    """Compile the core and the test as setup.py would; the path of the program."""
    setup = read_constants()
    flags, isa_flags = setup["FLAGS"]["unix"], setup["ISA_FLAGS"]["unix"]
    cpu = platform.machine().lower()
    isas = [
        path
        for path in (ROOT / "csrc" / "isa").glob("*.c")
        if path.stem == "scalar" or cpu in setup["ISA_CPUS"][path.stem]
    ]
    objects, commands = [], []
    for source in [*(ROOT / "csrc").glob("*.c"), *isas, ROOT / "tests" / "c" / "test_core.c"]:
        objects.append(str(folder / f"{source.stem}.o"))
        own = isa_flags.get(source.stem, []) if source.parent.name == "isa" else []
        command = [*COMPILER, *flags, *own, *WARNINGS, *extra, f"-I{ROOT / 'csrc'}"]
        commands.append([*command, "-c", str(source), "-o", objects[-1]])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in pool.map(run, commands):
            assert done.returncode == 0, done.stderr
    program = str(folder / "test_core")
    done = run([*COMPILER, *extra, *objects, "-lm", "-o", program])
    assert done.returncode == 0, done.stderr
    return program


def check_output(done):
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    lines = done.stdout.split("\n")
    assert lines[:-2] == kernels.list_isas()
    assert lines[-2].endswith(" checks, 0 failures")
    assert int(lines[-2].split()[0]) > 100 * len(lines[:-2])


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return build(tmp_path_factory.mktemp("plain"), [])


def test_core_without_python(program):
    check_output(run([program]))


def test_core_under_sanitizers(tmp_path):
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    linked = run([*COMPILER, *SANITIZE, str(probe), "-o", str(tmp_path / "probe")])
    if linked.returncode or run([str(tmp_path / "probe")]).returncode:
        pytest.skip("the compiler has no address and undefined-behaviour sanitizers")
    program = build(tmp_path, SANITIZE)
    check_output(run([program], env={**os.environ, **SANITIZER_OPTIONS}))


@pytest.mark.parametrize("name", kernels.list_isas())
def test_vector_operations(name, tmp_path):
    setup = read_constants()
    flags = [*setup["FLAGS"]["unix"], *setup["ISA_FLAGS"]["unix"].get(name, []), *WARNINGS]
    source, program = ROOT / "tests" / "c" / "test_vocabulary.c", str(tmp_path / "program")
    vocabulary = [f"-I{ROOT / 'csrc'}", f'-DFNN_VOCABULARY="simd/{name}.h"']
    done = run([*COMPILER, *flags, *vocabulary, str(source), "-lm", "-o", program])
    assert done.returncode == 0, done.stderr
    done = run([program])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(" checks, 0 failures\n")


def test_symbols_of_the_core_have_its_prefix(program):
    """Everything else is static, so that no other library can be confused with it."""
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("nm is not installed")
    for path in Path(program).parent.glob("*.o"):
        if path.stem != "test_core":
            listed = run([nm, "-g", "--defined-only", str(path)]).stdout.split("\n")
            names = [line.split()[-1].lstrip("_") for line in listed if line.strip()]
            assert all(name.startswith("fnn_") for name in names), (path.stem, names)


def list_loops(path, functions):
    """(function, its instructions from a jump's target to that jump back) in an object file."""
    listing = run(["objdump", "-d", "--no-show-raw-insn", str(path)]).stdout
    for name, body in re.findall(rf"^[0-9a-f]+ <_?({functions})>:\n((?: .*\n)+)", listing, re.M):
        lines = re.findall(r"^ +([0-9a-f]+):\s+(.*)$", body, re.M)
        lines = [(int(address, 16), instruction) for address, instruction in lines]
        for address, instruction in lines:
            jump = re.match(r"(?:j\w+|b\.?\w*|cbn?z \w+,)\s+([0-9a-f]+)", instruction)
            if jump and int(jump[1], 16) < address:
                yield name, [text for at, text in lines if int(jump[1], 16) <= at <= address]


@pytest.mark.parametrize("isa", [name for name in kernels.list_isas() if name != "scalar"])
def test_tiles_keep_their_sums_in_registers(program, isa):
    """No vector is on the stack in a loop of any tile; the bound of a loop may be."""
    if shutil.which("objdump") is None:
        pytest.skip("objdump is not installed")
    loops: dict = {}
    for name, loop in list_loops(Path(program).parent / f"{isa}.o", r"tile_\w+"):
        if any(re.match(r"vfn?madd|fmla", text) for text in loop):
            loops.setdefault(name, []).extend(loop)
    assert {"tile_rows_6x1_f32", "tile_batch_6x2_f64"} <= set(loops)
    on_stack = re.compile(r"(?=.*[yz]mm\d).*\(%r[sb]p|(?:ld|st)[rp]\s+q.*\[(?:sp|x29)")
    assert not {name for name, loop in loops.items() if any(map(on_stack.match, loop))}
