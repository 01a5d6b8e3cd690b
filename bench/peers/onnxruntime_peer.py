"""ONNX Runtime, for predictions; the model is built with the onnx package, not by fastnn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from ..data import Problem, Weights
from .base import Peer


class OnnxRuntimePeer(Peer):
    distributions = ("onnxruntime",)

    def setup(self, problem: Problem, threads: int) -> None:
        self.n_outputs = problem.sizes[-1]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            _model(problem.weights).SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
        )

    def calls(self, X: NDArray[np.float32]) -> dict[str, Callable[[], Any]]:
        run, feed = self.session.run, {"x": X}
        out = np.empty((len(X), self.n_outputs), np.float32)
        binding = self.session.io_binding()
        binding.bind_input("x", "cpu", 0, np.float32, X.shape, X.ctypes.data)
        binding.bind_output("z", "cpu", 0, np.float32, out.shape, out.ctypes.data)
        run_bound = self.session.run_with_iobinding

        def bound() -> NDArray[np.float32]:
            run_bound(binding)
            return out

        return {"run": lambda: run(None, feed)[0], "IO binding": bound}


def _model(weights: Weights) -> onnx.ModelProto:
    """Gemm and Relu nodes from input "x" to raw scores "z"; IR 10 and opset 18 load widely."""
    nodes, constants, name = [], [], "x"
    for i, (W, b) in enumerate(weights):
        constants += [
            onnx.numpy_helper.from_array(W, f"W{i}"),
            onnx.numpy_helper.from_array(b, f"b{i}"),
        ]
        last = i == len(weights) - 1
        out = "z" if last else f"z{i}"
        nodes.append(onnx.helper.make_node("Gemm", [name, f"W{i}", f"b{i}"], [out]))
        name = out
        if not last:
            name = f"a{i}"
            nodes.append(onnx.helper.make_node("Relu", [out], [name]))
    value = onnx.helper.make_tensor_value_info
    n_in, n_out = weights[0][0].shape[0], weights[-1][0].shape[1]
    graph = onnx.helper.make_graph(
        nodes,
        "mlp",
        [value("x", onnx.TensorProto.FLOAT, ["rows", n_in])],
        [value("z", onnx.TensorProto.FLOAT, ["rows", n_out])],
        constants,
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=10)
    onnx.checker.check_model(model)
    return model
