"""Row C08 of the curriculum: what each activation gives at -2, 0.5 and 2, and its slope there.

Values are written out to six digits, from the definitions and by hand; test_activations.py and
test_gradients.py compare every activation with its oracle and with central differences.
"""

import numpy as np
import pytest

import fastnn

# At -2, 0.5 and 2: the values, and the derivatives that `backward` uses.
VALUES = {
    "sigmoid": [0.119203, 0.622459, 0.880797],
    "tanh": [-0.964028, 0.462117, 0.964028],
    "relu": [0, 0.5, 2],
    "leaky_relu": [-0.02, 0.5, 2],
    "arctan": [-1.107149, 0.463648, 1.107149],
    "sign": [-1, 1, 1],
}
SLOPES = {
    "sigmoid": [0.104994, 0.235004, 0.104994],
    "tanh": [0.070651, 0.786448, 0.070651],
    "relu": [0, 1, 1],
    "leaky_relu": [0.01, 1, 1],
    "arctan": [0.2, 0.8, 0.2],
    "sign": [0, 1, 0],  # the documented surrogate: 1 where |z| <= 1
}


@pytest.mark.parametrize("name", VALUES)
def test_C08_activations_and_their_slopes(name):
    """One weight of 1: dL/db is dL/da f'(z), which gives f'(z)."""
    net = fastnn.Network([fastnn.Dense(1, name)], "mse", n_features=1, dtype="float64")
    net.layers[0].weight[...] = 1
    for z, value, slope in zip([-2, 0.5, 2], VALUES[name], SLOPES[name], strict=True):
        assert net.predict([[z]])[0] == pytest.approx(value, abs=1e-6)
        net.forward([[z]], [[value + 1]])  # error -1, so dL/da = -2
        net.backward()
        assert net.layers[0].bias_grad[0] / -2 == pytest.approx(slope, abs=2e-6)


def test_C08_softmax_as_the_activation_of_a_layer():
    """Its rows sum to 1, and its derivative is p_i (1 - p_i) and -p_i p_j."""
    net = fastnn.Network([fastnn.Dense(3, "softmax")], "mse", n_features=3, dtype="float64")
    net.layers[0].weight[...] = np.eye(3)
    p = net.predict([[1.0, 2.0, 3.0]])[0]
    np.testing.assert_allclose(p, [0.090031, 0.244728, 0.665241], atol=1e-6)
    target = np.add(p, [1.5, 0, 0])  # dL/da = (-1, 0, 0): the mean of three squares
    net.forward([[1.0, 2.0, 3.0]], [target])
    net.backward()
    expected = [-p[0] * (1 - p[0]), p[0] * p[1], p[0] * p[2]]
    np.testing.assert_allclose(net.layers[0].bias_grad, expected, rtol=1e-12)
