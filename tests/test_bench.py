"""The benchmarks work: a tiny workload through a real worker, the rules of the tables, the judge.

Nothing here asserts a time.
"""

import dataclasses
import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest

from bench import __main__ as bench_main
from bench import data, driver, goals, grid, machine, publish, race, report
from bench.peers import PEERS, Entry, choose
from bench.peers.numpy_peer import NumpyPeer
from bench.workloads import WORKLOADS, Duel, Workload, select

TRAIN = Workload("T", "train", (8, 16, 3), "synthetic", 250, batch_size=32, learning_rate=0.1)
ACTIVATIONS = dataclasses.replace(TRAIN, id="A", kind="activations")
LATENCY = Workload("L", "latency", (8, 16, 3), "synthetic", 1)
PREDICT = Workload("P", "predict", (8, 16, 3), "synthetic", 40)
NUMPY = choose(["numpy"])
ABSENT = Entry("absent", "Absent", "bench.peers.no_such_peer:Peer")
NOWHERE = Path("no-such-folder")


def test_training_workload_runs_in_a_worker():
    results, versions = driver.run(TRAIN, NUMPY, 1, NOWHERE, rounds=3, epochs=2)
    (result,) = results
    assert result.status == "ok"
    assert len(result.times) == 6
    problem = data.make_problem(TRAIN, NOWHERE)
    loss, accuracy = data.judge(problem.weights, problem)
    assert result.loss is not None
    assert result.loss < loss
    assert result.accuracy is not None
    assert result.accuracy > accuracy
    assert versions == {"numpy": np.__version__}


@pytest.mark.parametrize("workload", [LATENCY, PREDICT], ids=lambda w: w.kind)
def test_predictions_agree_with_float64(workload):
    results, _ = driver.run(workload, NUMPY, 1, NOWHERE, rounds=1, epochs=1)
    assert [r.status for r in results] == ["ok"]
    assert results[0].accuracy == 1.0
    assert len(results[0].times) == driver.TURNS[workload.kind][1]


def test_every_elementwise_activation_is_timed_beside_relu(tmp_path, monkeypatch):
    """Through a worker: all of the list, in turns, with finite losses."""
    described = tmp_path / "fastnn-0.dist-info"  # a worker asks for the version of its library
    described.mkdir()
    (described / "METADATA").write_text("Name: fastnn\nVersion: 0\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    kernels = pytest.importorskip("fastnn._core.kernels")
    work = dataclasses.replace(TRAIN, kind="activations", goal_activation=1.15)
    results, _ = driver.run(work, choose(["fastnn"]), 1, NOWHERE, rounds=2, epochs=1)
    calls = [name for name in kernels.list_activations() if not kernels.is_rowwise(name)]
    assert [r.call for r in results] == calls
    assert all(len(r.times) == 2 * driver.TURNS["activations"][1] for r in results)
    found = report.group(work, 1, results, 1e9)
    assert all(row.counts and row.to_fastnn for row in found.rows)
    assert report.text_table(found).count("fastnn ") == len(calls)


def test_activations_are_judged_by_the_time_of_relu():
    times = {"identity": 0.1, "relu": 0.2, "gelu": 0.25, "tanh": 0.23, "elu": 0.9}
    results = [_result("fastnn", [time, 1.0], None) for time in times.values()]
    for result, call in zip(results, times, strict=True):
        result.call = call
    results[-1].loss = math.nan
    work = dataclasses.replace(TRAIN, kind="activations", goal_activation=1.15)
    found = report.group(work, 2, results, None)
    assert [row.to_fastnn for row in found.rows[:4]] == pytest.approx([0.5, 1.0, 1.25, 1.15])
    (goal,) = goals.judge(found)
    said = "1.25 times the time of ReLU for the dearest activation, gelu (goal 1.15, missed)"
    assert str(goal) == f"T: {said}"
    lines = report.activations_markdown(found).splitlines()
    assert lines[2].endswith("| does not count: ok |")
    assert lines[3:] == [
        "| gelu | 0.25 s |  | 1.25 | 1.15 | no |",
        "| tanh | 0.23 s |  | 1.15 | 1.15 | yes |",
        "| relu | 0.2 s |  | 1.00 | 1.15 | yes |",
        "| identity | 0.1 s |  | 0.50 | 1.15 | yes |",
    ]
    assert "gelu is the dearest: 1.25 times ReLU" in report.text_table(found)
    assert "/ relu" in report.text_table(found)


def make_mnist(folder, name):
    """A problem on six rows of four pixels, from files in `folder`."""
    for file, shape in zip(data.MNIST_FILES, [(9, 2, 2), (9,), (5, 2, 2), (5,)], strict=True):
        values = np.arange(np.prod(shape), dtype=np.uint8)
        head = b"\0\0\x08" + bytes([len(shape)]) + np.array(shape, ">i4").tobytes()
        (folder / file).write_bytes(head + values.tobytes())
    return data.make_problem(Workload("M", "train", (4, 3), name, 6, 2, 0.1), folder)


def test_a_workload_takes_its_first_rows_of_mnist(tmp_path):
    problem = make_mnist(tmp_path, "mnist")
    assert problem.X.shape == (6, 4)
    assert list(problem.y) == list(range(6))
    assert len(problem.X_test) == 5


def test_normalized_pixels_have_no_zeros_and_the_same_labels(tmp_path):
    plain, moved = (make_mnist(tmp_path, name) for name in ("mnist", "normalized mnist"))
    assert (plain.X == 0).any()
    for found, expected in ((moved.X, plain.X), (moved.X_test, plain.X_test)):
        assert (found != 0).all()
        assert found.dtype == np.float32
        np.testing.assert_allclose(found * 0.3081 + 0.1307, expected, atol=1e-6)
    np.testing.assert_array_equal(moved.y, plain.y)


def test_missing_peer_is_reported_and_the_rest_goes_on():
    results, _ = driver.run(TRAIN, [ABSENT, *NUMPY], 1, NOWHERE, rounds=1, epochs=1)
    assert [r.status for r in results] == ["not installed", "ok"]
    table = report.text_table(report.group(TRAIN, 1, results, 1e9))
    assert "not installed" in table
    assert "NumPy by hand" in table


def test_peer_that_fails_is_reported_without_paths():
    mnist = Workload("M", "train", (784, 4, 10), "mnist", 60_000, 32, 0.1)
    results, _ = driver.run(mnist, NUMPY, 1, NOWHERE, rounds=1, epochs=1)
    assert results[0].status.startswith("failed: FileNotFoundError")
    assert "/" not in results[0].status


def test_numpy_and_fastnn_agree_after_an_epoch():
    pytest.importorskip("fastnn")
    from bench.peers.fastnn_peer import FastnnPeer

    problem = data.make_problem(TRAIN, NOWHERE)
    by_hand, ours = NumpyPeer(), FastnnPeer()
    by_hand.setup(problem, 1)
    ours.setup(problem, 1)
    by_hand.run_epoch(np.arange(len(problem.X)))
    ours.fit(ours.net, ours.optimizer, shuffle=False)
    loss, accuracy = data.judge(by_hand.weights(), problem)
    assert data.judge(ours.weights(), problem) == pytest.approx((loss, accuracy), rel=1e-5)
    for (W, b), (V, c) in zip(ours.weights(), by_hand.weights(), strict=True):
        np.testing.assert_allclose(W, V, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(b, c, rtol=1e-4, atol=1e-5)


def test_numpy_step_descends_along_the_gradient_of_the_judged_loss():
    whole = Workload("G", "train", (8, 16, 3), "synthetic", 64, batch_size=64, learning_rate=0.1)
    problem = data.make_problem(whole, NOWHERE)
    peer = NumpyPeer()
    peer.setup(problem, 1)
    peer.run_epoch(np.arange(64))
    h = 1e-2
    for layer, (row, column) in [(0, (3, 5)), (1, (7, 2))]:
        losses = []
        for sign in (1, -1):
            moved = [(W.copy(), b.copy()) for W, b in problem.weights]
            moved[layer][0][row, column] += sign * h
            losses.append(data.judge(moved, problem)[0])
        slope = (losses[0] - losses[1]) / (2 * h)
        W, V = problem.weights[layer][0], peer.weights()[layer][0]
        step = (W[row, column] - V[row, column]) / whole.learning_rate
        assert step == pytest.approx(slope, rel=0.02, abs=1e-4)


def _result(peer, times, accuracy):
    return driver.Result("T", 1, peer, times=times, loss=0.5, accuracy=accuracy)


def test_ratio_is_of_minima_and_leaves_out_what_does_not_count():
    results = [
        _result("fastnn", [0.2, 0.1, 0.3], 0.97),
        _result("numpy", [0.5, 0.4], 0.971),
        _result("jax", [0.3, 0.6], 0.9655),
        _result("torch", [0.01, 0.02], 0.9600),
    ]
    found = report.group(TRAIN, 1, results, ceiling=TRAIN.flops / 0.05)
    assert [row.counts for row in found.rows] == [True, True, True, False]
    assert found.ratio == pytest.approx(3.0)
    assert found.rows[0].of_ceiling == pytest.approx(0.5)
    assert found.rows[1].to_fastnn == pytest.approx(4.0)
    assert "3.00 times as fast as JAX" in report.verdict(found)
    assert "does not count" in report.text_table(found)
    lines = report.markdown([found], ["fastnn", "numpy", "jax", "torch"]).splitlines()
    assert {line.count("|") for line in lines} == {lines[0].count("|")}


def test_latencies_are_compared_by_medians():
    results = [
        _result("fastnn", [1e-6, 3e-6, 3e-6], 1.0),
        _result("onnxruntime", [2e-6, 6e-6, 9e-6], 1.0),
    ]
    assert report.group(LATENCY, 1, results, None).ratio == pytest.approx(2.0)


def test_a_nan_does_not_count():
    results = [_result(peer, [0.1], 0.97) for peer in ("numpy", "jax", "torch")]
    results[1].accuracy = results[2].loss = math.nan
    found = report.group(TRAIN, 1, results, None)
    assert [row.counts for row in found.rows] == [True, False, False]


def test_flops_are_those_of_the_products():
    small = next(w for w in WORKLOADS if w.id == "W1")
    assert small.flops == 60_000 * (4 * 784 * 100 + 6 * 100 * 10)


def test_workloads_survive_the_way_to_a_worker():
    for workload in WORKLOADS:
        sent = Workload.from_dict(json.loads(json.dumps(workload.as_dict())))
        assert (sent.title, sent.flops) == (workload.title, workload.flops)


def test_selection_by_beginnings_and_refusal_of_unknown_names():
    assert [w.id for w in select(["i3"])] == ["I3a", "I3b", "I3am", "I3bm"]
    assert len(select([])) == len(WORKLOADS)
    with pytest.raises(ValueError, match="unknown workload 'Z9'"):
        select(["Z9"])
    with pytest.raises(ValueError, match="unknown peer 'nobody'"):
        choose(["nobody"])
    assert choose([]) == PEERS


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_gzipped_or_not(tmp_path, suffix):
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    raw = b"\0\0\x08\x03" + np.array(images.shape, ">i4").tobytes() + images.tobytes()
    path = tmp_path / f"images{suffix}"
    path.write_bytes(gzip.compress(raw) if suffix else raw)
    np.testing.assert_array_equal(data.read_idx(path), images)
    assert data.mnist_missing(tmp_path) == data.MNIST_FILES[0]


def test_steps_and_scaling_are_said_beside_their_goals():
    timed = dataclasses.replace(TRAIN, goal_step=4e-6, goal_scaling=1.7)
    groups = [
        report.group(timed, threads, [_result("fastnn", [time], 0.97)], None)
        for threads, time in [(1, 0.4), (2, 0.2)]
    ]
    assert timed.n_steps == 8
    assert list(map(str, goals.list_goals(groups))) == [
        "T: 25 ms a step (goal 4 µs, missed)",
        "W8: 2.00 times as fast as on 1 thread, T (goal 1.7)",
    ]
    assert goals.list_goals(groups[:1])[1:] == []


def test_a_race_ends_at_the_accuracy_and_fails_without_it(monkeypatch):
    monkeypatch.setattr(race, "SEEDS", range(2))
    monkeypatch.setattr(race, "MAX_EPOCHS", 3)
    easy = dataclasses.replace(TRAIN, kind="race", accuracy=0.3)
    results, versions = race.run(easy, [ABSENT, *NUMPY], 1, NOWHERE)
    assert [r.status for r in results] == ["not installed", "ok"]
    assert len(results[1].times) == 2
    assert results[1].accuracy >= 0.3
    assert report.group(easy, 1, results, None).rows[1].figure == np.median(results[1].times)
    assert versions == {"numpy": np.__version__}
    (result,) = race.run(dataclasses.replace(easy, accuracy=1.1), NUMPY, 1, NOWHERE)[0]
    assert result.status.endswith("after 3 epochs")
    (result,) = race.run(dataclasses.replace(easy, optimizer="adam"), NUMPY, 1, NOWHERE)[0]
    assert result.status == "does not do this"


def test_the_cost_of_an_optimizer_is_said_beside_its_goal():
    dear = dataclasses.replace(TRAIN, id="U", goal_over=("T", 1.25))
    groups = [
        report.group(workload, 1, [_result("fastnn", [time], 0.97)], None)
        for workload, time in [(TRAIN, 0.2), (dear, 0.3)]
    ]
    found = list(map(str, goals.list_goals(groups)))
    assert found == ["U: 1.50 times the time of T (goal 1.25, missed)"]


def test_grid_finds_the_cliff_and_draws(tmp_path):
    found = {(64, 1): 0.6, (65, 1): 0.3, (128, 1): 0.5, (64, 8): 0.6, (65, 8): 0.5, (128, 8): 0.5}
    found |= {(192, 1): 0.9, (192, 8): 0.9}
    assert grid.list_cliffs(found) == [
        "batch 1: 65 takes 2.00 times as long as 64",
        "batch 1: 128 takes 1.80 times as long as 192",
        "batch 8: 128 takes 1.80 times as long as 192",
    ]
    assert "60%" in grid.table(found)
    path = tmp_path / "grid.png"
    grid.draw(found, 1, path)
    assert path.stat().st_size > 1000


def test_widths_between_show_whether_there_is_a_cliff(monkeypatch):
    """Slower by and by is none."""
    asked = []

    def measure(widths, batches):
        asked.append((widths, batches))
        rates = {64: 4.0, 128: 3.0, 192: 1.9, 256: 1.5}
        return {(w, b): rates[w] for w in widths for b in batches}

    monkeypatch.setattr(grid, "measure", measure)
    found = {(64, 8): 0.4, (256, 8): 0.15, (320, 8): 0.14}
    assert grid.list_cliffs(found) == ["batch 8: 192 takes 1.58 times as long as 128"]
    assert asked == [([64, 128, 192, 256], [8])]


def test_grid_measures_a_rate_of_each_cell():
    rates = grid.measure([8, 9], [4], seconds=1e-6)
    assert set(rates) == {(8, 4), (9, 4)}
    assert all(rate > 0 for rate in rates.values())


def test_grid_measures_again_what_is_slow_beside_its_neighbour(monkeypatch):
    rates = {8: [4.0], 9: [1.0, 1.5, 3.9], 10: [1.0] * 4}
    monkeypatch.setattr(grid, "_measure_one", lambda width, *_: rates[width].pop(0))
    assert grid.measure([8, 9, 10], [4]) == {(8, 4): 4.0, (9, 4): 3.9, (10, 4): 1.0}
    assert rates == {8: [], 9: [], 10: [1.0]}  # the last, found slow, was slow again


def test_a_turn_has_the_epochs_of_its_workload():
    short = dataclasses.replace(TRAIN, epochs=3)
    (result,), _ = driver.run(short, NUMPY, 1, NOWHERE, rounds=2, epochs=2)
    assert len(result.times) == 12


def test_ratios_ceilings_and_duels_are_judged():
    goal = dataclasses.replace(TRAIN, goal_ratio=3.0, goal_ceiling=0.5)
    results = [_result("fastnn", [0.1], 0.97), _result("jax", [0.2], 0.97)]
    found = report.group(goal, 1, results, ceiling=TRAIN.flops / 0.05)
    assert list(map(str, goals.judge(found))) == [
        "T: 2.00 times as fast as JAX (goal 3, missed)",
        "T: 50% of the FMA ceiling (goal 50%)",
    ]
    duel = dataclasses.replace(LATENCY, duels=(Duel("freeze", "onnxruntime", 3.0),))
    results = [_result("fastnn", [1e-6], 1.0), _result("onnxruntime", [4e-6], 1.0)]
    results[0].call = "freeze"
    (found,) = goals.judge(report.group(duel, 1, results, None))
    assert str(found).endswith("4.00 times as fast as ONNX Runtime, by freeze (goal 3)")


def test_published_numbers_stand_between_their_marks(tmp_path, monkeypatch):
    """One run fills in the page, the README, the JSON and both pictures."""
    for name in ("NUMBERS", "PICTURE", "GRID_PICTURE", "PAGE", "README"):
        monkeypatch.setattr(publish, name, tmp_path / getattr(publish, name).name)
    marks = "before\n<!-- {0}:start -->\nold\n<!-- {0}:end -->\nafter\n"
    publish.PAGE.write_text("".join(map(marks.format, ["table", "goals", "grid", "activations"])))
    publish.README.write_text(marks.format("benchmark"))
    results = [_result("fastnn", [0.2], 1.0), _result("jax", [0.1], 1.0)]
    found = report.group(TRAIN, 1, results, 1e9)
    missed = goals.Goal("T", "a step", "25 ms", "4 µs", False)
    info = {**machine.describe(), "date": "2026-01-01", "figures": [], "versions": {}}
    info |= {"rounds": 5, "epochs": 1, "goals": [missed]}
    own = report.group(ACTIVATIONS, 1, [_result("fastnn", [0.2], None)], None)
    own.rows[0].result.call = "relu"
    publish.publish_activations(info, [found, own])
    publish.publish(info, [found, own], ["fastnn", "jax"], {(64, 1): 0.6, (65, 1): 0.3})
    page, readme = publish.PAGE.read_text(), publish.README.read_text()
    assert "old" not in page + readme
    assert page.count("before") == page.count("after") == 4
    assert "| T | 25 ms a step | 4 µs | no |" in page
    assert "batch 1: 65 takes 2.00 times as long as 64" in page
    assert "| relu | 0.2 s |" in page
    assert (page + readme).count("each activation") == 1  # not in the tables of the peers
    assert "threads: 1" in page
    assert "JAX, 0.1 s" in readme
    assert "A peer was faster in T." in readme
    numbers = json.loads(publish.NUMBERS.read_text())
    assert numbers["rows"][0]["times"] == [0.2]
    assert numbers["grid"][0] == {"width": 64, "batch": 1, "of_ceiling": 0.6}
    for path in (publish.PICTURE, publish.GRID_PICTURE):
        assert f"(pictures/{path.name})" in page
        assert path.stat().st_size > 1000
    with pytest.raises(ValueError, match="has no marks 'table'"):
        publish.fill(publish.README, "table", "")


def test_activations_alone_leave_the_rest_of_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "PAGE", tmp_path / "page.md")
    publish.PAGE.write_text("<!-- activations:start -->\nold\n<!-- activations:end -->\n")
    info = {**machine.describe(), "date": "2026-01-01", "figures": [], "versions": {}}
    info |= {"rounds": 5, "epochs": 1, "goals": []}
    options = bench_main.parse(["A", "--publish"])
    result = _result("fastnn", [0.2], None)
    result.call = "relu"
    bench_main.write(options, info, [report.group(ACTIVATIONS, 2, [result], None)], ["fastnn"])
    assert "| relu | 0.2 s |" in publish.PAGE.read_text()
    assert "old" not in publish.PAGE.read_text()


def test_one_thread_is_run_beside_all_where_the_gain_is_a_goal():
    options = bench_main.parse(["W1n", "W2n", "--peers", "fastnn,numpy"])
    runs = [(w.id, n, len(peers)) for w, n, peers in bench_main.list_runs(options, cpus=4)]
    assert runs == [("W1n", 1, 1), ("W1n", 4, 2), ("W2n", 4, 2)]
    options = bench_main.parse(["A", "--peers", "fastnn,numpy", "--threads", "1"])
    assert [(w.id, n, [p.key for p in peers]) for w, n, peers in options.runs] == [
        ("A", 1, ["fastnn"])
    ]
    options = bench_main.parse(["W1n", "--threads", "1"])
    assert [(w.id, n) for w, n, _ in options.runs] == [("W1n", 1)]
