"""The peers, one file each. To add one: write its file and add its line here."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A peer: `key` on the command line, `label` in the table, `target` as "module:Class"."""

    key: str
    label: str
    target: str


PEERS = [
    Entry("fastnn", "fastnn", "bench.peers.fastnn_peer:FastnnPeer"),
    Entry("numpy", "NumPy by hand", "bench.peers.numpy_peer:NumpyPeer"),
    Entry("sklearn", "scikit-learn", "bench.peers.sklearn_peer:SklearnPeer"),
    Entry("torch", "PyTorch eager", "bench.peers.torch_peer:TorchEager"),
    Entry("torch-compile", "PyTorch compiled", "bench.peers.torch_peer:TorchCompiled"),
    Entry("jax", "JAX", "bench.peers.jax_peer:JaxPeer"),
    Entry("keras", "Keras", "bench.peers.keras_peer:KerasPeer"),
    Entry("thinc", "thinc", "bench.peers.thinc_peer:ThincPeer"),
    Entry("onnxruntime", "ONNX Runtime", "bench.peers.onnxruntime_peer:OnnxRuntimePeer"),
]


def choose(keys: list[str]) -> list[Entry]:
    """Return the entries of `keys`, in the order of the list; all of them if there are none."""
    known = {entry.key for entry in PEERS}
    for key in keys:
        if key not in known:
            raise ValueError(f"unknown peer {key!r}; there are {', '.join(sorted(known))}")
    return [entry for entry in PEERS if not keys or entry.key in keys]
