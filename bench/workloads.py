"""What is measured, as data: one entry per workload and network."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple


class Duel(NamedTuple):
    """`call` of fastnn is to be `goal` times faster than the best call of `peer`."""

    call: str
    peer: str
    goal: float


@dataclass(frozen=True)
class Workload:
    """A network with its data and what is timed.

    `kind` is "train" (one epoch, whole batches of `batch_size` rows and a shorter last one),
    "activations" (the same by fastnn alone, with each of its elementwise activations), "race"
    (epochs until the test accuracy reaches `accuracy`, in a new process for each seed, what is
    compiled included), "latency" (few rows per call, compared by medians) or "predict" (`rows` rows
    per call, compared by minima). `data` is "mnist", of which the first `rows` rows are used, its
    pixels from 0 to 1; "normalized mnist", shifted and scaled to mean 0 and deviation 1, so that no
    pixel is zero and none of fastnn's sums is shorter for it; or "synthetic": for training, `rows`
    normal rows labelled by a planted linear teacher; for predictions, normal rows without labels.
    """

    id: str
    kind: str
    sizes: tuple[int, ...]
    data: str
    rows: int
    batch_size: int = 0
    learning_rate: float = 0.0
    epochs: int = 1  # of a turn: one alone would be over before a CPU that slept is at its speed
    optimizer: str = "sgd"  # or "momentum" (0.9) or "adam", with the field's usual settings
    dropout: float = 0.0  # behind every hidden layer
    goal_ratio: float | None = None  # times faster than the best peer
    goal_ceiling: float | None = None  # fraction of the FMA ceiling
    goal_step: float | None = None  # seconds per mini-batch
    goal_scaling: float | None = None  # times faster on two threads than on one
    goal_over: tuple[str, float] | None = None  # times the time of another workload, at most
    goal_activation: float | None = None  # times the time of ReLU, at most
    accuracy: float = 1.0  # of a race
    duels: tuple[Duel, ...] = ()  # goals of single calls against single peers

    @property
    def title(self) -> str:
        net = "-".join(map(str, self.sizes))
        if self.kind == "activations":
            rows = f"one epoch of {self.rows:,} rows"
            return f"{self.id}: {net}, batch {self.batch_size}, each activation, {rows}"
        if self.kind == "train":
            name = self.data.replace("mnist", "MNIST") + " " if self.needs_mnist else ""
            extra = "" if self.optimizer == "sgd" else f", {self.optimizer}"
            extra += f", dropout {self.dropout:g}" if self.dropout else ""
            return f"{self.id}: {name}{net}, batch {self.batch_size}{extra}, one epoch"
        if self.kind == "race":
            how = f"batch {self.batch_size}, {self.optimizer}"
            return f"{self.id}: MNIST {net}, {how}, to {self.accuracy:.0%} test accuracy"
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        rows += " of MNIST" if self.needs_mnist else ""
        return f"{self.id}: predict {rows}, {net}"

    @property
    def trains(self) -> bool:
        return self.kind in ("train", "activations", "race")

    @property
    def needs_mnist(self) -> bool:
        return self.data.endswith("mnist")

    @property
    def has_peers(self) -> bool:
        """Whether other libraries are measured beside fastnn."""
        return self.kind != "activations"

    @property
    def n_steps(self) -> int:
        """Mini-batches of one epoch."""
        return -(-self.rows // self.batch_size)

    @property
    def flops(self) -> int:
        """Floating-point operations of one epoch or call; a multiply-add counts as two.

        Training has a forward product and a weight gradient per layer, and the gradient of the
        input for every layer but the first. Activations and the loss are not counted.
        """
        products = [a * b for a, b in zip(self.sizes, self.sizes[1:], strict=False)]
        per_row = 2 * sum(products)
        if self.trains:
            per_row = 3 * per_row - 2 * products[0]
        return per_row * self.rows

    def as_dict(self) -> dict[str, Any]:
        """Return what a worker must know, ready for JSON."""
        return {k: v for k, v in asdict(self).items() if "goal" not in k and k != "duels"}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Workload:
        return cls(**{**fields, "sizes": tuple(fields["sizes"])})


SMALL = (784, 100, 10)
MEDIUM = (784, 512, 512, 10)
LARGE = (1024, 4096, 4096, 10)

W1 = Workload("W1", "train", SMALL, "mnist", 60_000, 32, 0.1, 3, goal_scaling=1.7)
W2 = replace(W1, id="W2", batch_size=128, goal_scaling=None)
W3 = Workload("W3", "train", MEDIUM, "mnist", 60_000, 128, 0.1, goal_scaling=1.85)
W4 = Workload("W4", "train", LARGE, "synthetic", 4096, 1024, 0.005)
W5 = Workload("W5", "train", (4, 32, 16, 3), "synthetic", 20_000, 32, 0.1, 20, goal_ratio=5.0)
W7 = replace(W3, goal_ratio=1.5, goal_scaling=None)  # beside it the cost over W3 is a goal
W9 = Workload("W9", "race", (784, 256, 128, 10), "mnist", 60_000, 128, 1e-3, optimizer="adam")

WORKLOADS = [
    replace(W1, goal_ratio=3.0),
    replace(W2, goal_ratio=2.0),
    replace(W3, goal_ratio=1.5),
    # All operations that are counted are done: the fractions of the ceiling are judged by these.
    # Pixels are three times as large and none is 0, so a rate of 0.1 would be too high.
    *(
        replace(
            work, id=f"{work.id}n", data="normalized mnist", learning_rate=0.02, goal_ceiling=goal
        )
        for work, goal in ((W1, 0.60), (W2, 0.60), (W3, 0.78))
    ),
    replace(W4, goal_ratio=1.35, goal_ceiling=0.82),
    replace(W5, goal_step=4e-6),
    # At a rate of 0.1 the accuracy moves by two points from epoch to epoch.
    replace(
        W5,
        id="W6",
        sizes=(16, 64, 64, 26),
        batch_size=64,
        learning_rate=0.01,
        epochs=10,
        goal_ratio=4.0,
    ),
    replace(W7, id="W7a", optimizer="adam", learning_rate=1e-3, goal_over=("W3", 1.25)),
    replace(W7, id="W7b", optimizer="momentum", learning_rate=0.01, goal_over=("W3", 1.10)),
    replace(W7, id="W7c", dropout=0.5, goal_over=("W3", 1.10)),
    Workload(
        # A step so small that none diverges: e^z grows fast in two layers.
        "A",
        "activations",
        MEDIUM,
        "mnist",
        12_800,
        128,
        1e-5,
        goal_activation=1.15,
    ),
    replace(W9, accuracy=0.98, goal_ratio=2.0),
    Workload(
        "I1",
        "latency",
        SMALL,
        "synthetic",
        1,
        duels=(Duel("freeze", "onnxruntime", 3.0), Duel("predict", "sklearn", 10.0)),
    ),
    Workload("I2", "latency", SMALL, "synthetic", 32, goal_ratio=2.0),
    Workload("I3a", "predict", SMALL, "synthetic", 10_000, goal_ratio=1.4),
    Workload("I3b", "predict", MEDIUM, "synthetic", 10_000, goal_ratio=1.4),
    Workload("I1m", "latency", SMALL, "mnist", 1),
    Workload("I2m", "latency", SMALL, "mnist", 32),
    Workload("I3am", "predict", SMALL, "mnist", 10_000),
    Workload("I3bm", "predict", MEDIUM, "mnist", 10_000),
]


def select(names: list[str]) -> list[Workload]:
    """Return the workloads whose id starts with one of `names`; all of them if there are none."""
    for name in names:
        if not any(w.id.upper().startswith(name.upper()) for w in WORKLOADS):
            known = ", ".join(w.id for w in WORKLOADS)
            raise ValueError(f"unknown workload {name!r}; there are {known}")
    if not names:
        return list(WORKLOADS)
    return [w for w in WORKLOADS if any(w.id.upper().startswith(n.upper()) for n in names)]
