"""The command that trains one trial again and compares it with its record: reproduce."""

from typing import TYPE_CHECKING, Annotated

import typer

from study.cli._common import EXIT_FAILED, AsJson, Name, Storage, complain, err, out, print_json, reported

if TYPE_CHECKING:
    from study.reproduction import Reproduction


@reported
def reproduce(
    name: Name,
    trial: Annotated[int, typer.Option("--trial", min=0, help="The trial's number.")],
    device: Annotated[
        str | None, typer.Option("--device", help="cpu, cuda:0, …; by default that on which it was trained.")
    ] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> int:
    """Train one trial again and compare curve, value and weights with the record, bit for bit.

    The exit status is 1 if anything differs. A pruned trial is trained as far as it came. Nothing is written.
    """
    from study.cli.looking import existing
    from study.reproduction import NotTrained
    from study.reproduction import reproduce as run

    database = existing(storage)

    def tell(epoch: int) -> None:
        if err.is_terminal:
            err.print(f"epoch {epoch}", end="\r", highlight=False)

    try:
        found = run(database, name, trial, device=device, tell=tell)
    except NotTrained as error:
        complain(str(error))
        return EXIT_FAILED
    finally:
        database.close()
    if as_json:
        print_json(found.to_json())
    else:
        _print(found)
    return 0 if found.equal else EXIT_FAILED


def _print(found: "Reproduction") -> None:
    for line in _lines(found):
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    if not found.equal:
        complain(f"trial {found.number} of {found.study} is not reproduced: {_why(found)}")


def _lines(found: "Reproduction") -> list[str]:
    attempts = f"{found.attempts} attempt{'s' if found.attempts != 1 else ''}"
    lines = [f"trial {found.number} of {found.study} ({found.state}, {attempts}), {found.epochs} epochs trained again"]
    lines.append(f"compared: {', '.join(found.compared)}")
    if found.missing:
        lines.append(f"not on record, so not compared: {', '.join(found.missing)}")
    if found.equal:
        lines.append("equal, bit for bit")
    lines += [f"differs: {difference.part}: {difference.text}" for difference in found.differences]
    for condition in found.environment:
        if condition.differs:
            lines.append(f"environment: {condition.name} {condition.recorded} on record, {condition.now} now")
    unknown = [condition.name for condition in found.environment if condition.recorded is None]
    if unknown:
        lines.append(f"environment not on record: {', '.join(unknown)}")
    return lines


def _why(found: "Reproduction") -> str:
    if not found.deterministic:
        return "the study has training.deterministic: false, which does not promise the same bits"
    changed = [condition.name for condition in found.environment if condition.differs]
    if changed:
        return f"most likely because of the environment: {', '.join(changed)} {'differ' if changed[1:] else 'differs'}"
    if found.attempts > 1:
        return (
            f"its last attempt had this environment, but the {found.attempts - 1} before it may have had another; "
            "else the record, the weights or the code have changed"
        )
    return "in the environment that is on record, so the record, the weights or the code have changed"
