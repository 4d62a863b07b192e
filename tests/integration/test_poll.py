"""The polled answers are optuna-dashboard's own, for every kind of study and however a study grows."""

import json
import math
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from wsgiref.types import WSGIApplication

import optuna
import pytest
from browsing import Reply, ask
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial
from optuna_dashboard import save_note, wsgi
from optuna_dashboard._custom_plot_data import save_graph_object_json

from storage.trial_storage import TrialStorage
from storage.trials import open_storage
from study.web import _gzip, _trials
from study.web.application import make_application
from study.web.guard import GuardSettings

ARTIFACT = json.dumps({"artifact_id": "a1", "filename": "curve.csv", "mimetype": "text/csv", "encoding": None})
SPACE = {
    "lr": FloatDistribution(1e-5, 1.0, log=True),
    "depth": IntDistribution(1, 8),
    "act": CategoricalDistribution(("relu", "gelu", None)),
}
PARAMETERS = {"lr": 0.1, "depth": 2, "act": "gelu"}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_trials, "BLOCK", 3)


@pytest.fixture
def storage(url: str) -> Iterator[TrialStorage]:
    """What a program writes through while the dashboard reads through another."""
    opened = open_storage(url)
    yield opened
    opened.close()


@pytest.fixture
def ours(url: str) -> Iterator[WSGIApplication]:
    opened = open_storage(url)
    yield make_application(opened, guard=GuardSettings(None))
    opened.close()


Stock = Callable[[str], Reply]


@pytest.fixture
def stock(url: str) -> Iterator[Stock]:
    """Ask an optuna-dashboard that knows nothing yet."""
    opened = open_storage(url)
    yield lambda path: ask(wsgi(opened), path, accept_encoding="")
    opened.close()


def single(storage: TrialStorage, name: str = "single") -> optuna.Study:
    """Trials in every state, and odd values."""
    study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
    study.add_trials(
        [
            create_trial(params=PARAMETERS, distributions=SPACE, value=value, user_attrs=attributes)
            for value, attributes in [
                (0.5, {"loss": 1.5, "worker": "a:0", "flag": True, "list": [1, 2], "long": ["x" * 2000]}),
                (0.9, {"loss": "n/a", "count": 3}),
                (0.9, {}),
                (-math.inf, {"text": "ü\n\"'"}),
                (0.1, {}),
            ]
        ]
    )
    wider = SPACE | {"lr": FloatDistribution(1e-7, 0.5, log=True), "act": CategoricalDistribution(("silu", "relu"))}
    steps = {3: math.nan, 1: 0.5, 2: math.inf, 4: -math.inf}
    for state, only in ((TrialState.PRUNED, IntDistribution(2, 2)), (TrialState.FAIL, IntDistribution(0, 8, step=2))):
        parameters = {"lr": 0.2, "depth": 3, "act": "silu", "only": 2}
        distributions = wider | {"only": only}
        study.add_trial(
            create_trial(state=state, params=parameters, distributions=distributions, intermediate_values=steps)
        )
    return study


def running(study: optuna.Study) -> optuna.Trial:
    trial = study.ask({name: kind for name, kind in SPACE.items() if name != "act"})
    trial.report(0.25, 1)
    return trial


def decorated(storage: TrialStorage) -> None:
    """Files, notes, constraints, names, plots, waiting and running trials."""
    study = single(storage, "decorated")
    study.set_user_attr("owner", {"name": "Ada"})
    trial = running(study)
    trial.set_user_attr("gpu", "cuda:0")
    storage.set_trial_system_attr(trial._trial_id, "constraints", [0.5, -1.0])
    storage.set_trial_system_attr(trial._trial_id, "artifacts:a1", ARTIFACT)
    study.tell(trial, 0.7)
    running(study)
    study.enqueue_trial({"lr": 0.3})
    first = study.get_trials(deepcopy=False)[0]._trial_id
    storage.set_study_system_attr(study._study_id, f"dashboard:artifacts:{first}:a1", ARTIFACT)
    storage.set_study_system_attr(study._study_id, "artifacts:a1", ARTIFACT)
    storage.set_study_system_attr(study._study_id, "artifacts:a2", "null")
    storage.set_study_system_attr(study._study_id, "study:metric_names", ["accuracy"])
    save_note(study, "# Results\n" + "long " * 1000)
    note(study, 1, "odd curve")
    for name in ("zeta", "alpha", "mid"):
        plot(study, name, "x" * 5000)


def note(study: optuna.Study, number: int, text: str) -> None:
    trial_id = study.get_trials(deepcopy=False)[number]._trial_id
    storage = study._storage
    version = storage.get_study_system_attrs(study._study_id).get(f"dashboard:{trial_id}:note_ver", 0)
    storage.set_study_system_attr(study._study_id, f"dashboard:{trial_id}:note_ver", version + 1)
    storage.set_study_system_attr(study._study_id, f"dashboard:{trial_id}:note_str:0", text)


def plot(study: optuna.Study, name: str, text: str) -> None:
    save_graph_object_json(study._storage, study._study_id, f"dashboard:plot_data:{name}:", json.dumps([text]))


def several(storage: TrialStorage, directions: list[str]) -> None:
    """Many points on a coarse grid, so that there are equal and dominated ones."""
    study = optuna.create_study(study_name=f"objectives{len(directions)}", storage=storage, directions=directions)
    for number in range(30):
        values = [float((number * (7 + 4 * place)) % 5) for place in range(len(directions))]
        study.add_trial(create_trial(values=[math.inf, *values[1:]] if number == 4 else values))
    study.add_trial(create_trial(state=TrialState.FAIL))


def preferential(storage: TrialStorage) -> None:
    study = single(storage, "preferential")
    storage.set_study_system_attr(study._study_id, "preference:is_preferential", True)


KINDS: dict[str, Callable[[TrialStorage], Any]] = {
    "empty": lambda storage: optuna.create_study(study_name="empty", storage=storage),
    "single": single,
    "decorated": decorated,
    "two objectives": lambda storage: several(storage, ["minimize", "maximize"]),
    "three objectives": lambda storage: several(storage, ["maximize", "minimize", "minimize"]),
    "preferential": preferential,
    "running only": lambda storage: running(optuna.create_study(study_name="running", storage=storage)),
}


def plain(reply: Reply) -> tuple[int, Any]:
    """Status and tree, without orders that optuna-dashboard leaves to chance."""
    tree = reply.tree
    if isinstance(tree, dict) and "trials" in tree:
        tree["plotly_graph_objects"].sort(key=lambda found: found["id"])
        tree["union_user_attrs"].sort(key=lambda found: found["key"])
        for space in (tree["union_search_space"], tree["intersection_search_space"]):
            for entry in space:
                entry["distribution"].get("choices", []).sort(key=str)
            space.sort(key=str)
    return reply.status, tree


def comparable(reply: Reply) -> str:
    """As text, since NaN is not equal to itself."""
    return json.dumps(plain(reply), sort_keys=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("query", ["", "?after=0", "?after=2", "?after=3", "?after=7", "?after=1000", "?after=-1"])
def test_the_answer_is_optuna_dashboards(
    kind: str, query: str, sqlite_url: str, both: Callable[[str], tuple[WSGIApplication, Stock]]
) -> None:
    storage = open_storage(sqlite_url)
    KINDS[kind](storage)
    storage.close()
    ours, stock = both(sqlite_url)

    for encoding in ("gzip", ""):
        reply = ask(ours, f"/api/studies/1{query}", accept_encoding=encoding)
        assert comparable(reply) == comparable(stock(f"/api/studies/1{query}"))
        assert reply.headers["content-length"] == str(len(reply.body))


@pytest.fixture
def both() -> Iterator[Callable[[str], tuple[WSGIApplication, Stock]]]:
    """Ours and optuna-dashboard's on one database."""
    opened: list[TrialStorage] = []

    def open_both(url: str) -> tuple[WSGIApplication, Stock]:
        opened.extend((open_storage(url), open_storage(url)))
        ours = make_application(opened[-1], guard=GuardSettings(None))
        return ours, lambda path: ask(wsgi(opened[-2]), path, accept_encoding="")

    yield open_both
    for storage in opened:
        storage.close()


def test_the_answer_stays_optuna_dashboards_while_the_study_grows(
    storage: TrialStorage, ours: WSGIApplication, stock: Stock
) -> None:
    study = optuna.create_study(storage=storage, direction="maximize")
    path = f"/api/studies/{study._study_id}"
    trials = [running(study) for _ in range(5)]
    changes: list[Callable[[], Any]] = [
        lambda: trials[3].report(0.5, 2),
        lambda: study.tell(trials[4], 0.5),
        lambda: study.tell(trials[2], 0.5),
        lambda: trials[0].set_user_attr("gpu", "cuda:0"),
        lambda: study.tell(trials[0], state=TrialState.FAIL),
        lambda: study.add_trials([create_trial(value=0.1, user_attrs={"gpu": 1})] * 4),
        lambda: study.tell(trials[1], 0.75),
        lambda: note(study, 1, "the best"),
        lambda: note(study, 4, "another"),
        lambda: note(study, 1, "still the best"),
        lambda: plot(study, "curves", "y"),
        lambda: study.tell(trials[3], state=TrialState.PRUNED),
        lambda: study.enqueue_trial({"lr": 0.2}),
        lambda: running(study),
        lambda: study.set_user_attr("owner", "Ada"),
    ]

    for change in changes:
        change()
        for after in (0, 1, 4):
            reply = ask(ours, f"{path}?after={after}", accept_encoding="gzip")
            assert comparable(reply) == comparable(stock(f"{path}?after={after}"))


def test_a_study_that_took_the_ids_of_a_deleted_one_is_not_mixed_with_it(
    storage: TrialStorage, ours: WSGIApplication, stock: Stock
) -> None:
    for count in (6, 8, 2):
        study = optuna.create_study(study_name="same", storage=storage)
        study.add_trials([create_trial(value=float(count), params={}, distributions={}) for _ in range(count)])
        running(study)
        path = f"/api/studies/{study._study_id}"

        assert comparable(ask(ours, path)) == comparable(stock(path))
        optuna.delete_study(study_name="same", storage=storage)


def test_unknown_and_deleted_studies_are_not_found(storage: TrialStorage, ours: WSGIApplication, stock: Stock) -> None:
    study = single(storage)
    path = f"/api/studies/{study._study_id}"
    ask(ours, path)
    optuna.delete_study(study_name="single", storage=storage)

    assert plain(ask(ours, path)) == plain(stock(path)) == (404, {"reason": f"study_id={study._study_id} is not found"})
    assert ask(ours, "/api/studies/99").status == 404


@pytest.mark.parametrize("after", ["x", "", "1.5", "-3"])
def test_a_bad_number_is_refused(storage: TrialStorage, ours: WSGIApplication, after: str) -> None:
    study = single(storage)

    reply = ask(ours, f"/api/studies/{study._study_id}?after={after}")

    assert (reply.status, reply.tree) == (400, {"reason": "`after` should be larger or equal 0."})


def test_several_pages_may_ask_at_once_while_trials_finish(
    storage: TrialStorage, ours: WSGIApplication, stock: Stock
) -> None:
    study = optuna.create_study(storage=storage)
    path = f"/api/studies/{study._study_id}"

    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ask, ours, f"{path}?after={number % 4}") for number in range(40)]
        for number in range(10):
            study.tell(running(study), float(number))
    counts = [len(answer.result().tree["trials"]) for answer in asked]

    assert all(count <= 10 for count in counts)
    assert comparable(ask(ours, path)) == comparable(stock(path))


def test_an_answer_that_has_not_changed_is_not_sent_again(storage: TrialStorage, ours: WSGIApplication) -> None:
    study = single(storage)
    trial = running(study)
    path = f"/api/studies/{study._study_id}?after=2"
    tag = ask(ours, path).headers["etag"]

    same = ask(ours, path, if_none_match=tag, accept_encoding="gzip")
    trial.report(0.5, 2)
    other = ask(ours, path, if_none_match=tag)

    assert (same.status, same.body, same.headers["etag"]) == (304, b"", tag)
    assert same.headers["cache-control"] == "private, no-cache"
    assert other.status == 200
    assert other.headers["etag"] != tag


def test_a_server_that_starts_again_knows_its_former_answers(storage: TrialStorage, url: str) -> None:
    study = single(storage)
    tags = []
    for _ in range(2):
        opened = open_storage(url)
        application = make_application(opened, guard=GuardSettings(None))
        tags.append(ask(application, f"/api/studies/{study._study_id}").headers["etag"])
        opened.close()

    assert tags[0] == tags[1]


def test_plots_and_attributes_come_in_the_order_of_their_names(storage: TrialStorage, ours: WSGIApplication) -> None:
    decorated(storage)

    tree = ask(ours, f"/api/studies/{storage.get_study_id_from_name('decorated')}").tree

    assert [found["id"] for found in tree["plotly_graph_objects"]] == ["alpha", "mid", "zeta"]
    names = [found["key"] for found in tree["union_user_attrs"]]
    assert names == sorted(names)


def test_the_list_of_studies_is_optuna_dashboards(storage: TrialStorage, ours: WSGIApplication, stock: Stock) -> None:
    for make in KINDS.values():
        make(storage)

    assert plain(ask(ours, "/api/studies")) == plain(stock("/api/studies"))


def test_each_finished_trial_is_written_once(
    storage: TrialStorage, ours: WSGIApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = single(storage)
    running(study)
    written: list[int] = []
    serialize = _trials.serialize_frozen_trial
    monkeypatch.setattr(
        _trials, "serialize_frozen_trial", lambda *given: (written.append(given[1].number), serialize(*given))[1]
    )

    for _ in range(3):
        ask(ours, f"/api/studies/{study._study_id}?after=0")

    assert sorted(set(written)) == list(range(8))
    assert len(written) <= 8 + 1  # the best one stands there twice


def test_every_get_route_of_optuna_dashboard_is_known_to_change_nothing(sqlite_url: str) -> None:
    storage = open_storage(sqlite_url)
    application: Any = wsgi(storage)
    storage.close()

    assert {route.rule for route in application.routes if route.method == "GET"} == {
        "/",
        "/dashboard<:re:(/.*)?>",
        "/api/meta",
        "/api/studies",
        "/api/studies/<study_id:int>",
        "/api/studies/<study_id:int>/param_importances",
        "/api/studies/<study_id:int>/plot/<plot_type>",
        "/csv/<study_id:int>",
        "/favicon.ico",
        "/static/<filename:path>",
        "/incompatible-rdb-schema",
        "/artifacts/<study_id:int>/<artifact_id:re:[0-9a-fA-F-]+>",
        "/artifacts/<study_id:int>/<trial_id:int>/<artifact_id:re:[0-9a-fA-F-]+>",
    }


@given(st.lists(st.binary(max_size=3000), max_size=12))
def test_pieces_joined_are_one_gzip_stream(parts: list[bytes]) -> None:
    pieces = [_gzip.compressed(part) for part in parts]

    stream = zlib.decompressobj(16 + zlib.MAX_WBITS)  # checks the CRC and the length, and reads one member only
    found = stream.decompress(b"".join(_gzip.joined(pieces)))

    assert found == b"".join(parts)
    assert stream.eof
    assert not stream.unused_data
    assert [_gzip.inflated(piece) for piece in pieces] == parts
