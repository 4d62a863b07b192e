"""The dashboard in a real browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import browsing
import optuna
import pytest
from browsing import browser
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from playwright.sync_api import Browser, BrowserContext, Page, expect

from storage.trials import open_storage
from study.web.application import make_application
from study.web.guard import GuardSettings

TOKEN = "correct-horse-battery-staple"
WAIT_MS = 60_000


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A visitor without cookies."""
    opened = chromium.new_context()
    opened.set_default_timeout(WAIT_MS)
    yield opened
    opened.close()


@pytest.fixture
def complaints(context: BrowserContext) -> list[str]:
    """What the browser's console says of errors, violated policies among them."""
    found: list[str] = []
    context.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    context.on("weberror", lambda error: found.append(str(error.error)))
    return found


@contextmanager
def served(url: str, files: Path, token: str | None = TOKEN) -> Iterator[str]:
    """Serve in a thread; the address."""
    storage = open_storage(url)
    files.mkdir(exist_ok=True)
    application = make_application(
        storage, guard=GuardSettings(token), artifact_store=FileSystemArtifactStore(str(files))
    )
    try:
        with browsing.served(application) as address:
            yield address
    finally:
        storage.close()


@pytest.fixture
def address(sqlite_url: str, tmp_path: Path) -> Iterator[str]:
    """A study of three trials; the second has an HTML file, the third is running."""
    storage = open_storage(sqlite_url)
    study = optuna.create_study(study_name="curvature", storage=storage)
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=2)
    trial = study.ask({"x": optuna.distributions.FloatDistribution(-1, 1)})
    (tmp_path / "files").mkdir()
    page = tmp_path / "page.html"
    page.write_text("<p id='p'>harmless</p><script>document.getElementById('p').textContent = 'it ran'</script>")
    upload_artifact(
        artifact_store=FileSystemArtifactStore(str(tmp_path / "files")), file_path=str(page), study_or_trial=trial
    )
    storage.close()
    with served(sqlite_url, tmp_path / "files") as where:
        yield where


def entered(context: BrowserContext, address: str, path: str = "/") -> Page:
    page = context.new_page()
    page.goto(f"{address}{path}#token={TOKEN}")
    page.wait_for_url("**/dashboard/**")
    return page


def test_the_link_logs_in_and_leaves_no_token_behind(
    context: BrowserContext, address: str, complaints: list[str]
) -> None:
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))

    page = entered(context, address)
    expect(page.get_by_text("curvature").first).to_be_visible()

    assert TOKEN not in page.url
    assert not any(TOKEN in url and "#" not in url for url in asked)
    assert page.evaluate("history.length") == 2  # the new tab and the dashboard
    page.go_back()
    assert TOKEN not in page.url
    (cookie,) = context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], TOKEN in cookie["value"]) == (True, "Strict", False)
    assert complaints == []


def test_the_link_leaves_no_token_behind_for_those_who_are_logged_in(context: BrowserContext, address: str) -> None:
    entered(context, address)

    page = entered(context, address)

    assert TOKEN not in page.url


def test_the_form_refuses_another_token_and_leads_to_the_page_that_was_wanted(
    context: BrowserContext, address: str
) -> None:
    page = context.new_page()
    page.goto(f"{address}/dashboard/studies/1/trials")

    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("this is not the token")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()

    page.wait_for_url(f"{address}/dashboard/studies/1/trials")


def test_the_form_works_without_scripts(chromium: Browser, address: str) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/dashboard/studies/1")

    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()

    expect(page).to_have_url(f"{address}/dashboard/studies/1")
    context.close()


def test_the_pages_of_a_study_show_its_trials_without_a_complaint(
    context: BrowserContext, address: str, complaints: list[str]
) -> None:
    page = entered(context, address)

    for path, seen in (
        ("studies/1", "Best Trial"),
        ("studies/1/analytics", "Hyperparameter Relationships"),
        ("studies/1/trials", "Trial 0"),
        ("studies/1/smartSelection", "Rows per page"),
        ("studies/1/note", "Note"),
    ):
        page.goto(f"{address}/dashboard/{path}")
        expect(page.get_by_role("main").get_by_text(seen).first).to_be_visible()
        page.wait_for_load_state("networkidle")

    assert complaints == []


def test_a_study_cannot_be_deleted_where_the_page_only_reads(
    context: BrowserContext, address: str, sqlite_url: str
) -> None:
    page = entered(context, address)
    expect(page.get_by_text("curvature").first).to_be_visible()

    with page.expect_response(lambda answer: answer.request.method == "DELETE") as answered:
        page.get_by_role("button", name="delete study").first.click()
        page.get_by_role("button", name="Yes").click()

    assert answered.value.status == 403
    assert "--allow-write" in answered.value.json()["reason"]
    storage = open_storage(sqlite_url)
    assert [study.study_name for study in storage.get_all_studies()] == ["curvature"]
    storage.close()


def test_an_html_file_of_a_trial_is_downloaded_and_does_not_run(context: BrowserContext, address: str) -> None:
    page = entered(context, address)
    trials = page.request.get(f"{address}/api/studies/1?after=0").json()["trials"]
    place = f"/artifacts/1/{trials[2]['trial_id']}/{trials[2]['artifacts'][0]['artifact_id']}"

    with page.expect_download() as download:
        page.evaluate("place => { location.href = place }", place)
    page.evaluate(
        "place => { const frame = document.createElement('iframe'); frame.src = place; document.body.append(frame) }",
        place,
    )

    assert download.value.url.endswith(place)
    assert "it ran" not in "".join(frame.content() for frame in page.frames)
