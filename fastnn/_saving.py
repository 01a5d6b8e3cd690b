"""Between a Network and the plain state of a model file."""

from __future__ import annotations

import os

import numpy as np

from fastnn import _validate, model_file
from fastnn._parameters import count_elements, list_shapes, list_state_shapes
from fastnn._scaling import Scaling
from fastnn.activations import restore_activation
from fastnn.initializers import parse_initializer
from fastnn.layers import LAYERS
from fastnn.losses import restore_loss

_HEADER_KEYS = {
    "layers", "loss", "n_features", "dtype", "seed", "epoch", "step", "classes", "scale_inputs",
    "scale_targets", "l1", "l2",
}  # fmt: skip
CHECKPOINT_PREFIX = "checkpoint."  # of tensors that are no part of the network
_SCALINGS = ("input_scaling", "target_scaling")


def save_network(net, path) -> None:
    """Write settings and parameters to `path`, atomically."""
    model_file.write_model(path, *describe_network(net))


def describe_network(net) -> tuple[dict, dict[str, np.ndarray]]:
    """A network as a header and tensors."""
    for i, layer in enumerate(net.layers):
        if type(layer) not in LAYERS.values():
            raise TypeError(
                f"layers[{i}] is a {type(layer).__name__}, which a file cannot describe; expected "
                f"one of {', '.join(LAYERS)}"
            )
    header = {
        "layers": [{"layer": type(layer).__name__, **layer.settings()} for layer in net.layers],
        "loss": net.loss.to_state(),
        "n_features": net.n_features,
        "dtype": net.dtype,
        "seed": net.seed,
        "epoch": net._epoch,
        "step": net._step,
        "classes": None if net.classes is None else net.classes.tolist(),
        "scale_inputs": net.scale_inputs,
        "scale_targets": net.scale_targets,
        "l1": net.l1,
        "l2": net.l2,
    }
    is_built = net.n_features is not None
    return header, {**(_name_parameters(net) if is_built else {}), **_name_scalings(net)}


def load_network(make_network, path, n_threads: int | None):
    """The network that `save_network` wrote; `make_network` is the class."""
    header, tensors = model_file.read_model(path)
    try:
        if set(header) == {"network", "checkpoint"}:
            header, (tensors, _) = header["network"], split_tensors(tensors)
        return restore_network(make_network, header, tensors, n_threads)
    except (TypeError, ValueError, KeyError) as error:
        raise model_file.CorruptModelError(
            os.fsdecode(path), "header", "the description of a network", str(error)
        ) from None


def revive(make_network, header, tensors, n_threads: int | None, history):
    """A pickled or copied network: one that is not built has no tensors."""
    if header["n_features"] is None:
        net = _make_network(make_network, header, n_threads)
    else:
        net = restore_network(make_network, header, tensors, n_threads)
    net.history = history
    return net


def restore_network(make_network, header, tensors, n_threads: int | None):
    """The network of which `describe_network` gave header and tensors."""
    header = {"l1": 0.0, "l2": 0.0, **header}  # files of before penalties lack them
    if set(header) != _HEADER_KEYS:
        raise ValueError(f"fields {sorted(header)}, expected {sorted(_HEADER_KEYS)}")
    net = _make_network(make_network, header, n_threads)
    n_features = _validate.check_int("n_features", header["n_features"], 1)
    weights = _set_scalings(net, n_features, tensors)
    _check_size(net.layers, n_features, weights)
    net._build(n_features, initialize=False)
    take_state(net, header, tensors)
    return net


def _make_network(make_network, header, n_threads: int | None):
    """A network of these settings that is not built."""
    layers = [_make_layer(**settings) for settings in header["layers"]]
    names = ("dtype", "seed", "classes", "scale_inputs", "scale_targets", "l1", "l2")
    options = {name: header[name] for name in names}
    return make_network(layers, restore_loss(header["loss"]), n_threads=n_threads, **options)


def take_state(net, header, tensors) -> None:
    """Give a network of the same settings what training changes: weights, scaling, epoch."""
    weights = _set_scalings(net, net.n_features, tensors)
    net._epoch = _validate.check_int("epoch", header["epoch"], 0, 2**32 - 1)
    net._step = _validate.check_int("step", header["step"], 0, 2**32 - 1)
    _set_parameters(net, weights)


def split_tensors(tensors):
    """The tensors of a checkpoint: those of the network, and the others without their prefix."""
    length = len(CHECKPOINT_PREFIX)
    others = {name[length:]: a for name, a in tensors.items() if name.startswith(CHECKPOINT_PREFIX)}
    own = {name: a for name, a in tensors.items() if not name.startswith(CHECKPOINT_PREFIX)}
    return own, others


def _make_layer(layer, **settings):
    restore = {"activation": restore_activation, "initializer": parse_initializer}
    for name in settings.keys() & restore:
        settings[name] = restore[name](settings[name])
    return LAYERS[_validate.check_choice("layer", layer, list(LAYERS))](**settings)


def _check_size(layers, n_features: int, tensors) -> None:
    """Refuse a header that promises more parameters than the file holds, before allocating any."""
    wanted = count_elements(list_shapes(layers, n_features))
    wanted += count_elements(list_state_shapes(layers, n_features))
    found = sum(tensor.size for tensor in tensors.values())
    if found != wanted:
        raise ValueError(f"{found} parameters in the file, where the layers need {wanted}")


def _name_scalings(net) -> dict[str, np.ndarray]:
    scalings = {name: getattr(net, name) for name in _SCALINGS}
    return {
        f"{name}.{part}": array
        for name, scaling in scalings.items()
        if scaling is not None
        for part, array in vars(scaling).items()
    }


def _set_scalings(net, n_features: int, tensors) -> dict[str, np.ndarray]:
    """Take the tensors of the scalings, and return the others."""
    rest = dict(tensors)
    kinds = (net.scale_inputs, net.scale_targets)
    for name, kind, width in zip(_SCALINGS, kinds, (n_features, net.n_outputs), strict=True):
        found = [rest.pop(f"{name}.{part}", None) for part in ("shift", "scale")]
        if kind is None or all(array is None for array in found):  # none, or not fitted yet
            if any(array is not None for array in found):
                raise ValueError(f"tensors of a {name} that the header does not name")
            continue
        if any(array is None or array.shape != (width,) for array in found):
            raise ValueError(f"{name} without {width} shifts and {width} scales")
        setattr(net, name, Scaling(*(array.astype(np.float64) for array in found)))
    return rest


def _name_parameters(net) -> dict[str, np.ndarray]:
    named = {}
    for i, layer in enumerate(net.layers):
        for name in (*layer.parameter_names, *layer.state_names):
            value = getattr(layer, name)
            if value is not None:
                named[f"layers.{i}.{name}"] = value
    return named


def _set_parameters(net, tensors: dict[str, np.ndarray]) -> None:
    views = _name_parameters(net)
    found = {name: (array.shape, str(array.dtype)) for name, array in tensors.items()}
    wanted = {name: (view.shape, str(view.dtype)) for name, view in views.items()}
    if found != wanted:
        raise ValueError(f"tensors {found}, where the layers need {wanted}")
    for name, array in tensors.items():
        if name.endswith(".running_variance") and array.min() < 0:
            raise ValueError(f"{name} of {array.min()}, expected at least 0")
    for name, view in views.items():
        view[...] = tensors[name]
