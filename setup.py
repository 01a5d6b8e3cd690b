"""Build the extension modules: flags per instruction set, OpenMP where it is found.

Everything that is data stands in pyproject.toml; this file holds what cannot be said there. The C
core is compiled file by file, csrc/isa/NAME.c with the flags of that instruction set, and linked
into one extension, ``fastnn._core.kernels``.

Rejected: Meson-python. It handles flags per file natively, but adds a build system (and ninja) to
what a reader must know, for a handful of short extensions.
"""

import os
import platform
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError
from setuptools.modified import newer_group

CORE = Path("fastnn/_core")
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
}
FLAGS = {
    # no-trapping-math keeps NaN and infinity as they are, but lets comparisons be vectorised
    "unix": [
        "-O3",
        "-std=c11",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-fvisibility=hidden",
    ],
    "msvc": ["/O2", "/std:c11", "/fp:precise"],
}
AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mprefer-vector-width=512"]
# AArch64 compilers know NEON by themselves. Before registers are allocated, GCC's scheduler would
# load more of the broadcast operands than fit beside the 24 accumulators of a tile; Clang's knows.
NEON = ["-fno-schedule-insns", "-Wno-ignored-optimization-argument"]
X86_64, ARM64 = ("x86_64", "amd64"), ("aarch64", "arm64")  # names of the CPU family
ISA_CPUS = {"avx2": X86_64, "avx512": X86_64, "neon": ARM64}  # scalar: any
ISA_FLAGS = {
    "unix": {"avx2": ["-mavx2", "-mfma"], "avx512": ["-mfma", *AVX512], "neon": NEON},
    "msvc": {"avx2": ["/arch:AVX2"], "avx512": ["/arch:AVX512"]},
}
OPENMP_FLAGS = {  # to compile, to link; the first that work
    "unix": [(["-fopenmp"], ["-fopenmp"]), (["-Xpreprocessor", "-fopenmp"], ["-lomp"])],
    "msvc": [(["/openmp"], [])],
}
NO_COMPILER = """
fastnn is built from C, but a program that includes Python.h does not compile here: a C compiler
or the Python headers are missing. Install them, and try again:

  Debian, Ubuntu   sudo apt-get install gcc python3-dev
  Fedora           sudo dnf install gcc python3-devel
  macOS            xcode-select --install
  Windows          the C++ build tools of Visual Studio
"""

if sys.platform == "darwin":  # one CPU per build: flags for x86-64 mean nothing to arm64
    os.environ.setdefault("ARCHFLAGS", f"-arch {platform.machine()}")


def list_core_sources():
    """The C files of the core; of csrc/isa/ those that the CPU family of this build can have."""
    cpu = os.environ.get("ARCHFLAGS", platform.machine()).lower()
    is_64_bit = sys.maxsize > 2**32  # not so on some systems whose kernel is
    isas = [
        path
        for path in Path("csrc/isa").glob("*.c")
        if path.stem == "scalar" or (is_64_bit and any(name in cpu for name in ISA_CPUS[path.stem]))
    ]
    return sorted([*Path("csrc").glob("*.c"), *isas])


def list_dependencies():
    """Files whose change rebuilds the extensions."""
    core = [path for path in Path("csrc").rglob("*") if path.is_file()]
    return ["setup.py", *map(str, core), *map(str, [*CORE.glob("*.pxd"), *CORE.glob("*.h")])]


class BuildExtensions(build_ext):
    """build_ext with the core's own flags and OpenMP, as many files at once as there are CPUs."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self):
        super().run()
        # Beside the sources too: in a checkout, `import fastnn` finds the package of the checkout.
        self.copy_extensions_to_source()

    def build_extensions(self):
        kind = "msvc" if self.compiler.compiler_type == "msvc" else "unix"
        flags = FLAGS[kind] + ([] if self.debug or kind == "msvc" else ["-g0"])
        if not self.can_build("#include <Python.h>\nint main(void) { return 0; }"):
            raise SystemExit(NO_COMPILER)
        compile_flags, link_flags = self.find_openmp(OPENMP_FLAGS[kind])
        for extension in self.extensions:
            extension.extra_compile_args = flags + compile_flags
            extension.extra_link_args = link_flags
            if extension.name == "fastnn._core.kernels":
                extension.extra_objects = self.compile_core(flags, ISA_FLAGS[kind])
        self.run_cython()
        super().build_extensions()

    def run_cython(self):
        """Before super() would, in each of its threads: Cython does not say that it may.

        Processes of its own (nthreads) would begin by running this file where they do not fork.
        """
        in_c = cythonize(
            self.extensions,
            force=self.force,
            quiet=True,
            build_dir=self.build_temp,
            compiler_directives=DIRECTIVES,
        )
        for extension, made in zip(self.extensions, in_c, strict=True):
            extension.sources = made.sources

    def compile_core(self, flags, isa_flags):
        """The object files of csrc/: plain C, without OpenMP."""

        def compile_source(source):
            (target,) = self.compiler.object_filenames([str(source)], output_dir=self.build_temp)
            if self.force or newer_group(list_dependencies(), target):
                extra = isa_flags.get(source.stem, []) if source.parent.name == "isa" else []
                self.compiler.compile(
                    [str(source)], output_dir=self.build_temp, extra_postargs=flags + extra
                )
            return target

        with ThreadPoolExecutor(self.parallel) as pool:  # each thread waits for a compiler
            return list(pool.map(compile_source, list_core_sources()))

    def find_openmp(self, candidates):
        """Flags that build an OpenMP program, or none: then fastnn runs on one thread."""
        program = "#include <omp.h>\nint main(void) { return !omp_get_num_procs(); }"
        if os.environ.get("FASTNN_NO_OPENMP") != "1":
            for compile_flags, link_flags in candidates:
                if self.can_build(program, compile_flags, link_flags):
                    return compile_flags, link_flags
        return [], []

    def can_build(self, program, compile_flags=(), link_flags=None):
        """Whether `program` compiles and, with `link_flags` given, links."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(program)
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=list(compile_flags)
                )
                if link_flags is not None:
                    self.compiler.link_executable(
                        objects, "probe", output_dir=folder, extra_postargs=link_flags
                    )
            except (BaseError, CCompilerError, OSError):
                return False
        return True


setup(
    cmdclass={"build_ext": BuildExtensions},
    ext_modules=[
        Extension(
            f"fastnn._core.{path.stem}",
            [str(path)],
            include_dirs=["csrc", str(CORE)],
            depends=list_dependencies(),
        )
        for path in sorted(CORE.glob("*.pyx"))
    ],
)
