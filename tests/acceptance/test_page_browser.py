"""Our page in a real browser, on studies that real processes run."""

import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import browsing
import optuna
import pytest
from browsing import browser, fetch
from lab import CNN, ODD, Lab, started, until
from playwright.sync_api import Browser, Page, expect

from storage import agents
from storage.agents import WorkerSeen
from storage.trials import open_storage
from study.artifacts import StudyArtifacts
from study.web.application import make_application
from study.web.guard import GuardSettings
from study.web.page import make_page

MOODY = ODD | {"odd.mood": {"choice": ["calm", "error", "nan"]}}
NASTY = "<img src=x onerror=alert(1)>"
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1200, "height": 900}
PATIENCE_MS = 60_000
SLOW = {
    "space": ODD | {"odd.pause": 0.4},
    "training": {"epochs": 30},
    "search": {"pruner": "none"},
    "budget": {"trials": 2},
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@contextmanager
def served(url: str) -> Iterator[str]:
    """The dashboard with our page; its address."""
    storage = open_storage(url)
    pages = {"/studyhall": make_page(storage.database)}
    files = StudyArtifacts(storage.database)
    application = make_application(storage, guard=GuardSettings(token=None), artifact_store=files, pages=pages)
    try:
        with browsing.served(application) as address:
            yield address
    finally:
        storage.close()


class Visit:
    """One page, and whatever its console complained of."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.complaints: list[str] = []
        self.dialogs: list[str] = []
        page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))

    def go(self, path: str) -> Page:
        """Open a page of ours and wait for its first answer."""
        self.page.goto(f"{self.address}/studyhall/{path}")
        self.page.wait_for_selector("h1", timeout=PATIENCE_MS)
        return self.page

    @property
    def fits(self) -> bool:
        """Whether nothing can be scrolled sideways but boxes of their own."""
        inside: bool = self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        return inside


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Visit]]:
    contexts = []

    def open_page(address: str, viewport: Any = DESK) -> Visit:
        contexts.append(chromium.new_context(viewport=viewport))
        return Visit(contexts[-1].new_page(), address)

    yield open_page
    for context in contexts:
        context.close()


def test_all_studies_are_seen_and_a_name_runs_no_script(lab: Lab, visit: Callable[..., Visit]) -> None:
    lab.create("first", budget={"trials": 1})
    lab.create("second", budget={"trials": 2})
    lab.work("first", workers=1)
    storage = open_storage(lab.url)
    optuna.create_study(study_name=NASTY, storage=storage).optimize(lambda trial: 1.0, n_trials=1)
    storage.close()

    with served(lab.url) as address:
        seen = visit(address)
        page = seen.go("")
        rows = page.locator("tbody tr")
        expect(rows).to_have_count(3, timeout=PATIENCE_MS)
        names = [text.split("\n")[0] for text in rows.locator("th").all_inner_texts()]
        page.fill("#filter", "first finished")
        expect(rows).to_have_count(1)

        assert {name.removesuffix(" Optuna") for name in names} == {"first", "second", NASTY}
        assert page.locator("main img").count() == 0
        assert (seen.complaints, seen.dialogs) == ([], [])


def test_the_pages_of_a_running_study_and_trial_change_without_a_reload(lab: Lab, visit: Callable[..., Visit]) -> None:
    lab.create(**SLOW)
    process = lab.start("worker", "q", "--workers", "2")
    assert until(lambda: any(trial.values for trial in lab.trials()))

    with served(lab.url) as address:
        of_study, of_trial = visit(address), visit(address)
        study, trial = of_study.go("study/q"), of_trial.go("study/q/trial/0")
        for page in (study, trial):
            page.evaluate("globalThis.loadedOnce = true")
        epochs = study.locator("[data-label=epoch]").first
        before = epochs.inner_text(timeout=PATIENCE_MS)
        curve = trial.locator("figure path.line").first
        drawn = curve.get_attribute("d", timeout=PATIENCE_MS)

        expect(epochs).not_to_have_text(before, timeout=PATIENCE_MS)
        expect(curve).not_to_have_attribute("d", drawn or "", timeout=PATIENCE_MS)
        assert study.evaluate("loadedOnce")
        assert trial.evaluate("loadedOnce")
        assert of_study.complaints + of_trial.complaints == []
    process.terminate()
    process.communicate(timeout=60)


def test_a_workers_gpu_and_a_device_out_of_service_are_seen(lab: Lab, visit: Callable[..., Visit]) -> None:
    lab.create()
    storage = open_storage(lab.url)
    agent = agents.register_agent(storage.database, lab.record().study_id, alive_s=60.0)
    gpu = {"gpu_utilisation": 87.4, "gpu_used_mb": 12600.0, "gpu_total_mb": 81920.0, "gpu_power_w": 251.0}
    seen = [WorkerSeen(0, 11, "cuda:0", **gpu), WorkerSeen(1, 12, "cuda:1", quarantined="GPU is lost")]
    agents.see_agent(storage.database, agent, seen)
    storage.close()

    with served(lab.url) as address:
        shown = visit(address)
        page = shown.go("study/q")
        row = page.locator("tr", has_text="cuda:0#0")
        expect(row).to_contain_text("87 %", timeout=PATIENCE_MS)
        expect(row).to_contain_text("12.6 GB of 81.9 GB")
        expect(row).to_contain_text("251 W")
        out_of_service = page.locator("tr", has_text="cuda:1#1")
        expect(out_of_service.locator(".badge")).to_have_text("quarantined")
        expect(out_of_service).to_contain_text("GPU is lost")
        expect(page.locator(".warning").first).to_have_text("1 device quarantined")

        assert shown.complaints == []


def test_failures_are_grouped_and_their_traceback_opens(lab: Lab, visit: Callable[..., Visit]) -> None:
    moods = ("error", "error", "nan", "calm")
    lab.create(space=MOODY, budget={"trials": 4}, queue=[{"odd.mood": mood} for mood in moods])
    lab.work(workers=1)
    assert started(lab.trials()) == 4

    with served(lab.url) as address:
        seen = visit(address)
        page = seen.go("study/q")
        groups = page.locator("details.failure")
        expect(groups).to_have_count(2, timeout=PATIENCE_MS)
        errors = groups.filter(has_text="the user's own mistake")
        errors.locator("summary").click()
        errors.get_by_role("button").click()

        expect(errors.locator("summary")).to_contain_text("2 ×")
        expect(errors.locator("pre")).to_contain_text("Traceback (most recent call last)")
        assert seen.complaints == []


def test_chosen_trials_are_compared_by_their_differences_alone(lab: Lab, visit: Callable[..., Visit]) -> None:
    queue = [{"odd.mood": "calm", "lr": lr, "momentum": 0.9} for lr in (0.01, 0.02)]
    lab.create(space=ODD | {"odd.mood": "calm"}, budget={"trials": 2}, search={"pruner": "none"}, queue=queue)
    lab.work(workers=1)

    with served(lab.url) as address:
        seen = visit(address)
        page = seen.go("study/q")
        for number in (0, 1):
            page.get_by_label(f"choose trial {number}").check()
        page.get_by_role("link", name="Compare 2").click()
        page.wait_for_selector("table.differences", timeout=PATIENCE_MS)
        rows = page.locator("table.differences tbody th[scope=row]").all_inner_texts()

        assert "lr" in rows
        assert "momentum" not in rows
        assert page.locator("path.line").count() >= 2
        assert seen.complaints == []


def test_no_page_is_wider_than_a_phone(lab: Lab, visit: Callable[..., Visit]) -> None:
    lab.create("a-study-with-a-very-long-name_" + "x" * 120, budget={"trials": 1})
    name = lab.study("narrow").stem
    lab.create(
        name, space=MOODY, budget={"trials": 3}, queue=[{"odd.mood": mood} for mood in ("calm", "error", "calm")]
    )
    lab.work(name, workers=1)

    with served(lab.url) as address:
        seen = visit(address, PHONE)
        pages = ("", f"study/{name}", f"study/{name}/trial/1", f"study/{name}/compare?trials=0,1,2")
        fitting = []
        for path in pages:
            seen.go(path).wait_for_timeout(500)
            fitting.append((path, seen.fits))

        assert fitting == [(path, True) for path in pages]
        assert seen.complaints == []


def test_an_export_is_a_zip_that_opens_no_test_events_and_one_is_made_at_a_time(lab: Lab) -> None:
    lab.create(budget={"trials": 1})
    lab.create("empty", budget={"trials": 1})
    lab.work(workers=1)

    with served(lab.url) as address:
        replies: list[Any] = []
        threads = [
            threading.Thread(target=lambda: replies.append(fetch(address, "/studyhall/api/export/q.zip")))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        nothing = fetch(address, "/studyhall/api/export/empty.zip")
        (lab.folder / "events.h5").unlink()
        without_data = fetch(address, "/studyhall/api/export/q.zip")

    refused, made = sorted(replies, key=lambda reply: reply.status, reverse=True)
    assert (made.status, refused.status) == (200, 429), (made.text if made.status != 200 else "", refused.text)
    names = zipfile.ZipFile(io.BytesIO(made.body)).namelist()
    assert {"q/config.yaml", "q/metrics.json"} <= set(names)
    assert b'"test": null' in zipfile.ZipFile(io.BytesIO(made.body)).read("q/metrics.json")
    assert (nothing.status, "no complete trial" in nothing.tree["reason"]) == (409, True)
    assert (without_data.status, "events.h5" in without_data.tree["reason"]) == (409, True)


def test_what_mattered_is_told_when_it_is_opened(lab: Lab, visit: Callable[..., Visit]) -> None:
    lab.create(space=CNN | {"lr": {"float": [1e-3, 1e-1], "log": True}}, budget={"trials": 1})
    lab.work(workers=1)

    with served(lab.url) as address:
        seen = visit(address, PHONE)
        page = seen.go("study/q")
        section = page.locator("section", has=page.locator("#mattered"))
        section.locator("summary").click(timeout=PATIENCE_MS)

        expect(section).to_contain_text("too few trials to tell anything: 1", timeout=PATIENCE_MS)
        assert (seen.complaints, seen.fits) == ([], True)
