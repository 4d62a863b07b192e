import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models._family import Family, families, load_family
from models._plugins import load_plugin, plugins

EXAMPLES = Path(__file__).parents[2] / "examples"
FAMILY = """
from dataclasses import dataclass
from torch import nn
from models._family import Family
from models._hyperparameters import integer

@dataclass(frozen=True)
class HP:
    width: int = integer(4, 1, 8, help="width")

MINE = Family({name!r}, HP, lambda hp, shape, outputs: nn.Linear(1, outputs))
"""
Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes modules into a folder of the test's own, and forgets what the test imports."""
    monkeypatch.setattr(sys, "modules", sys.modules.copy())
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def shelf(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, text in {"__init__": "", "apple": "FRUIT = 1", "pear": "FRUIT = 2", "_tools": "FRUIT = 3"}.items():
        write(f"shelf/{name}.py", text)
    monkeypatch.syspath_prepend(tmp_path)
    return "shelf"


def test_every_file_without_an_underscore_is_a_plugin(shelf: str) -> None:
    assert plugins(shelf, "FRUIT") == {"apple": 1, "pear": 2}


def test_a_package_may_be_given_as_a_module(shelf: str) -> None:
    package = __import__(shelf)

    assert plugins(package, "FRUIT") == {"apple": 1, "pear": 2}


def test_a_plugin_file_that_lacks_the_attribute_is_an_error(shelf: str, write: Write) -> None:
    write("shelf/stone.py", "WEIGHT = 1")

    with pytest.raises(AttributeError, match=r"'shelf\.stone' has no attribute 'FRUIT'"):
        plugins(shelf, "FRUIT")


def test_a_name_loads_the_plugin_of_that_file(shelf: str, tmp_path: Path) -> None:
    assert load_plugin("pear", shelf, "FRUIT", folder=tmp_path) == 2


def test_an_unknown_name_is_answered_with_the_known_ones_the_nearest_and_the_other_forms() -> None:
    with pytest.raises(ValueError, match="unknown") as caught:
        load_family("resent")

    assert str(caught.value) == (
        "'resent' is unknown (did you mean 'resnet'?); accepted are cnn, densenet, mlp, resnet, "
        "or one of your own as my_file.py:Name or package.module:Name"
    )


def test_a_file_is_found_relative_to_the_folder(write: Write, tmp_path: Path) -> None:
    write("nets/mine.py", FAMILY.format(name="mine"))

    family = load_family("nets/mine.py:MINE", folder=tmp_path)

    assert isinstance(family, Family)
    assert family.name == "mine"


def test_the_same_file_gives_the_same_objects_and_an_edited_one_new_ones(write: Write, tmp_path: Path) -> None:
    write("mine.py", "THING = object()")
    first = load_plugin("mine.py:THING", "models", "FAMILY", folder=tmp_path)

    again = load_plugin("mine.py:THING", "models", "FAMILY", folder=tmp_path)
    write("mine.py", "THING = 'edited'")
    edited = load_plugin("mine.py:THING", "models", "FAMILY", folder=tmp_path)

    assert again is first
    assert edited == "edited"


def test_a_file_may_import_its_neighbours(write: Write, tmp_path: Path) -> None:
    write("neighbour_of_mine.py", "THING = 4")
    write("mine.py", "from neighbour_of_mine import THING")

    assert load_plugin("mine.py:THING", "models", "FAMILY", folder=tmp_path) == 4


def test_a_module_is_found_in_the_folder(write: Write, tmp_path: Path) -> None:
    write("their_package/__init__.py", "")
    write("their_package/nets.py", FAMILY.format(name="theirs"))

    assert load_family("their_package.nets:MINE", folder=tmp_path).name == "theirs"


def test_the_folder_is_last_on_the_path_while_importing_and_gone_afterwards(write: Write, tmp_path: Path) -> None:
    write("mine.py", "import sys; PATH = list(sys.path)")
    before = list(sys.path)

    path = load_plugin("mine.py:PATH", "models", "FAMILY", folder=tmp_path)

    assert path == [*before, str(tmp_path.resolve())]
    assert sys.path == before


def test_a_file_in_the_folder_hides_no_installed_module(write: Write, tmp_path: Path) -> None:
    write("colorsys.py", "ONE_THIRD = 'hidden'")

    assert load_plugin("colorsys:ONE_THIRD", "models", "FAMILY", folder=tmp_path) == pytest.approx(1 / 3)


def test_the_path_is_restored_when_the_import_fails(write: Write, tmp_path: Path) -> None:
    write("broken.py", "1 / 0")
    before, modules = list(sys.path), set(sys.modules)

    for spec in ("broken.py:Net", "broken:Net"):
        with pytest.raises(ZeroDivisionError):
            load_plugin(spec, "models", "FAMILY", folder=tmp_path)

    assert sys.path == before
    assert set(sys.modules) == modules


def test_what_a_users_module_fails_to_import_is_named_as_python_does(write: Write, tmp_path: Path) -> None:
    write("needy.py", "import a_module_that_is_not_there")

    for spec in ("needy.py:Net", "needy:Net"):
        with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
            load_plugin(spec, "models", "FAMILY", folder=tmp_path)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("absent.py:Net", r"there is no file 'absent\.py' in .*, which its path is relative to"),
        ("absent_module:Net", "there is no module 'absent_module'; install it, put it in the study file's folder"),
        ("json.absent:Net", r"there is no module 'json\.absent'"),
        ("models.mine:Net", r"'models' is one of Studyhall's own packages \(.*\) and has no 'models.mine'"),
        (":Net", "write my_file.py:Name or package.module:Name"),
        ("mine.py:", "write my_file.py:Name or package.module:Name"),
        ("json:dump_", r"json has no 'dump_' \(did you mean 'dump'\?\)"),
    ],
)
def test_what_cannot_be_loaded_is_a_value_error_that_quotes_it(spec: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        load_family(spec, folder=tmp_path)

    assert repr(spec) in str(caught.value)


def test_something_that_is_not_a_family_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'json:dumps' is of type function; it must be a models\._family\.Family"):
        load_family("json:dumps")


def test_a_family_may_not_take_the_name_of_one_of_ours(write: Write, tmp_path: Path) -> None:
    write("mine.py", FAMILY.format(name="cnn"))

    with pytest.raises(ValueError, match="is named 'cnn', as is one of ours"):
        load_family("mine.py:MINE", folder=tmp_path)


def test_one_of_ours_may_be_loaded_by_its_module() -> None:
    assert load_family("models.cnn:FAMILY") is families()["cnn"]


@pytest.mark.parametrize("name", ["", "my net", "Net", "1net"])
def test_a_family_needs_a_name_that_can_be_a_prefix(name: str) -> None:
    ours: Family[Any] = families()["cnn"]

    with pytest.raises(ValueError, match="it must be lower-case letters, digits and _"):
        Family(name, ours.hyperparameters, ours.build)


def test_the_example_is_a_family() -> None:
    assert load_family("my_models.py:LENET", folder=EXAMPLES).name == "lenet"
