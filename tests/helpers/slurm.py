"""A Slurm cluster on this machine: a controller, and nodes with fake GPUs, all in a temporary folder."""

import contextlib
import os
import re
import secrets
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
from lab import until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel")
PACKAGES = "slurmctld slurmd slurm-client munge"
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
PAGE = Path(__file__).parents[2] / "docs" / "slurm.md"
NODES = ("n1", "n2", "n3", "n4")
GPUS = 2
"""Of each node."""
GPU_DEVICE = os.makedev(240, 0)
"""Of a range that the kernel keeps for experiments; nobody opens it."""
CONF = """
ClusterName=studyhall
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
GresTypes=gpu
MailProg=/bin/true
SlurmdParameters=config_overrides
SlurmdTimeout=10
MessageTimeout=30
ReturnToService=2
InactiveLimit=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=bf_interval=2,sched_interval=5
PartitionName=gpu Nodes=ALL Default=YES PriorityTier=1 GraceTime=60 MaxTime=UNLIMITED
PartitionName=urgent Nodes=ALL PriorityTier=9 MaxTime=UNLIMITED
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=1000 Gres=gpu:{gpus}\n"


def what_is_missing() -> str:
    """What to install, or nothing."""
    missing = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    if missing:
        return f"needs Slurm ({missing[0]} is missing): apt-get install {PACKAGES}"
    return "" if os.geteuid() == 0 else "needs root, to make the fake GPUs and run Slurm's daemons"


def commands(heading: str) -> list[list[str]]:
    """The words after `studyhall` of the launches below a heading of the page, for the study file of a lab."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks = "".join(re.findall(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE)).replace("\\\n", " ")
    lines = [line.split("#")[0] for line in blocks.splitlines() if line.startswith("studyhall launch ")]
    return [line.replace("study.yaml", "q.yaml").split()[1:] for line in lines]


class Cluster:
    """Four nodes with two GPUs each; partition `urgent` preempts partition `gpu`.

    Attributes:
        environment: Of Slurm's commands.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: a socket lies in it
        self.folder.chmod(0o755)
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": PATH}

    def start(self) -> None:
        """Start all daemons, and wait until the nodes are idle."""
        self._configure()
        munge = [f"--{what}-file={self.folder}/munge.{what}" for what in ("key", "pid", "log", "seed")]
        self._daemon("munge", "munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", *munge)
        assert until((self.folder / "munge.socket").exists)
        self._daemon("slurmctld", "slurmctld", "-D")
        for node in NODES:
            self.start_node(node)
        assert until(lambda: self.states() == dict.fromkeys(NODES, "idle")), self.logs()

    def _configure(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        (self.folder / "state").mkdir()
        for number in range(GPUS):
            os.mknod(self.folder / f"gpu{number}", stat.S_IFCHR | 0o600, GPU_DEVICE)
        host, (port, *ports) = socket.gethostname(), free_ports(1 + len(NODES))
        lines = [NODE.format(name=name, host=host, port=at, gpus=GPUS) for name, at in zip(NODES, ports, strict=True)]
        text = CONF.format(host=host, port=port, folder=self.folder)
        (self.folder / "slurm.conf").write_text(text + "".join(lines))
        (self.folder / "gres.conf").write_text(f"Name=gpu File={self.folder}/gpu[0-{GPUS - 1}]\n")
        (self.folder / "cgroup.conf").write_text("CgroupAutomount=no\n")

    def start_node(self, name: str) -> None:
        """Start a node, which takes jobs once the controller has seen it."""
        (self.folder / name).mkdir(exist_ok=True)
        self._daemon(name, "slurmd", "-D", "-N", name)

    def _daemon(self, name: str, *words: str) -> None:
        with (self.folder / "daemons.log").open("ab") as log:
            started = subprocess.Popen(
                words,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._daemons[name] = started

    def run(self, *words: str) -> str:
        """A command of Slurm; its output."""
        environment = {**os.environ, **self.environment}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def states(self) -> Mapping[str, str]:
        """The state of each node."""
        with contextlib.suppress(AssertionError):
            lines = self.run("sinfo", "--noheader", "--Node", "--partition=gpu", "--format=%N %t").splitlines()
            return dict(line.split() for line in lines)
        return {}

    def jobs(self, *states: str) -> list[tuple[str, str, str]]:
        """Each job that has not ended: its id with that of its task, its raw id, and its node."""
        chosen = f"--states={','.join(states) or 'PENDING,RUNNING,COMPLETING,SUSPENDED'}"
        lines = self.run("squeue", "--noheader", "--array", chosen, "--format=%i %A %N").splitlines()
        return [(words[0], words[1], words[2] if len(words) > 2 else "") for words in map(str.split, lines)]

    def hurry(self) -> None:
        """Let jobs that have been queued again begin at once, instead of two minutes later."""
        for _, job_id, _ in self.jobs("PENDING"):
            with contextlib.suppress(AssertionError):  # it may have begun meanwhile
                self.run("scontrol", "update", f"JobId={job_id}", "StartTime=now")

    def lose(self, name: str) -> None:
        """Kill a node with all that runs on it, at once."""
        daemon = psutil.Process(self._daemons[name].pid)
        lost = [
            daemon,
            *(found for found, environment in self._processes() if environment.get("SLURMD_NODENAME") == name),
        ]
        for order in (psutil.Process.suspend, psutil.Process.kill):  # none shall see another's end
            for process in dict.fromkeys(one for found in lost for one in (*steps_of(found), found)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    order(process)
        self._daemons.pop(name).wait()

    def logs(self) -> str:
        """The last lines of all daemons."""
        return "".join(
            f"{path.name}:\n" + "\n".join(path.read_text(errors="replace").splitlines()[-8:]) + "\n"
            for path in sorted(self.folder.glob("*.log"))
        )

    def _processes(self) -> list[tuple[psutil.Process, dict[str, str]]]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                environment = process.environ()
                if environment.get("SLURM_CONF") == self.environment["SLURM_CONF"]:
                    found.append((process, environment))
        return found

    def end(self) -> None:
        """Kill everything of the cluster, and what it runs, and remove the folder with its devices."""
        while alive := [found for found, _ in self._processes() if found.status() != psutil.STATUS_ZOMBIE]:
            for process in [one for found in alive for one in (*steps_of(found), found)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            for daemon in self._daemons.values():
                daemon.poll()
            psutil.wait_procs(alive, timeout=2)
        for daemon in self._daemons.values():
            daemon.kill()
            daemon.wait()
        shutil.rmtree(self.folder)


def steps_of(process: psutil.Process) -> list[psutil.Process]:
    """The process of Slurm that a job's process is a child of; it shows no environment."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [
            found for found in process.parents() if "slurmstepd" in found.name() or "slurmstepd" in str(found.cmdline())
        ]
    return []


def free_ports(count: int) -> list[int]:
    """Ports on which nobody listens."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster inside the context."""
    made = Cluster()
    try:
        made.start()
        yield made
    finally:
        made.end()
