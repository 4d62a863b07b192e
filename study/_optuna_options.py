"""Optuna's samplers and pruners by name, made with the options of a study file."""

import importlib.util
import inspect
import re
import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from types import ModuleType
from typing import Any

from optuna.exceptions import ExperimentalWarning

from storage.errors import ConfigError
from study._explaining import shown

PACKAGES = {"cma_es": "cmaes", "gp": "scipy", "qmc": "scipy", "wilcoxon": "scipy"}
"""What Optuna imports only when it is used."""
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "bool": ((bool,), "true or false"),
    "int": ((int,), "an integer"),
    "float": ((int, float), "a number"),
}
_OBJECTS = re.compile("Callable|Base|Frozen|ndarray|Mapping")


def classes(module: ModuleType, base: type) -> dict[str, type]:
    """The concrete classes of a module by their names in a study file: ``CmaEsSampler`` is ``cma_es``."""
    return {
        _snake(name.removesuffix(base.__name__.removeprefix("Base"))): cls
        for name, cls in vars(module).items()
        if inspect.isclass(cls) and issubclass(cls, base) and not inspect.isabstract(cls)
    }


def _snake(name: str) -> str:
    return name.lower() if name.isupper() else re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def find(key: str, name: str, known: Mapping[str, Any]) -> Any:
    """The one of that name.

    Raises:
        ConfigError: There is none.
    """
    if name in known:
        return known[name]
    near = [other for other in known if other.replace("_", "") == name.lower().replace("_", "")]
    near = near or get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(f"{key} is {name}; {hint}Accepted: {', '.join(sorted(known))}")


def make(
    key: str, name: str, cls: type, given: Mapping[str, Any], fixed: Mapping[str, Any], *, beside: tuple[str, ...] = ()
) -> Any:
    """An instance.

    Args:
        key: The study file's key, for messages.
        name: The name given there.
        cls: What to make.
        given: The options given there.
        fixed: Options that are ours.
        beside: Options of the file that are not Optuna's, for messages.

    Raises:
        ConfigError: An option is unknown, missing or of the wrong kind, or a package is missing.
    """
    accepted = {
        option: parameter
        for option, parameter in inspect.signature(cls).parameters.items()
        if option not in fixed and option != "seed" and not _OBJECTS.search(str(parameter.annotation))
    }
    for option, value in given.items():
        _check_option(f"{key} {name}", option, value, accepted, beside)
    missing = [o for o, parameter in accepted.items() if parameter.default is parameter.empty and o not in given]
    if missing:
        raise ConfigError(f"{key} {name} needs {', '.join(missing)}: {key}: {{name: {name}, {missing[0]}: …}}")
    package = PACKAGES.get(name)
    if package and importlib.util.find_spec(package) is None:
        raise ConfigError(f"{key} {name} needs the package {package}: pip install {package}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return cls(**{**fixed, **given})
    except (TypeError, ValueError, ImportError) as error:
        raise ConfigError(f"{key} {name}: {error}") from None


def _check_option(
    where: str, option: str, value: Any, accepted: Mapping[str, inspect.Parameter], beside: tuple[str, ...]
) -> None:
    if option == "seed":
        raise ConfigError(f"{where} takes no seed: every trial's follows from study.seed")
    if option not in accepted:
        names = [*accepted, *beside]
        near = get_close_matches(option, names, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"{where} has no option {option}; {hint}Accepted: {', '.join(names) or 'none'}")
    kind = str(accepted[option].annotation).strip("'")
    types, words = _KINDS.get(kind, ((), ""))
    if types and (not isinstance(value, types) or (isinstance(value, bool) and kind != "bool")):
        raise ConfigError(f"{where}: {option} is {shown(value)}; it must be {words}")
