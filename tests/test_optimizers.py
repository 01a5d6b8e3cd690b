"""Optimizers: each formula against the oracle, alone and in training; state, settings, bits."""

import re

import common
import numpy as np
import optimizers as cases
import pytest
import reference
from common import SIDES, THREADS, Guarded

import fastnn
from fastnn import _coefficients
from fastnn._core import kernels, probes

KERNELS = kernels.list_optimizers()
CLASSES = [
    fastnn.SGD, fastnn.Adam, fastnn.AdamW, fastnn.NAdam, fastnn.RMSProp, fastnn.Adagrad,
    fastnn.Adadelta, fastnn.RProp,
]  # fmt: skip


def test_every_entry_has_a_case():
    assert list(cases.CASES) == KERNELS
    for name in KERNELS:
        optimizer = cases.make_optimizer(name)
        assert optimizer.kernel == name
        assert len(optimizer.slot_names) == kernels.get_n_slots(name)


# --- one kernel ----------------------------------------------------------------------------------


def make_terms(decay=0.0, limit=np.inf, scale=1.0, l1=0.0, l2=0.0, keep=1.0):
    return {"decay": decay, "limit": limit, "scale": scale, "l1": l1, "l2": l2, "keep": keep}


WITH_TERMS = [
    *((name, make_terms()) for name in KERNELS),
    *((name, make_terms(0.1, 0.6, 0.5, 0.05, 0.2, 0.9)) for name in KERNELS),
    # Each alone, for what the kernels share: that one of them is enough to leave the plain loop.
    *(("adam", make_terms(**{term: 0.3})) for term in ("decay", "limit", "scale", "l1", "l2")),
]


@pytest.mark.parametrize(("name", "terms"), WITH_TERMS)
def test_update(isa, dtype, name, terms, rng):
    """Three steps of the kernel, with and without what happens to the gradient before."""
    described = cases.describe_to_oracle(name)
    rate, fill = described.pop("learning_rate"), described.pop("fill")
    del described["optimizer"]
    table = cases.make_optimizer(name).list_coefficients(3, rate)
    table = np.broadcast_to(table, (3, table.shape[1])).copy()
    table[:, 1] *= terms["keep"]
    table[:, 2:4] = terms["decay"], terms["limit"]
    for n in SIDES:
        w = Guarded(rng.standard_normal((1, n)).astype(dtype))
        state = Guarded(np.zeros((kernels.get_n_slots(name), n), dtype) if name != "sgd"
                        else np.zeros((1, n), dtype))  # fmt: skip
        slots = state.view[: kernels.get_n_slots(name)]
        for slot, value in zip(slots, fill, strict=False):
            slot[...] = value
        exact = w.view[0].astype(float)
        exact_slots = [slot.astype(float) for slot in slots]
        for t, row in enumerate(table, start=1):
            g = rng.standard_normal(n).astype(dtype)
            sized = terms["scale"] * (g + reference.penalty(exact, terms["l1"], terms["l2"])[1])
            clipped = np.clip(sized, -terms["limit"], terms["limit"]) + terms["decay"] * exact
            probes.update_parameters(
                name, w.view[0], g, slots, row, terms["l1"], terms["l2"], terms["scale"]
            )
            exact, exact_slots = reference.OPTIMIZERS[name](
                terms["keep"] * exact, clipped, exact_slots, t, rate, **described
            )
            room = 1e-4 if dtype == "float32" else 1e-12
            np.testing.assert_allclose(w.view[0], exact, rtol=room, atol=room)
            for slot, exact_slot in zip(slots, exact_slots, strict=True):
                np.testing.assert_allclose(slot, exact_slot, rtol=room, atol=room)
        w.check()
        state.check()


@pytest.mark.parametrize("name", KERNELS)
def test_update_keeps_nan_and_a_fresh_zero(isa, dtype, name):
    """NaN in w or g comes out; the zeros that fill up a panel stay zeros."""
    (row,) = cases.make_optimizer(name).list_coefficients(1, 0.1)
    for limit in [np.inf, 1.0]:
        row[3] = limit
        w = np.array([0, np.nan, 0], dtype)
        state = np.zeros((kernels.get_n_slots(name), 3), dtype)
        probes.update_parameters(name, w, np.array([0, 0, np.nan], dtype), state, row)
        assert w[0] == 0
        assert np.isnan(w[1:]).all()


def test_gradient_of_the_penalty(isa, dtype, rng):
    for n in SIDES:
        w = rng.standard_normal(n).astype(dtype)
        w[n // 2] = 0  # where |w| has no slope
        g = Guarded(rng.standard_normal((1, n)).astype(dtype))
        exact = g.view[0].astype(float) + reference.penalty(w.astype(float), 0.3, 0.7)[1]
        probes.add_penalty(w, g.view[0], 0.3, 0.7)
        np.testing.assert_allclose(g.view[0], exact, rtol=1e-5, atol=1e-6)
        g.check()


# --- coefficients --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KERNELS)
def test_coefficients_do_not_depend_on_how_a_run_is_cut(name):
    """A step has the same bits alone, in a run, and far from the first one."""
    optimizer = cases.make_optimizer(name)
    rates = 0.1 + 0.01 * np.arange(1500)
    whole = _coefficients.make_table(optimizer, 0, 1500, rates)
    assert whole.shape == (1500, _coefficients.N_COEFFICIENTS)
    for first in [0, 1, 2, 7, 1022, 1023, 1024, 1499]:
        alone = _coefficients.make_table(optimizer, first, 1, rates[first])
        assert common.same_bits(alone[0], whole[first]), first
    same = _coefficients.make_table(optimizer, 0, 1500, 0.1)
    assert len(same) in (1, 1500)


# --- training ------------------------------------------------------------------------------------

# widths, rows, batch size: panels and blocks that are not full, layers cut by columns and by rows
NETS = {
    "small": ((10, 33, 4), 40, 16),
    "wide": ((300, 257, 9), 60, 32),
    "many rows a step": ((7, 15, 3), 1300, 600),
    "BLAS": ((1024, 1030, 5), 130, 65),
}
OWN = [name for name in NETS if name != "BLAS"]


def make_network(name, dtype="float64", n_threads=1, **options):
    widths, *_ = NETS[name]
    layers = [fastnn.Dense(width, "tanh") for width in widths[1:-1]]
    layers.append(fastnn.Dense(widths[-1]))
    options = {"n_features": widths[0], "dtype": dtype, "n_threads": n_threads, **options}
    return fastnn.Network(layers, **options)


def make_data(name, dtype="float64"):
    widths, n_rows, batch_size = NETS[name]
    X, y = common.make_classes(np.random.default_rng(1), n_rows, widths[0], widths[-1])
    return X.astype("float32").astype(dtype), y, batch_size


def list_batches(name, epochs):
    _, n_rows, batch_size = NETS[name]
    for epoch in range(epochs):
        order = reference.shuffle(0, epoch, n_rows)
        yield from (order[i : i + batch_size] for i in range(0, n_rows, batch_size))


def train_oracle(name, net, epochs, **described):
    """Parameters of the oracle after some epochs from the start of `net`."""
    X, y, _ = make_data(name)
    parameters, memory = reference.copy_parameters(net), {}
    targets = reference.one_hot(y, net.n_outputs)
    for rows in list_batches(name, epochs):
        _, parameters = reference.train_step(
            parameters, ["tanh", "identity"], "softmax_cross_entropy", X[rows], targets[rows],
            memory=memory, **described,
        )  # fmt: skip
    return reference.flatten(parameters)


def run_explicitly(net, optimizer, name, epochs, first=0):
    X, y, batch_size = make_data(name)
    for epoch in range(first, first + epochs):
        for xb, yb in fastnn.batches(X, y, batch_size, epoch=epoch):
            net.forward(xb, yb)
            net.backward()
            optimizer.step(net)
    return net.parameter_vector


def fit(net, optimizer, name, epochs):
    X, y, batch_size = make_data(name)
    net.fit(X, y, epochs=epochs, batch_size=batch_size, optimizer=optimizer)
    return net.parameter_vector


def list_training_cases():
    """By BLAS only the two ways of updating; of rounded gradients the signs, RProp's, are loose."""
    for name in KERNELS:
        for net_name in OWN:
            yield name, net_name, "float64"
            if name != "rprop":
                yield name, net_name, "float32"
    yield "sgd", "BLAS", "float64"
    yield "adam", "BLAS", "float64"


@pytest.mark.parametrize(("name", "net_name", "dtype"), list(list_training_cases()))
def test_fit_agrees_with_the_oracle(name, net_name, dtype):
    """Also with weight decay and clipping, where the optimizer has them."""
    epochs = {"small": 34, "BLAS": 2}.get(net_name, 4)  # 102 steps of the small one
    extras = {} if name == "rprop" else {"weight_decay": 0.02, "clip_value": 0.05}
    if name == "sgd" and net_name == "BLAS":
        extras = {}  # plain SGD is part of BLAS's product
    net = make_network(net_name, dtype, THREADS[-1])
    described = cases.describe_to_oracle(name)
    if extras:
        described |= {"decay": 0.02, "limit": 0.05}
    exact = train_oracle(net_name, net, epochs, **described)
    found = fit(net, cases.make_optimizer(name, **extras), net_name, epochs)
    room = 1e-10 if dtype == "float64" else 2e-4
    assert np.linalg.norm(found - exact) <= room * np.linalg.norm(exact)


def test_decoupled_weight_decay_shrinks_the_weights_themselves():
    """AdamW is Adam on weights that were multiplied by 1 - rate * decay before."""
    net, twin = make_network("small"), make_network("small")
    X, y, _ = make_data("small")
    adamw, adam = fastnn.AdamW(0.01, weight_decay=0.3), fastnn.Adam(0.01)
    for _ in range(5):
        for each, optimizer in [(net, adamw), (twin, adam)]:
            each.forward(X, y)
            each.backward()
            if optimizer is adam:
                each.parameter_vector[...] *= 1 - 0.01 * 0.3
            optimizer.step(each)
        np.testing.assert_allclose(net.parameter_vector, twin.parameter_vector, rtol=1e-13)


# --- the same bits -------------------------------------------------------------------------------


@pytest.mark.parametrize("net_name", OWN)
@pytest.mark.parametrize("name", KERNELS)
def test_fit_equals_the_explicit_loop_for_any_number_of_threads(isa, dtype, name, net_name):
    """Blocks of panels or one flat pass, many threads or one: the same bits, state included."""
    extras = {} if name == "rprop" else {"clip_value": 0.05}
    explicit = cases.make_optimizer(name, **extras)
    expected = run_explicitly(make_network(net_name, dtype), explicit, net_name, 2)
    for n_threads in THREADS:
        optimizer = cases.make_optimizer(name, **extras)
        found = fit(make_network(net_name, dtype, n_threads), optimizer, net_name, 2)
        assert common.same_bits(found, expected), n_threads
        assert optimizer.steps == explicit.steps
        for slot, other in zip(optimizer._state, explicit._state, strict=True):
            assert common.same_bits(slot, other), n_threads


@pytest.mark.parametrize("name", KERNELS)
def test_a_second_fit_goes_on_from_the_state(name):
    """Also through `state_dict` of another object, and between fit and explicit loop."""
    whole = fit(make_network("small"), cases.make_optimizer(name), "small", 4)
    net, optimizer = make_network("small"), cases.make_optimizer(name)
    fit(net, optimizer, "small", 1)
    twin = type(optimizer)(**optimizer.settings)
    twin.load_state_dict(optimizer.state_dict())
    fit(net, twin, "small", 2)
    run_explicitly(net, twin, "small", 1, first=3)
    assert common.same_bits(net.parameter_vector, whole)
    assert twin.steps == 12
    assert optimizer.steps == 3  # what was copied is not shared


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", CLASSES)
def test_settings_are_checked(cls):
    optimizer = cls()
    assert type(optimizer)(**optimizer.settings).settings == optimizer.settings
    for name, value in optimizer.settings.items():
        if isinstance(value, bool):
            continue
        for bad in [-1.0, float("nan"), "0.1", True]:
            with pytest.raises((ValueError, TypeError), match=f"^{name} must be "):
                cls(**{name: bad})
            with pytest.raises((ValueError, TypeError), match=f"^{name} must be "):
                setattr(optimizer, name, bad)
        assert getattr(optimizer, name) == value


@pytest.mark.parametrize("cls", CLASSES)
def test_docstrings_name_every_setting(cls):
    section = cls.__doc__.partition("Parameters\n----------\n")[2]
    assert sorted(re.findall(r"^(\w+) : ", section, re.MULTILINE)) == sorted(cls().settings)
    assert "learning_rate : float, default " in section


def test_settings_that_exclude_each_other():
    with pytest.raises(ValueError, match="nesterov needs a momentum greater than 0"):
        fastnn.SGD(0.1, nesterov=True)
    with pytest.raises(ValueError, match=r"max_step must be at least 0\.5"):
        fastnn.RProp(min_step=0.5, max_step=0.1)


def test_an_optimizer_in_words():
    assert repr(fastnn.SGD(0.1)) == "SGD(0.1)"
    assert repr(fastnn.SGD(0.1, momentum=0.9)) == "SGD(0.1, momentum=0.9)"
    assert repr(fastnn.AdamW()) == "AdamW(0.001)"


def test_state_of_another_network_is_refused():
    net, other = make_network("small"), make_network("wide")
    optimizer = fastnn.Adam()
    fit(net, optimizer, "small", 1)
    before = other.parameter_vector.copy()
    X, y, _ = make_data("wide")
    message = r"state of 499 float64 parameters after 3 steps, .* network has [\d,]+ of float64"
    with pytest.raises(ValueError, match=message):
        other.fit(X, y, optimizer=optimizer)
    with pytest.raises(ValueError, match=message):
        optimizer.step(other)
    assert common.same_bits(other.parameter_vector, before)
    optimizer.reset()
    fit(other, optimizer, "wide", 1)


def test_state_of_another_optimizer_is_refused():
    net, adam = make_network("small"), fastnn.Adam()
    fit(net, adam, "small", 1)
    state = adam.state_dict()
    with pytest.raises(ValueError, match=r"state is that of Adam, expected one of SGD"):
        fastnn.SGD().load_state_dict(state)
    momentum = fastnn.RMSProp(momentum=0.9)
    fit(make_network("small"), momentum, "small", 1)
    with pytest.raises(ValueError, match=r"state has the slots .*'velocity'.*, expected \['mean"):
        fastnn.RMSProp().load_state_dict(momentum.state_dict())
    with pytest.raises(TypeError, match=r"optimizer is 'adam'; expected one such as fastnn.SGD"):
        net.fit(*make_data("small")[:2], optimizer="adam")


def test_C11_gradient_descent_mini_batches_and_single_examples():
    """The whole data set, 32 rows, or one row a step, and Adam: the same call, and all learn."""
    X, y = common.make_classes(np.random.default_rng(3), 200, 5, 3)
    for batch_size, optimizer, epochs in [
        (200, fastnn.SGD(1.0), 60),
        (32, fastnn.SGD(0.3), 20),
        (1, fastnn.SGD(0.05), 5),
        (32, fastnn.Adam(0.02), 20),
    ]:
        net = fastnn.Network([fastnn.Dense(16, "relu"), fastnn.Dense(3)])
        net.fit(X, y, epochs=epochs, batch_size=batch_size, optimizer=optimizer)
        assert net.evaluate(X, y)["accuracy"] > 0.93, (batch_size, optimizer)
        assert optimizer.steps == epochs * -(-200 // batch_size)
