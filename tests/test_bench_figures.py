"""What the benchmarks tell beside the workloads: M1, S1 and S2."""

from bench import footprint, goals, many


def test_many_networks_are_measured_and_judged(monkeypatch):
    monkeypatch.setattr(many, "TRAIN", "print(8.5)")
    assert [str(goal) for goal in goals.judge_many(2)] == [
        "M1: 8.50 times the time of one network of W6 on one core, for 16 by fit_many (goal 9)"
    ]
    monkeypatch.setattr(many, "TRAIN", "print(9.5)")
    assert "missed" in str(goals.judge_many(2)[0])
    monkeypatch.setattr(many, "TRAIN", "import nothing_of_this_name")
    assert goals.judge_many(2) == []


def test_footprint_measures_a_package_that_imports():
    assert 0 < footprint.installed_size() < 50e6
    assert footprint.import_time(repeats=1) > -1
