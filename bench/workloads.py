"""What is measured, as data: one entry per workload and network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


class Duel(NamedTuple):
    """`call` of fastnn is to be `goal` times faster than the best call of `peer`."""

    call: str
    peer: str
    goal: float


@dataclass(frozen=True)
class Workload:
    """A network with its data and what is timed.

    `kind` is "train" (one epoch of plain SGD, whole batches of `batch_size` rows and a shorter last
    one), "latency" (few rows per call, compared by medians) or "predict" (`rows` rows per call,
    compared by minima). `data` is "mnist" or "synthetic": for training, `rows` normal rows labelled
    by a planted linear teacher; for predictions, normal rows without labels.
    """

    id: str
    kind: str
    sizes: tuple[int, ...]
    data: str
    rows: int
    batch_size: int = 0
    learning_rate: float = 0.0
    goal_ratio: float | None = None  # times faster than the best peer
    goal_ceiling: float | None = None  # fraction of the FMA ceiling
    goal_step: float | None = None  # seconds per mini-batch
    goal_scaling: float | None = None  # times faster on two threads than on one
    duels: tuple[Duel, ...] = ()  # goals of single calls against single peers

    @property
    def title(self) -> str:
        net = "-".join(map(str, self.sizes))
        if self.kind == "train":
            name = "MNIST " if self.data == "mnist" else ""
            return f"{self.id}: {name}{net}, batch {self.batch_size}, one epoch"
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        return f"{self.id}: predict {rows}, {net}"

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
        if self.kind == "train":
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

WORKLOADS = [
    Workload("W1", "train", SMALL, "mnist", 60_000, 32, 0.1, 3.0, 0.60, goal_scaling=1.7),
    Workload("W2", "train", SMALL, "mnist", 60_000, 128, 0.1, 2.0, 0.60),
    Workload("W3", "train", MEDIUM, "mnist", 60_000, 128, 0.1, 1.5, 0.78, goal_scaling=1.85),
    Workload("W4", "train", LARGE, "synthetic", 4096, 1024, 0.005, 1.35, 0.82),
    Workload("W5", "train", (4, 32, 16, 3), "synthetic", 20_000, 32, 0.1, 5.0, goal_step=4e-6),
    Workload("W6", "train", (16, 64, 64, 26), "synthetic", 20_000, 64, 0.1, 4.0),
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
