import math
import re
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread
from optuna.trial import TrialState
from summaries import BEGAN, summary, trial

from storage.database import Database
from storage.errors import StudyMissing
from study._comparison_page import comparison_page
from study.comparing import Compared, compare, comparison, curve_of
from study.figures.comparison import comparison_png
from study.leaders import leaders
from study.screen.comparison import differences, results


def ended(number: int, minutes: float, state: TrialState = TrialState.COMPLETE, **fields: Any) -> Any:
    return trial(number, state, started_at=BEGAN, ended_at=BEGAN + timedelta(minutes=minutes), **fields)


ROWS = [
    ended(0, 10, value=0.5, values={1: 0.4, 2: 0.5}),
    ended(1, 40, value=0.7, values={1: 0.6, 2: 0.7, 3: 0.7}),
    ended(2, 20, TrialState.PRUNED, value=0.9, values={1: 0.9}),
    ended(3, 30, TrialState.FAIL, failure="error"),
    ended(4, 120, value=0.6, values={1: 0.6}),
    trial(5, TrialState.RUNNING, started_at=BEGAN, values={1: 0.1}),
    trial(6, ours=False, value=0.99),
]
CONFIG = {
    "study.name": "q",
    "data.split.seed": 42,
    "training.epochs": 3,
    "space.model": ["cnn"],
    "search.sampler.name": "tpe",
}


def study(name: str = "q", rows: Any = ROWS, **fields: Any) -> Compared:
    one = summary(rows, name=name)
    known: dict[str, Any] = {
        "name": name,
        "state": one.state,
        "metric": "accuracy",
        "direction": "maximize",
        "best": next(iter(leaders(rows, "maximize")), None),
        "test": None,
        "counts": one.counts,
        "failures": one.failures,
        "device_seconds": one.device_seconds,
        "epochs": 8,
        "wall_s": 7200.0,
        "rate": 2.5,
        "curve": curve_of(rows, "maximize"),
        "config": CONFIG | {"study.name": name},
        "fingerprint": {"sha256": "a", "events": 200},
    }
    return Compared(**{**known, **fields})


def test_a_curve_has_a_point_per_trial_in_the_order_of_their_ends() -> None:
    curve = curve_of(ROWS, "maximize")

    assert list(curve.trials) == [1, 2, 3, 4, 5]
    assert curve.epochs == [2, 3, 3, 6, 7]
    assert curve.seconds == [600.0, 1200.0, 1800.0, 2400.0, 7200.0]
    assert curve.best == [0.5, 0.5, 0.5, 0.7, 0.7]


def test_a_curve_that_is_minimised_falls() -> None:
    assert curve_of([ended(0, 1, value=0.5), ended(1, 2, value=0.7), ended(2, 3, value=0.1)], "minimize").best == [
        *(0.5, 0.5, 0.1)
    ]


def test_a_study_without_trials_has_an_empty_curve() -> None:
    curve = curve_of([], "maximize")

    assert [list(part) for part in (curve.trials, curve.epochs, curve.seconds, curve.best)] == [[], [], [], []]


def test_only_keys_that_differ_are_told_and_names_never() -> None:
    other = study("r", config=CONFIG | {"training.epochs": 5, "study.name": "r", "extra": None, "search.option": 1})

    found = comparison([study(), other, study("s")])

    assert found.differences == {"training.epochs": [3, 5, 3], "search.option": [None, 1, None]}
    assert found.warnings == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"metric": "auc"}, "different metrics (q: maximize accuracy, r: maximize auc)"),
        ({"direction": "minimize"}, "different metrics (q: maximize accuracy, r: minimize accuracy)"),
        ({"fingerprint": {"sha256": "b", "events": 200}}, "q and r have different data (sha256 differ)"),
        ({"config": CONFIG | {"data.split.seed": 1}}, "judged by different events"),
    ],
)
def test_values_that_cannot_be_compared_are_warned_of(changed: dict[str, Any], words: str) -> None:
    (warning,) = comparison([study(), study("r", **changed)]).warnings

    assert words in warning


def test_the_table_has_a_row_per_study() -> None:
    table = results(comparison([study(test=0.65), study("new", rows=[], epochs=0, wall_s=0.0, rate=None)]))

    assert dict(zip(table[0], table[1], strict=True)) == {
        "study": "q",
        "state": "running",
        "best": "0.7000",
        "trial": "1",
        "test": "0.6500",
        "metric": "accuracy (max)",
        "complete": "3",
        "pruned": "1",
        "fail": "1",
        "running": "1",
        "failures": "1 error",
        "epochs": "8",
        "GPU-h": "0.10",
        "wall time": "2h00m",
        "trials/h": "2.5",
    }
    assert table[2] == ["new", "running", "", "", "", "accuracy (max)", "0", "0", "0", "0", "", "0", "0.00", "", ""]


def test_differences_are_shown_as_they_stand_in_a_study_file() -> None:
    other = study("r", config=CONFIG | {"space.model": ["cnn", "mlp"], "search.sampler.name": "random", "new": True})

    assert differences(comparison([study(), other])) == [
        ["key", "q", "r"],
        ["new", "", "true"],
        ["search.sampler.name", "tpe", "random"],
        ["space.model", '["cnn"]', '["cnn", "mlp"]'],
    ]
    assert differences(comparison([study()])) == []


def test_the_picture_is_1200_pixels_wide_and_takes_any_studies() -> None:
    nothing = study("[b] $x_ <i>", rows=[], wall_s=0.0)
    undefined = study("nan", rows=[ended(0, 1, value=math.nan)])

    for studies in ([study()], [nothing], [study(), nothing, undefined, study("r", metric="auc")], [study()] * 12):
        assert imread(BytesIO(comparison_png(studies))).shape[1] == 1200


def test_the_page_is_one_file_and_shows_names_as_they_are() -> None:
    named = study("<script>alert(1)</script>&", config=CONFIG | {"space.model": ["<b>"]})

    page = comparison_page(comparison([study(), replace(named, metric="<i>")]), b"png")

    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;" in page
    assert "<td>[&quot;&lt;b&gt;&quot;]</td>" in page
    assert 'class="warning"' in page
    assert set(re.findall(r'(?:src|href)="([^",]*)', page)) == {"data:image/png;base64"}


def test_an_unknown_study_is_told_with_the_known_ones(sqlite_url: str, tmp_path: Path) -> None:
    database = Database(sqlite_url)

    with pytest.raises(StudyMissing, match=r"no study 'q', 'r' in .*; known are: none"):
        compare(database, ["q", "r"])
    database.close()
