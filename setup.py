"""Build the extension modules: one object file per instruction set, OpenMP where it is found.

Everything that is data stands in pyproject.toml; this file holds what setuptools cannot say there:
flags per source file, the probe for OpenMP, and a clear word when there is no compiler.

Rejected: Meson-python. It handles per-file flags natively, but adds a build system (and ninja) to
what a reader must know, for four short extensions.
"""

import os
import platform
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, CompileError, LinkError

CORE = "fastnn/_core/"
C_FLAGS = ["-O3", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden"]
ISA_FLAGS = {
    "avx2": ["-mavx2", "-mfma"],
    "avx512": [
        "-mavx512f",
        "-mavx512dq",
        "-mavx512bw",
        "-mavx512vl",
        "-mfma",
        "-mprefer-vector-width=512",
    ],
}
MSVC_FLAGS = ["/O2", "/std:c11", "/fp:precise"]
MSVC_ISA_FLAGS = {"avx2": ["/arch:AVX2"], "avx512": ["/arch:AVX512"]}
OPENMP_FLAGS = {
    "unix": [(["-fopenmp"], ["-fopenmp"]), (["-Xpreprocessor", "-fopenmp"], ["-lomp"])],
    "msvc": [(["/openmp"], [])],
}


def core_sources():
    """The C core: every file of csrc/, and of csrc/isa/ those that this CPU family can have."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    isas = sorted(Path("csrc/isa").glob("*.c"))
    return [str(path) for path in sorted(Path("csrc").glob("*.c"))] + [
        str(path) for path in isas if x86 or path.stem not in ISA_FLAGS
    ]


def core_headers():
    """Files whose change must rebuild the extensions."""
    return [str(p) for p in Path("csrc").rglob("*") if p.suffix in (".h", ".inc", ".def")] + [
        str(p) for p in Path(CORE).iterdir() if p.suffix in (".h", ".pxd")
    ]


class BuildExtensions(build_ext):
    """build_ext with per-file flags for csrc/isa/ and OpenMP for the engine."""

    def build_extensions(self):
        msvc = self.compiler.compiler_type == "msvc"
        flags, isa_flags = (MSVC_FLAGS, MSVC_ISA_FLAGS) if msvc else (C_FLAGS, ISA_FLAGS)
        openmp_compile, openmp_link = self.find_openmp("msvc" if msvc else "unix")
        compile_one = self.compiler.compile

        def compile_each(sources, **kwargs):
            objects = []
            for source in sources:
                path = Path(source)
                extra = isa_flags.get(path.stem, []) if path.parent.name == "isa" else []
                postargs = (kwargs.get("extra_postargs") or []) + extra
                objects += compile_one([source], **{**kwargs, "extra_postargs": postargs})
            return objects

        self.compiler.compile = compile_each
        for extension in self.extensions:
            extension.extra_compile_args = flags + openmp_compile
            extension.extra_link_args = openmp_link
        super().build_extensions()

    def build_extension(self, extension):
        try:
            super().build_extension(extension)
        except (CCompilerError, OSError) as error:
            raise SystemExit(
                f"fastnn could not compile {extension.name}: {error}\n\n"
                "A C compiler and the Python headers are needed to build fastnn from source.\n"
                "  Debian/Ubuntu: sudo apt-get install gcc python3-dev\n"
                "  Fedora:        sudo dnf install gcc python3-devel\n"
                "  macOS:         xcode-select --install\n"
                "  Windows:       the C++ build tools of Visual Studio"
            ) from error

    def find_openmp(self, compiler_type):
        """Flags that build a small OpenMP program, or none: then fastnn runs on one thread."""
        if os.environ.get("FASTNN_NO_OPENMP") == "1":
            return [], []
        for compile_flags, link_flags in OPENMP_FLAGS[compiler_type]:
            with tempfile.TemporaryDirectory() as folder:
                source = Path(folder, "probe.c")
                source.write_text("#include <omp.h>\nint main(void) { return !omp_get_num_procs(); }")
                try:
                    objects = self.compiler.compile(
                        [str(source)], output_dir="/" if os.path.isabs(folder) else folder,
                        extra_postargs=compile_flags,
                    )
                    self.compiler.link_executable(
                        objects, "probe", output_dir=folder, extra_postargs=link_flags
                    )
                except (CompileError, LinkError):
                    continue
            return compile_flags, link_flags
        return [], []


def extensions():
    modules = {"kernels": core_sources(), "phases": [], "binding": [], "engine": [], "inference": []}
    modules["probes"] = []  # the kernels one by one, for tests and benchmarks
    return [
        Extension(
            f"fastnn._core.{name}",
            [f"{CORE}{name}.pyx", *sources],
            include_dirs=["csrc", CORE],
            depends=core_headers(),
            define_macros=[("CYTHON_EXTERN_C", "extern")],
        )
        for name, sources in modules.items()
    ]


setup(
    ext_modules=cythonize(
        extensions(),
        build_dir="build/cython",
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "freethreading_compatible": False,
        },
    ),
    cmdclass={"build_ext": BuildExtensions},
)
