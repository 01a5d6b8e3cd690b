"""Run networks with a BLAS that writes down its calls; print them as JSON. test_blas.py runs this.

fastnn takes sgemm and dgemm from ``scipy.linalg.cython_blas`` when it is imported. Before that,
the two pointers are replaced here by ones that record the call and pass it on.
"""

import ctypes
import json
import sys

import numpy as np
import scipy.linalg.cython_blas as cython_blas
import threadpoolctl

GEMM = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)
calls = []
kept = []  # what C holds pointers to

api = ctypes.pythonapi
api.PyCapsule_GetName.restype = ctypes.c_char_p
api.PyCapsule_GetName.argtypes = [ctypes.py_object]
api.PyCapsule_GetPointer.restype = ctypes.c_void_p
api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
api.PyCapsule_New.restype = ctypes.py_object
api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


def install_recorder(name, controller):
    capsules = cython_blas.__pyx_capi__
    signature = api.PyCapsule_GetName(capsules[name])
    original = GEMM(api.PyCapsule_GetPointer(capsules[name], signature))

    def record(*pointers):
        n, m, k = (ctypes.cast(p, ctypes.POINTER(ctypes.c_int))[0] for p in pointers[2:5])
        calls.append((name, m, n, k, *sorted({lib.get_num_threads() for lib in controller})))
        original(*pointers)

    recorder = GEMM(record)
    kept.extend([signature, recorder])
    pointer = ctypes.cast(recorder, ctypes.c_void_p)
    capsules[name] = api.PyCapsule_New(pointer, signature, None)


def run_case(fastnn, case):
    """Calls in rows of (routine, m, n, k, threads that BLAS may use), row-major, sorted."""
    widths, n_rows = case["widths"], case["n_rows"]
    layers = [fastnn.Dense(width, "relu") for width in widths[1:-1]] + [fastnn.Dense(widths[-1])]
    net = fastnn.Network(
        layers, n_features=widths[0], dtype=case["dtype"], n_threads=case["n_threads"]
    )
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((n_rows, widths[0])), np.arange(n_rows) % widths[-1]
    calls.clear()
    if case["what"] == "fit":
        net.fit(X, y, epochs=1, batch_size=case["batch_size"])
    elif case["what"] == "predict":
        net.predict_proba(X)
    else:
        net.forward(X, y)
        net.backward()
    return {"calls": sorted(calls), "plan": net.explain(batch_size=case["batch_size"])}


def main():
    controller = threadpoolctl.ThreadpoolController().select(user_api="blas")
    for name in ["sgemm", "dgemm"]:
        install_recorder(name, controller.lib_controllers)
    from common import lower_limits

    import fastnn

    lower_limits()

    # More than one, so that a limit shows
    threadpoolctl.threadpool_limits(2, user_api="blas")
    print(json.dumps([run_case(fastnn, case) for case in json.load(sys.stdin)]))


if __name__ == "__main__":
    main()
