"""Fixtures that the tests share."""

import os
import signal
import sys
from pathlib import Path

# For `bench`. At the end of the path: an installed fastnn comes before the sources.
sys.path.append(str(Path(__file__).resolve().parents[1]))

# Threads that wait at a barrier sleep: spinning ones would slow each other down where a test asks
# for more threads than there are CPUs. Set before anything loads OpenMP.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import pytest
from common import DTYPES, lower_limits
from hypothesis import settings

from fastnn._core import kernels

lower_limits()

# A shell that starts the tests in the background has them ignore Ctrl-C, which some of them send.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, and no clock.
settings.register_profile("fastnn", deadline=None, derandomize=True, database=None)
settings.load_profile("fastnn")


@pytest.fixture(params=kernels.list_isas())
def isa(request):
    """Run the test once on each instruction set of this CPU."""
    before = kernels.get_isa()
    kernels.select_isa(request.param)
    yield request.param
    kernels.select_isa(before)


@pytest.fixture(params=DTYPES)
def dtype(request):
    return request.param


@pytest.fixture
def rng():
    return np.random.default_rng(20240607)
