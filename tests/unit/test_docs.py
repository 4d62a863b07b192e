"""The documents say what is so: their study files load, their commands and links exist."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from study.cli import COMMANDS
from study.cli._common import app
from study.loading import load_config

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def blocks(language: str) -> list[tuple[str, str]]:
    pattern = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return [(path.name, text) for path in DOCUMENTS for text in pattern.findall(path.read_text())]


@pytest.mark.parametrize(("document", "text"), blocks("yaml"))
def test_a_study_file_in_a_document_loads(document: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(text)

    config, _ = load_config(file, environment={})

    assert config.data.path


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_loads(path: Path) -> None:
    config, folder = load_config(path, environment={})

    assert config.study.name
    assert folder == path.parent


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text())

    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"^(?:studyhall|\$ studyhall) ([a-z]+)", path.read_text(), re.MULTILINE))

    assert named <= {name for name, _ in COMMANDS} | {"database"}


def test_the_readme_lists_every_command() -> None:
    text = (ROOT / "README.md").read_text()

    assert [name for name, _ in COMMANDS if not re.search(rf"`{name}\b", text)] == []


@pytest.mark.parametrize("name", [name for name, _ in COMMANDS])
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])

    assert result.exit_code == 0
    assert "Usage" in result.output
