"""Commands about results: export, report, evaluate, predict."""

from pathlib import Path
from typing import Annotated

import typer

from study.cli._common import AsJson, Name, Storage, err, out, print_json, reported

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="An exported folder.")]
Data = Annotated[Path | None, typer.Option("--data", help="HDF5 file; by default the study's own.")]


@reported
def export(
    name: Name,
    to: Annotated[Path, typer.Option("--to", help="Folder to write.")],
    top: Annotated[int, typer.Option("--top", min=1, help="So many of the best, in folders of their own.")] = 1,
    pareto: Annotated[
        bool, typer.Option("--pareto", help="Of a study of several objectives the whole front, each in its folder.")
    ] = False,
    trial: Annotated[int | None, typer.Option("--trial", min=0, help="This trial, whatever is best.")] = None,
    test_all: Annotated[
        bool, typer.Option("--test-all", help="Open the test events for all, not only the first.")
    ] = False,
    no_test: Annotated[bool, typer.Option("--no-test", help="Open the test events for none.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing folder.")] = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> int:
    """Write the best configuration as files that rebuild it: weights, configuration, metrics, model card."""
    from storage.errors import ConfigError
    from study.cli.looking import existing
    from study.confirmation.words import one_line
    from study.export import export_trials

    options = {"--trial": trial is not None, "--top": top > 1, "--pareto": pareto}
    given = [option for option, is_given in options.items() if is_given]
    if len(given) > 1:
        raise ConfigError(f"give {' or '.join(given)}, not both")
    if test_all and no_test:
        raise ConfigError("give --test-all or --no-test, not both")
    database = existing(storage)
    openings = {"test": not no_test, "test_all": test_all}
    done = export_trials(database, name, to, top=top, pareto=pareto, trial=trial, **openings, replace=force)
    if as_json:
        print_json([item.to_json() for item in done])
        return 0
    for item in done:
        out.print(f"trial {item.number} → {item.folder}", highlight=False)
        if item.confirmation is not None:
            out.print(one_line(item.confirmation), highlight=False, markup=False, soft_wrap=True)
        metrics_table(item.metrics)
    return 0


def metrics_table(metrics: dict[str, dict[str, float | None] | None]) -> None:
    """Metrics by part of the data."""
    from rich.table import Table

    parts = {part: values for part, values in metrics.items() if values}
    table = Table(box=None, pad_edge=False)
    table.add_column("metric")
    for part in parts:
        table.add_column(part, justify="right")
    for metric in dict.fromkeys(name for values in parts.values() for name in values):
        cells = [values.get(metric) for values in parts.values()]
        table.add_row(metric, *("undefined" if cell is None else f"{cell:.4f}" for cell in cells))
    out.print(table, highlight=False)


@reported
def report(
    folder: Folder,
    pair: Annotated[
        str | None,
        typer.Option("--pair", metavar="SIGNAL,BACKGROUND", help="Classes of the ROC curve; else electron,gamma."),
    ] = None,
    to: Annotated[Path | None, typer.Option("--out", help="HTML file to write; else report.html in DIR.")] = None,
) -> int:
    """Write one page about an export: metrics, figures, hyperparameters; it needs no network and no other file."""
    from study.report import write_report

    path = write_report(folder, to, pair)
    err.print(f"wrote {path} ({path.stat().st_size / 2**20:.1f} MB)", highlight=False)
    return 0


@reported
def evaluate(folder: Folder, data: Data = None, as_json: AsJson = False) -> int:
    """Compute an export's metrics again: on the study's own data, where they must agree, or on another file."""
    from study.evaluation import evaluate_export

    result = evaluate_export(folder, data)
    if as_json:
        print_json(result.to_json())
    else:
        metrics_table(dict(result.metrics))
        if result.compared:
            out.print(f"equal to {folder / 'metrics.json'}: {', '.join(result.compared)}", highlight=False)
    return 0


@reported
def predict(
    folder: Folder,
    data: Annotated[Path, typer.Option("--data", help="HDF5 file of events; needs no target.")],
    to: Annotated[Path, typer.Option("--out", help="HDF5 file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> int:
    """Write an export's predictions for a file, event by event: class probabilities, or values."""
    from study.evaluation import predict_file

    count = predict_file(folder, data, to, overwrite=force)
    err.print(f"wrote predictions for {count} events to {to}", highlight=False)
    return 0
