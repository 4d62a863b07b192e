"""Makes the pictures of the documentation: runs small studies, and looks at them as people do. `make screenshots`."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console
from rich.text import Text

PICTURES = Path(__file__).parent / "images"
PROGRAM = str(Path(sys.executable).with_name("studyhall"))
COLUMNS, ROWS = 100, 30
WIDTH = 1200  # pixels
PATIENCE_S = 900.0
SPACE = {
    "model": "cnn",
    "cnn.depth": {"int": [2, 4]},
    "cnn.width": {"int": [8, 16], "log": True},
    "cnn.stride": 2,
    "batch_size": {"choice": [32, 64]},
    "lr": {"float": [5.0e-4, 1.0e-2], "log": True},
    "normalize": {"choice": ["log1p", "per_channel"]},
}
DATA = {"path": "events.h5", "split": {"validation": 0.2, "test": 0.2}}
STUDIES: dict[str, dict[str, Any]] = {
    "muon-or-electron": {
        "budget": {"trials": 8},
        "data": DATA | {"select": {"classes": [1, 2]}},
        "objective": {"name": "binary", "positive": "muon", "negative": "electron"},
        "training": {"epochs": 6},
        "space": SPACE,
    },
    "particle": {"budget": {"trials": 20}, "data": DATA, "training": {"epochs": 9}, "space": SPACE},
}
RUNNING = "particle"
"""The study that is looked at while it runs."""


def run(folder: Path, *arguments: str) -> str:
    """Run a command to its end; what it says."""
    done = subprocess.run([PROGRAM, *arguments], cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def wait_for(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {PATIENCE_S:g} s")
        time.sleep(0.5)


def status(folder: Path, name: str) -> dict[str, Any]:
    """The study as JSON."""
    done = subprocess.run(
        [PROGRAM, "status", name, "--json"], cwd=folder, stdout=subprocess.PIPE, text=True, check=False
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextlib.contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command that runs meanwhile."""
    process = subprocess.Popen([PROGRAM, *arguments], cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


@contextlib.contextmanager
def dashboard(folder: Path) -> Iterator[str]:
    """The address of a dashboard; it is not reached from elsewhere, so it needs no login here."""
    with started(folder, "dashboard", "--port", "0", "--no-login") as process:
        assert process.stdout is not None
        yield re.findall(r"http://[^/\s]+", process.stdout.readline())[0]


def terminal(folder: Path, *arguments: str) -> str:
    """What a command shows in a terminal after some seconds, with its colours."""
    server = ["tmux", "-u", "-L", f"studyhall-pictures-{os.getpid()}", "-f", "/dev/null"]
    size = ["-x", str(COLUMNS), "-y", str(ROWS)]
    subprocess.run([*server, "new-session", "-d", *size, "-c", str(folder), PROGRAM, *arguments], check=True)
    try:
        time.sleep(12)
        shown = subprocess.run([*server, "capture-pane", "-p", "-e"], stdout=subprocess.PIPE, text=True, check=True)
        return shown.stdout
    finally:
        subprocess.run([*server, "kill-server"], check=True)


def shoot_terminal(browser: Browser, name: str, screen: str, title: str) -> None:
    """A picture of a terminal's screen."""
    console = Console(width=COLUMNS, record=True, file=io.StringIO())
    console.print(Text.from_ansi(screen.rstrip()), no_wrap=True, crop=True)
    page = browser.new_page(viewport={"width": WIDTH, "height": 900})
    page.set_content(f"<body style='margin:0;width:{WIDTH}px'>{console.export_svg(title=title)}</body>")
    page.locator("svg").screenshot(path=PICTURES / name)
    page.close()


def shoot(browser: Browser, name: str, url: str, ready: str, *, height: int = 1000, full: bool = False) -> None:
    """A picture of a page, once something on it is seen."""
    page: Page = browser.new_page(viewport={"width": WIDTH, "height": height})
    page.goto(url)
    page.locator(ready).first.wait_for(timeout=60_000)
    page.wait_for_timeout(3_000)  # until plots are drawn
    page.screenshot(path=PICTURES / name, full_page=full)
    page.close()


def main() -> None:
    """Make them all."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        folder = Path(made)
        program = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        run(folder, "simulate", "events.h5", "--events", "6000", "--seed", "1")
        for name, tree in STUDIES.items():
            (folder / f"{name}.yaml").write_text(yaml.safe_dump({"study": {"name": name}} | tree), encoding="utf-8")
        for name in STUDIES:
            if name != RUNNING:
                run(folder, "launch", f"{name}.yaml", "--workers", "2")
        with dashboard(folder) as address:
            shoot_running(browser, folder, address)
            shoot_finished(browser, folder, address)


def shoot_running(browser: Browser, folder: Path, address: str) -> None:
    """Pictures of a study that runs, which then runs to its end."""
    launch = [PROGRAM, "launch", f"{RUNNING}.yaml", "--workers", "2"]
    process = subprocess.Popen(launch, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: (folder / "studyhall.db").exists() and RUNNING in run(folder, "list"))
        wait_for(lambda: sum(status(folder, RUNNING)["counts"].get(state, 0) for state in ("COMPLETE", "PRUNED")) >= 9)
        shoot_terminal(browser, "watch.png", terminal(folder, "watch", RUNNING), f"studyhall watch {RUNNING}")
        shoot(browser, "page-study.png", f"{address}/studyhall/study/{RUNNING}", "table", height=1100)
        trial = status(folder, RUNNING)["running"][0]["number"]
        shoot(browser, "page-trial.png", f"{address}/studyhall/study/{RUNNING}/trial/{trial}", "svg", height=900)
        process.wait(PATIENCE_S)
    finally:
        process.terminate()


def shoot_finished(browser: Browser, folder: Path, address: str) -> None:
    """Pictures of studies that have ended, and of an export's report."""
    shoot(browser, "page-studies.png", f"{address}/studyhall/", "table", height=520)
    number = 1 + list(STUDIES).index(RUNNING)
    shoot(browser, "dashboard.png", f"{address}/dashboard/studies/{number}", ".js-plotly-plot", height=1000)
    run(folder, "export", RUNNING, "--to", "best")
    run(folder, "report", "best")
    shoot(browser, "report.png", (folder / "best" / "report.html").as_uri(), "img", height=1500)
    run(folder, "compare", *STUDIES, "--png", str(PICTURES / "compare.png"))


if __name__ == "__main__":
    main()
