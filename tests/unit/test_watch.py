import io
import math

import pytest
from optuna.trial import TrialState
from rich.cells import cell_len
from rich.console import Console
from summaries import BEGAN, summary, trial, worker

from storage.tables import AttemptState
from study._best import best_epoch, best_so_far, in_order
from study.cli._tables import summary_table
from study.cli.watching import live_panel
from study.screen.cells import bar, columns, duration, memory, number, sparkline
from study.screen.head import elapsed_s
from study.screen.listing import listing
from study.screen.look import Look
from study.screen.screen import one_line, screen
from study.screen.trials import differing
from study.summary import Summary

SIZES = [(80, 24), (120, 50), (60, 16), (40, 10), (20, 5), (200, 8), (1, 1)]
ERROR = {"reason": "ValueError: [bold red]the user's[/] :smile: mistake\nsecond \x1b[31mline"}


def busy(workers: int = 3, **fields: object) -> Summary:
    rows = [
        trial(
            n, value=0.5 + n / 20, parameters={"model": "cnn", "lr": 10.0**-n, "width": 8 * n}, values={1: 0.4, 3: 0.5}
        )
        for n in range(7)
    ]
    rows += [trial(7, TrialState.FAIL, failure="error", attributes=ERROR), trial(8, TrialState.PRUNED, 0.2)]
    rows += [trial(9 + n, TrialState.RUNNING, slot=n, values={1: 0.25, 2: 0.3}) for n in range(max(0, workers - 1))]
    return summary(rows, [worker(n, utilisation=98.0) for n in range(workers)], **fields)


def strange() -> Summary:
    rows = [
        trial(0, value=math.nan, values={1: math.nan}),
        trial(1, TrialState.FAIL, failure="[/]", message="[/red]\n\x1b]0;title\x07"),
        trial(2, TrialState.RUNNING, value=math.inf, values={1: math.nan}, slot=0, parameters={"[x]": "日本語" * 9}),
        trial(3, TrialState.RUNNING, agent_id="vanished", attempts=12),
        trial(4, TrialState.WAITING, ours=False, attempt_state=None, started_at=None, attempts=0),
    ]
    workers = [worker(0, host="[bold]" + "h" * 90, memory_mb=None), worker(1, idle_s=1e7)]
    return summary(rows, workers, name="[red]名前[/]", metric="[b]", reason="[/] because", test=math.nan, rate=math.inf)


STUDIES = {
    "busy": busy(),
    "crowded": busy(40),
    "empty": summary([]),
    "without a budget": summary([], budget=None, rate=None, eta_s=None),
    "strange": strange(),
}


def text(study: Summary, **look: object) -> str:
    return "\n".join(line.plain for line in screen(study, Look(**look)))  # type: ignore[arg-type]


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("name", STUDIES)
def test_a_screen_is_never_larger_than_the_terminal(name: str, width: int, height: int, plain: bool) -> None:
    lines = screen(STUDIES[name], Look(width, height, plain=plain, notice="the database is away", hint="Ctrl-C"))

    assert len(lines) <= height
    assert all(cell_len(line.plain) <= width for line in lines)


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("name", STUDIES)
def test_what_a_console_prints_of_it_keeps_to_the_size(name: str, width: int, height: int) -> None:
    file = io.StringIO()
    console = Console(file=file, width=width, height=height, force_terminal=True, color_system=None)

    for line in screen(STUDIES[name], Look(width, height)):
        console.print(line, highlight=False)

    printed = file.getvalue().splitlines()
    assert len(printed) <= height
    assert all(cell_len(line) <= width for line in printed)


def test_a_usual_study_is_seen_whole_on_80_times_24() -> None:
    shown = text(busy(test=0.7, tested=1), width=80, height=24, hint="Ctrl-C leaves")

    assert "9/40 trials" in shown
    assert "2 running, 7 complete, 1 pruned, 1 failed" in shown
    assert "best accuracy (maximize): 0.8000 (trial 6, epoch 3), test 0.7000" in shown
    assert "12.5 trials/h, ETA 2h00m, elapsed" in shown
    assert "device time 11m00s" in shown
    assert "so far ▁" in shown
    assert "node1/cuda:0#0  9      ━───── 2/9  0.3000    1m00s  2s    512 MB  98%" in shown
    assert "node1/cuda:0#2         idle" in shown
    assert "best 5  accuracy  state     epochs  time   lr      width" in shown
    assert "failures: 1 error, last trial 7, FAIL (error): ValueError: [bold red]the" in shown
    assert "Ctrl-C leaves" in shown


def test_a_small_terminal_loses_what_matters_least_first() -> None:
    shown = [text(busy(), width=80, height=height, hint="hint") for height in (24, 17, 12, 6)]

    assert ["hint" in one for one in shown] == [True, False, False, False]
    assert ["so far" in one for one in shown] == [True, True, False, False]
    assert ["failures" in one for one in shown] == [True, True, False, False]
    assert ["node1/cuda:0#0" in one for one in shown] == [True, True, True, False]
    assert ["9/40 trials" in one for one in shown] == [True] * 4


def test_of_many_workers_the_lost_ones_are_seen_and_the_others_counted() -> None:
    workers = [worker(slot, idle_s=75.0 if slot == 38 else 2.0) for slot in range(40)]

    lines = text(summary([], workers), width=80, height=24).splitlines()

    assert lines[0] == "1 worker lost: its trial goes on elsewhere once the lease has ended"
    place = next(place for place, line in enumerate(lines) if line.startswith("worker "))
    assert lines[place + 1].split() == ["node1/cuda:0#38", "lost", "75s", "512", "MB"][:3]
    assert any(line.startswith("… ") and line.endswith(" more workers") for line in lines)


def test_a_lost_worker_is_red_and_names_the_trial_that_waits() -> None:
    row = trial(5, TrialState.RUNNING, slot=1, attempt_state=AttemptState.LOST)
    study = summary([row], [worker(0), worker(1, idle_s=75.0)], waiting=1)

    line = next(line for line in screen(study, Look(80, 24)) if "lost" in line.plain and "#1" in line.plain)

    assert line.plain.split() == ["node1/cuda:0#1", "5", "lost", "75s"]
    assert "red" in {str(span.style) for span in line.spans}


GPU = {"gpu_utilisation": 87.4, "gpu_used_mb": 12595.0, "gpu_total_mb": 81920.0, "gpu_power_w": 251.0}
ECC = "AcceleratorError: CUDA error: uncorrectable ECC error encountered"


def test_what_the_workers_gpus_do_comes_before_the_use_of_the_host() -> None:
    rows = [trial(9, TrialState.RUNNING, slot=0, values={2: 0.3})]
    study = summary(rows, [worker(0, utilisation=98.0, **GPU), worker(1)])

    wide, narrow = (text(study, width=width, height=24).splitlines() for width in (120, 78))

    assert [line.split() for line in wide if line.startswith("worker ")] == [
        ["worker", "trial", "epoch", "accuracy", "for", "seen", "gpu", "gpu", "memory", "power", "memory", "load"]
    ]
    assert any(line.endswith("2s    87%  12.3/80 GB  251 W  512 MB  98%") for line in wide)
    assert any(line.endswith("2s    87%  12.3/80 GB") for line in narrow)


def test_without_gpus_there_are_no_columns_for_them() -> None:
    assert "power" not in text(busy(), width=200, height=24)


def test_a_device_out_of_service_is_told_with_its_cause_and_its_slots_stay_listed() -> None:
    study = summary([], [worker(0), worker(1, quarantined=ECC, idle_s=75.0), worker(2, quarantined=ECC)])

    lines = screen(study, Look(80, 24))

    assert lines[0].plain[:79] == f"node1/cuda:0 quarantined: {ECC}"[:79]
    listed = [line for line in lines if "#" in line.plain]
    assert [line.plain.split()[:2] for line in listed] == [
        ["node1/cuda:0#1", "quarantined"],
        ["node1/cuda:0#2", "quarantined"],
        ["node1/cuda:0#0", "idle"],
    ]
    assert "red" in {str(span.style) for span in listed[0].spans}
    assert "quarantined: node1/cuda:0" in one_line(study)


def test_of_many_devices_out_of_service_the_first_are_named() -> None:
    workers = [worker(slot, host=f"node{slot}", quarantined="GPU is lost") for slot in range(9)]

    lines = text(summary([], workers), width=80, height=24).splitlines()

    assert lines[2:4] == ["node2/cuda:0 quarantined: GPU is lost", "… and 6 more devices"]


def test_plain_text_draws_nothing_and_is_not_cut() -> None:
    shown = text(busy(), plain=True)

    assert not set("━─▁▂▃▄▅▆▇█…") & set(shown)
    assert "#####................... " in shown
    assert "mistake second" in shown
    assert "test events opened for 0 of 9 trials" in shown
    assert shown.isprintable() or set(shown) - {"\n"} == {letter for letter in shown if letter.isprintable()}


def test_a_file_gets_neither_colours_nor_line_breaks() -> None:
    file = io.StringIO()

    summary_table(Console(file=file, width=30), busy())

    assert "\x1b" not in file.getvalue()
    assert "best accuracy (maximize): 0.8000 (trial 6, epoch 3)\n" in file.getvalue()


def test_elsewhere_than_on_a_terminal_only_changes_are_printed() -> None:
    file = io.StringIO()

    with live_panel(Console(file=file)) as show:
        for study in (
            busy(),
            busy(rate=99.0),
            summary([trial(0, value=0.25)], name="[x]", state="paused", reason="[y]"),
        ):
            show(study)

    assert file.getvalue().splitlines() == [
        "9/40 trials, 2 running, 1 pruned, 1 failed, best accuracy 0.8000 (trial 6)",
        "1/40 trials, paused ([y]), 0 running, 0 pruned, best accuracy 0.2500 (trial 0)",
    ]


def test_a_panel_on_a_terminal_is_gone_in_the_end() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80, height=24)

    with live_panel(console) as show:
        show(busy())
        during = file.getvalue()

    assert "9/40 trials" in during
    assert file.getvalue().endswith("\x1b[2K")


def test_one_line_says_what_has_happened() -> None:
    assert one_line(summary([])) == "0/40 trials, 0 running, 0 pruned, no result yet"
    assert ", 1 lost, " in one_line(summary([], [worker(0, idle_s=99)]))


def test_studies_are_listed_with_results_and_costs() -> None:
    lines = listing([busy(test=0.75), summary([], name="new", rate=None, eta_s=None)], None)

    assert lines[1].plain.split() == [
        *(
            "q",
            "running",
            "9/40",
            "0.8000",
            "(trial",
            "6)",
            "0.7500",
            "accuracy",
            "2",
            "1",
            "1",
            "0.18",
            "12.5",
            "2h00m",
        )
    ]
    assert lines[2].plain.split() == ["new", "running", "0/40", "accuracy", "0", "0", "0", "0.00"]
    assert all(cell_len(line.plain) <= 40 for line in listing([busy()], 40))


def test_hyperparameters_that_are_all_the_same_are_left_out() -> None:
    rows = [
        trial(0, parameters={"model": "cnn", "width": 8, "lr": 1.0}),
        trial(1, parameters={"model": "cnn", "lr": 2.0}),
    ]

    assert differing(rows) == ["lr", "width"]
    assert differing(rows[:1]) == ["model", "lr"]


def test_the_best_so_far_ignores_pruned_failed_and_undefined_values() -> None:
    rows = [
        trial(0, value=math.nan),
        trial(1, TrialState.PRUNED, 0.9),
        trial(2, value=0.5),
        trial(3, value=0.4),
        trial(4, TrialState.FAIL),
        trial(5, value=0.6),
    ]

    assert [str(value) for value in best_so_far(rows, "maximize")] == ["nan", "nan", "0.5", "0.5", "0.5", "0.6"]
    assert best_so_far(rows, "minimize")[2:] == [0.5, 0.4, 0.4, 0.4]


def test_trials_are_ordered_by_their_ends() -> None:
    rows = [trial(0, ended_at=BEGAN.replace(hour=20)), trial(1), trial(2, TrialState.RUNNING), trial(3, ours=False)]

    assert [row.number for row in in_order(rows)] == [1, 0]


def test_the_best_epoch_is_the_first_of_equal_ones() -> None:
    row = trial(0, values={1: 0.5, 2: math.nan, 3: 0.9, 4: 0.9, 5: 0.1})

    assert (best_epoch(row, "maximize"), best_epoch(row, "minimize")) == (3, 5)
    assert best_epoch(trial(0), "maximize") is None


def test_elapsed_time_goes_on_while_trials_run_and_stops_with_the_last() -> None:
    ended, running = trial(0), trial(1, TrialState.RUNNING)

    assert elapsed_s(summary([ended])) == 60.0
    assert elapsed_s(summary([ended, running]), now=BEGAN.replace(hour=13)) == 3600.0
    assert elapsed_s(summary([])) is None


def test_numbers_are_short() -> None:
    assert [number(value) for value in (None, 0.5, 0.0, 1e-7, 123456.0, math.nan)] == [
        *("", "0.5000", "0.0000", "1.000e-07", "1.235e+05", "nan")
    ]
    assert [duration(s) for s in (0.0, 59.9, 245, 11220, 500000, math.inf)] == [
        *("0.0s", "59.9s", "4m05s", "3h07m", "5d18h", "?")
    ]
    assert [memory(mb) for mb in (None, 512.3, 1536.0)] == ["", "512 MB", "1.5 GB"]


def test_bars_and_curves_are_as_long_as_asked() -> None:
    assert bar(0.5, 4, plain=True).plain == "##.."
    assert bar(7.0, 4, plain=False).plain == "━━━━"
    assert sparkline([0.0, math.nan, 0.5, 1.0], 8) == "▁▅█"
    assert len(sparkline([float(n) for n in range(1000)], 40)) == 40
    assert sparkline([1.0] * 3, 8) == "▁▁▁"
    assert sparkline([], 8) == ""


def test_columns_are_aligned_and_leave_out_the_last_where_there_is_no_room() -> None:
    rows = [["a", "long cell", "c"], ["日本", "b", "c"]]

    assert [line.plain for line in columns(rows, None)] == ["a     long cell  c", "日本  b          c"]
    assert [line.plain for line in columns(rows, 16)] == ["a     long cell", "日本  b"]
    assert [line.plain for line in columns(rows, 3, least=1)] == ["a", "日本"]
