"""benchmarks/search.py: searches over foretold learning curves, and how they are compared."""

import importlib.util
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TRAININGS = 60


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    """The script; its folder is not put on the path, for it has a module `storage`."""
    before = sys.path.copy()
    spec = importlib.util.spec_from_file_location("search_benchmark", BENCHMARKS / "search.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = before


@pytest.fixture(scope="module")
def curves(benchmark: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trainings that are the better the nearer the learning rate is to 1e-2."""
    from curve_tasks import EPOCHS, plan_of

    from study._random import RandomSuggester

    folder, suggester = tmp_path_factory.mktemp("curves"), RandomSuggester(0)
    rows = [plan_of("digits").space.sample(suggester) for _ in range(TRAININGS)]
    ends = [1 - 0.2 * abs(math.log10(row["lr"]) + 2) for row in rows]
    values = np.array(ends)[:, None] * np.linspace(0.5, 1, EPOCHS)
    text = np.frombuffer(json.dumps(rows).encode(), np.uint8)
    np.savez(folder / "digits.npz", parameters=text, curves=values, seconds=np.ones(TRAININGS))
    return folder


@pytest.fixture
def job(curves: Path) -> tuple[Any, ...]:
    return "digits", "random, halving", 4, 0, 3000, 0.01, str(curves)


def result(**given: Any) -> dict[str, Any]:
    common = {"task": "digits", "slots": 8, "seed": 0, "of": "", "goal": 0.01, "reached": True, "trials": 9}
    return common | {"method": "random", "epochs": 900, "course": [[300, 0.05], [900, 0.01]]} | given


def test_a_recorded_configuration_is_foretold_what_it_had(benchmark: ModuleType, curves: Path) -> None:
    table = benchmark.table_for("digits", str(curves))
    with np.load(curves / "digits.npz") as known:
        rows, values = json.loads(known["parameters"].tobytes()), known["curves"]

    curve, seconds = table.curve(rows[7], [1])

    assert curve == pytest.approx(values[7])
    assert seconds == 1
    assert table.value(curve) == pytest.approx(values[7].max())


def test_the_goal_is_the_regret_that_one_random_configuration_in_a_hundred_has(
    benchmark: ModuleType, curves: Path
) -> None:
    table = benchmark.table_for("digits", str(curves))

    within = np.mean([table.regret(value) <= table.target(0.0) for value in table._values])

    assert within == pytest.approx(0.01, abs=0.005)
    assert table.target(0.5) == 0.5
    assert table.regret(table.best) == 0


def test_a_search_ends_when_it_comes_to_the_goal_and_is_the_same_again(
    benchmark: ModuleType, job: tuple[Any, ...]
) -> None:
    first = benchmark.run(job)

    assert first["reached"]
    assert first["course"][-1][0] == first["epochs"] < 3000
    assert first["course"][-1][1] <= first["goal"]
    assert all(before[1] > after[1] for before, after in zip(first["course"], first["course"][1:], strict=False))
    assert benchmark.run(job) == first


def test_a_search_that_does_not_come_to_the_goal_uses_all_its_epochs(
    benchmark: ModuleType, job: tuple[Any, ...]
) -> None:
    found = benchmark.run((*job[:4], 20, *job[5:]))

    assert (found["reached"], found["epochs"]) == (False, 20)


@pytest.mark.parametrize("method", ["foreseeing sampler", "foreseeing pruner"])
def test_who_foresees_how_trials_end_trains_one_to_its_end(
    method: str, benchmark: ModuleType, job: tuple[Any, ...]
) -> None:
    found = benchmark.run((job[0], method, 1, *job[3:]))

    assert found["reached"]
    assert len(found["course"]) == 1
    assert found["epochs"] == (found["trials"] - 1 + 27 if method == "foreseeing pruner" else 27)


def test_searches_in_the_files_are_not_repeated_and_the_first_file_then_holds_all(
    benchmark: ModuleType, job: tuple[Any, ...], tmp_path: Path
) -> None:
    other = (*job[:3], 1, *job[4:])
    marked = benchmark.run((*job[:4], 3000, *job[5:])) | {"trials": -1}
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    second.write_text(json.dumps([marked]), encoding="utf-8")

    found = benchmark.results_of([job, other], [first, second], 1)

    assert [r["trials"] == -1 for r in found] == [True, False]
    assert sorted(r["seed"] for r in json.loads(first.read_text(encoding="utf-8"))) == [0, 1]


def test_a_search_is_repeated_if_its_result_is_too_short_or_of_other_curves(
    benchmark: ModuleType, job: tuple[Any, ...], tmp_path: Path
) -> None:
    short = benchmark.run((*job[:4], 20, *job[5:])) | {"trials": -1}
    foreign = benchmark.run(job) | {"trials": -1, "of": "other curves"}
    file = tmp_path / "known.json"
    file.write_text(json.dumps([short, foreign]), encoding="utf-8")

    (found,) = benchmark.results_of([job], [file], 1)

    assert found["trials"] > 0
    assert found["reached"]


def test_a_longer_result_is_cut_to_the_epochs_that_are_asked_for(
    benchmark: ModuleType, job: tuple[Any, ...], tmp_path: Path
) -> None:
    file, whole = tmp_path / "known.json", benchmark.run(job)
    file.write_text(json.dumps([whole]), encoding="utf-8")

    (found,) = benchmark.results_of([(*job[:4], whole["epochs"] - 1, *job[5:])], [file], 1)

    assert (found["reached"], found["epochs"]) == (False, whole["epochs"] - 1)
    assert len(found["course"]) == len(whole["course"]) - 1


def test_a_file_of_something_else_is_refused_by_name(benchmark: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text('[{"task": "digits"}]', encoding="utf-8")

    with pytest.raises(ValueError, match=r"other\.json holds no results of this benchmark"):
        benchmark.results_of([], [file], 1)


def test_the_ratio_is_of_the_same_seeds_and_without_spread_exact(benchmark: ModuleType) -> None:
    from search_table import paired_ratio

    assert paired_ratio([200, 40, 6], [100, 20, 3]) == pytest.approx((2, 2, 2))
    mean, low, high = paired_ratio([100, 400], [100, 100])
    assert mean == pytest.approx(2)
    assert low < 1 < mean < high
    assert low * high == pytest.approx(mean**2)  # symmetric on logarithms
    assert paired_ratio([4], [1]) == pytest.approx((4, 0, math.inf))


def test_regret_is_in_units_of_the_goal_and_infinite_before_a_trial_is_complete(benchmark: ModuleType) -> None:
    from search_table import regret_at

    of = result()

    assert [regret_at(of, epochs) for epochs in (299, 300, 899, 3000)] == pytest.approx([math.inf, 5, 5, 1])


def test_the_table_gives_medians_misses_regrets_and_ratios(benchmark: ModuleType) -> None:
    from search_table import table_of

    ours = {"method": "ours", "epochs": 300, "course": [[300, 0.008]]}
    missed = {"reached": False, "epochs": 3000, "course": [[300, 0.05]], "seed": 1}
    results = [result(), result(**missed), result(**ours), result(**ours, seed=1)]

    head, random, own = table_of(results, ["random", "ours"], {"digits": ["digits"]}, [8])

    assert head.split()[:5] == ["tasks", "slots", "method", "median", "not"]
    assert random.split() == ["digits", "8", "random", "1950", "1/2", "5.00", "5.00", "5.00"]
    assert own.split()[:8] == ["digits", "8", "ours", "300", "0/2", "1.00", "1.00", "1.00"]
    assert own.split()[8] == "5.48"  # the geometric mean of 3 and 10
