"""What this build runs on, in words."""

from __future__ import annotations

import platform

import numpy as np
import scipy

from fastnn import _threads
from fastnn._core import kernels
from fastnn._core.engine import has_openmp
from fastnn._version import __version__


def show_config() -> None:
    """Print versions, instruction set, BLAS, OpenMP and the number of threads."""
    import threadpoolctl  # here, and not at the head: `import fastnn` is to be quick

    libraries = threadpoolctl.threadpool_info()
    scipy_blas = [lib for lib in libraries if lib["user_api"] == "blas"]
    lines = {
        "fastnn": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "instruction set": f"{kernels.get_isa()} (available: {', '.join(kernels.list_isas())})",
        "openmp": "yes" if has_openmp() else "no (one thread)",
        "threads": _threads.count_available(),
        "blas": ", ".join(
            sorted({f"{lib['internal_api']} {lib['version']}" for lib in scipy_blas})
        ),
    }
    for name, value in lines.items():
        print(f"{name:>16}: {value}")
