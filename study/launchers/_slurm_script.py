"""The batch script of an order, which submitit writes from the order and Slurm's options."""

import re
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.errors import ConfigError
from study.launchers._agent_process import worker_arguments
from study.launchers._agents_of import agents_of
from study.launchers._launcher import AgentOrder
from study.launchers._slurm_job import AgentJob

if TYPE_CHECKING:
    from submitit import SlurmExecutor

PREFIX = "slurm-"
TIME_MIN = 60
"""Time limit of a job unless given; it does not limit the study, since jobs are queued again."""
NOTICE_S = 90
"""Before its time limit a job is told, so that its agent hands back; of a short job a quarter of its time."""
EVER = 10**9
"""How often a job may be queued again after its time limit."""
LOGS = Path("/LOGS")
"""Stands for the folder of a study's logs while that is not known."""
OURS = ("array", "nodes", "ntasks", "ntasks_per_node", "use_srun", "map_count", "additional_parameters", "num_gpus")
"""Options of sbatch or submitit that the launcher decides: one agent is one task of an array, on one node."""
GPUS = ("gpus_per_node", "gpus_per_task", "gpus", "gres")
"""Options that ask for GPUs in another way than we do."""
LISTS = ("setup", "teardown")
"""Commands of the script, given as one."""
_DAYS = re.compile(r"(\d+)-(\d+)(?::(\d+))?(?::(\d+))?")
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+)")


def installed() -> Any:
    """The package submitit.

    Raises:
        ConfigError: It is missing.
    """
    try:
        import submitit
    except ImportError:
        raise ConfigError("--on slurm needs the package submitit: pip install 'studyhall[slurm]'") from None
    return submitit


def executor_of(order: AgentOrder) -> "SlurmExecutor":
    """What submits the order; without ``srun`` it can only write the script.

    Raises:
        ConfigError: An option cannot be used, or submitit is missing.
    """
    base = installed().SlurmExecutor

    class Executor(base):  # type: ignore[misc,valid-type]
        @classmethod
        def affinity(cls) -> int:
            return 2

    logs = order.logs if order.logs != Path() else LOGS
    python = f"{Executor(logs).python} -P"  # a folder called `models` where the user stands must not hide ours
    executor: SlurmExecutor = Executor(logs / "slurm", max_num_timeout=EVER, python=python)
    parameters = _parameters(order, set(Executor._valid_parameters()))
    try:
        executor.update_parameters(**parameters)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"submitit refuses the options of Slurm: {error}") from None
    return executor


def script_of(order: AgentOrder) -> str:
    """The script, as it would be submitted."""
    executor, (agents, _) = executor_of(order), agents_of(order)
    if agents > 1:
        executor.parameters["map_count"] = agents
    text = executor._make_submission_file_text(executor._submitit_command_str, "")
    return text.replace(f"{LOGS}/", f"{LOGS.name}/") if order.logs == Path() else text


def job_of(order: AgentOrder) -> AgentJob:
    """What each of the order's jobs runs."""
    arguments = worker_arguments(order, agents_of(order)[1])
    if order.devices == "auto" and order.gpus_per_agent == 0:  # Slurm may hide no GPU from a job without any
        arguments += ["--devices", "cpu"]
    if not order.use_busy:  # Slurm has chosen the GPUs
        arguments.append("--use-busy")
    return AgentJob(tuple(arguments), f"{order.logs}/agent-{time.strftime('%Y%m%d-%H%M%S')}-%j.log")


def minutes(text: str) -> int:
    """A time limit of Slurm: minutes, MM:SS, HH:MM:SS, or D-HH[:MM[:SS]].

    Raises:
        ConfigError: It is none, or no time at all.
    """
    if text.isdigit():
        total = int(text)
    elif found := _DAYS.fullmatch(text):
        days, hours, rest, seconds = (int(part or 0) for part in found.groups())
        total = days * 1440 + hours * 60 + rest + (seconds > 0)
    elif found := _CLOCK.fullmatch(text):
        hours, rest, seconds = (int(part or 0) for part in found.groups())
        total = hours * 60 + rest + (seconds > 0)
    else:
        total = 0
    if total < 1:
        raise ConfigError(f"--{PREFIX}time {text!r}: accepted are minutes, MM:SS, HH:MM:SS and D-HH:MM:SS")
    return total


def _parameters(order: AgentOrder, known: set[str]) -> dict[str, Any]:
    given = {_key(option): value for option, value in order.options.items()}
    limit = minutes(given.pop("time", str(TIME_MIN)))
    _, slots = agents_of(order)
    cpus = slots if order.gpus_per_agent == 0 else max(2, 2 * slots)
    chosen: dict[str, Any] = {
        "job_name": f"studyhall-{order.study}",
        "time": limit,
        "ntasks_per_node": 1,  # else a node that is given as a whole runs as many as it has cores for
        "cpus_per_task": cpus,
        "signal_delay_s": min(NOTICE_S, limit * 60 // 4),
    }
    if order.gpus_per_agent and not any(key in given for key in GPUS):
        chosen["gpus_per_node"] = order.gpus_per_agent
    chosen |= {key: _value(key, text) for key, text in given.items() if key in known}
    # srun does not inherit the cores, and takes the number of tasks from what the job got.
    own = ["--ntasks=1", f"--cpus-per-task={chosen['cpus_per_task']}"]
    chosen["srun_args"] = [*own, *chosen.get("srun_args", ())]
    rest = {key: _value(key, text) for key, text in given.items() if key not in known}
    again = {} if "no_requeue" in rest else {"requeue": True}
    return {**chosen, "additional_parameters": {**again, **rest}}


def _key(option: str) -> str:
    key = option.removeprefix(PREFIX).replace("-", "_")
    if not option.startswith(PREFIX) or not key:
        raise ConfigError(
            f"there is no option --{option} to run on Slurm; accepted: --{PREFIX}partition P, --{PREFIX}time MINUTES, "
            f"--{PREFIX}account A and every other option of sbatch with --{PREFIX} before its name"
        )
    if key in OURS:
        raise ConfigError(
            f"--{option}: every agent is one task on one node, and --workers says how many trials run at a time; "
            f"--{PREFIX}array-parallelism limits the jobs that run at once"
        )
    return key


def _value(key: str, text: str) -> Any:
    if key in LISTS:
        return [text]
    if key == "srun_args":
        return shlex.split(text)
    if text == "":
        return True
    return int(text) if text.isdigit() else text
