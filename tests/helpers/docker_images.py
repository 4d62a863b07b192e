"""What the files of Docker Compose need from elsewhere, made of Debian's packages: no registry of images is asked."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from docker_engine import Engine

ROOT = Path(__file__).parents[2]
PYTHON, POSTGRES = "python:3.11-slim", "postgres:17"
"""The official images whose place is taken."""
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
SOURCE = """\
Dir::Etc::SourceList "{folder}/sources.list";
Dir::Etc::SourceParts "-";
Dir::State "{folder}/state";
Dir::State::status "/dev/null";
Dir::Cache "{folder}/cache";
APT::Sandbox::User "root";
"""


def make_images(engine: Engine) -> None:
    """Make both images, unless the engine has them from an earlier run."""
    wheels = downloaded_wheels(engine.cache)
    _python(engine, wheels)
    _postgres(engine)


def compose_plugin(cache: Path) -> Path:
    """The program of a package that bookworm lacks: it is unpacked, and the machine's apt knows nothing of it."""
    kept = cache / "docker-compose"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _download(folder, "docker-compose", "trixie")
            _checked("dpkg", "-x", next(folder.glob("docker-compose_*.deb")), folder / "unpacked")
            found = folder / "unpacked" / "usr/libexec/docker/cli-plugins/docker-compose"
            shutil.move(found, kept.with_suffix(".new"))
        kept.with_suffix(".new").rename(kept)
    return kept


def downloaded_wheels(cache: Path) -> Path:
    """A folder with the wheels that the image installs, fetched by the pip that runs the tests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = sorted([*project["project"]["dependencies"], *project["build-system"]["requires"]])
    constraints = ROOT / "constraints.txt"
    digest = hashlib.sha256("\n".join([*wanted, constraints.read_text()]).encode()).hexdigest()[:16]
    kept = cache / f"wheels-{digest}"
    if not kept.exists():
        for old in cache.glob("wheels-*"):
            shutil.rmtree(old)
        new = cache / "wheels-new"
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--python-version", "3.11"]
        _checked(*pip, "--constraint", constraints, "--dest", new, *wanted)
        new.rename(kept)
    return kept


def _python(engine: Engine, wheels: Path) -> None:
    """Debian's Python at the official image's place, with the wheels in /wheels."""
    base = "studyhall-test-python:1"
    if not engine.has_image(base):
        with _debian("bookworm", "python3,python3-venv,ca-certificates", engine.cache) as root:
            for name in ("python", "python3"):
                (root / "usr/local/bin" / name).symlink_to("/usr/bin/python3")
            _import(engine, root, base, f"ENV PATH={PATH}", 'CMD ["python3"]')
    name = f"studyhall-test-wheels:{wheels.name}"
    if not engine.has_image(name):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "Dockerfile").write_text(f"FROM {base}\nCOPY . /wheels\n")
            file = Path(folder) / "Dockerfile"
            engine.docker("build", "--quiet", "--tag", name, "--file", file, wheels)
    engine.docker("tag", name, PYTHON)
    known = engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}", name.partition(":")[0])
    for old in set(known.split()) - {name}:
        engine.docker("rmi", old)


def _postgres(engine: Engine) -> None:
    entrypoint = Path(__file__).with_name("postgres_entrypoint.sh")
    name = f"studyhall-test-postgres:{hashlib.sha256(entrypoint.read_bytes()).hexdigest()[:16]}"
    if not engine.has_image(name):
        with _debian("trixie", "postgresql-17", engine.cache) as root:
            shutil.copy(entrypoint, root / "usr/local/bin/docker-entrypoint.sh")
            _import(
                engine,
                root,
                name,
                f"ENV PATH=/usr/lib/postgresql/17/bin:{PATH}",
                "ENV PGDATA=/var/lib/postgresql/data",
                "VOLUME /var/lib/postgresql/data",
                'ENTRYPOINT ["docker-entrypoint.sh"]',
                'CMD ["postgres"]',
            )
    engine.docker("tag", name, POSTGRES)


def _import(engine: Engine, root: Path, name: str, *changes: str) -> None:
    told = [word for change in changes for word in ("--change", change)]
    with subprocess.Popen(["tar", "--directory", root, "--create", "."], stdout=subprocess.PIPE) as tar:
        engine.docker("import", *told, "-", name, stdin=tar.stdout)
    assert tar.returncode == 0


@contextmanager
def _debian(suite: str, packages: str, cache: Path) -> Iterator[Path]:
    """A root file system with these packages."""
    root = Path(tempfile.mkdtemp(prefix=f"{suite}-", dir=cache))
    try:
        _checked("debootstrap", "--variant=minbase", f"--include={packages}", suite, root, mirror())
        shutil.rmtree(root / "var/cache/apt/archives")
        root.chmod(0o755)
        yield root
    finally:
        shutil.rmtree(root)


def mirror() -> str:
    """Where this machine's apt gets Debian from."""
    shown = ["--format", "$(REPO_URI) $(ORIGIN) $(SUITE)", "Identifier: Packages"]
    for line in _checked("apt-get", "indextargets", *shown).splitlines():
        address, origin, suite = (*line.split(), "", "")[:3]
        if origin == "Debian" and "-" not in suite:
            return address
    pytest.fail("apt-get indextargets names no mirror of Debian; run apt-get update", pytrace=False)


def _download(folder: Path, package: str, suite: str) -> None:
    """Fetch a package of another release, with sources and state of its own."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "sources.list").write_text(f"deb {mirror()} {suite} main\n")
    (folder / "apt.conf").write_text(SOURCE.format(folder=folder))
    own = f"APT_CONFIG={folder}/apt.conf"
    _checked("env", own, "apt-get", "update", "--quiet")
    _checked("env", own, "apt-get", "download", package, cwd=folder)


def _checked(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr)[-2000:]
        pytest.fail(f"{' '.join(map(str, command[:3]))} … failed:\n{said}", pytrace=False)
    return done.stdout
