"""Plug-ins: the files of a folder are its registry; a user's own come from a file or an installed module."""

import hashlib
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

_OURS = ("study", "objectives", "models", "storage")


def plugins(package: ModuleType | str, attribute: str) -> dict[str, Any]:
    """Return `{file name: its attribute}` for every module of the package whose name has no leading underscore.

    Raises:
        AttributeError: a module lacks the attribute.
    """
    folder = importlib.import_module(package) if isinstance(package, str) else package
    names = sorted(found.name for found in pkgutil.iter_modules(folder.__path__) if not found.name.startswith("_"))
    return {name: getattr(importlib.import_module(f"{folder.__name__}.{name}"), attribute) for name in names}


def load_plugin(spec: str, package: ModuleType | str, attribute: str, *, folder: Path) -> Any:
    """Load a plug-in by one of three forms.

    Args:
        spec: a name from `plugins`; `my_file.py:Name`, a path relative to the folder; or `package.module:Name`.
        package: where the named ones are.
        attribute: what each named one's module calls it.
        folder: the user's folder, last on `sys.path` while a file or module of theirs is imported.

    Raises:
        ValueError: there is no such plug-in, file, module or name; the message says which and what is accepted.
    """
    source, colon, name = spec.rpartition(":")
    if not colon:
        return _named(spec, plugins(package, attribute))
    if not source or not name:
        raise ValueError(f"{spec!r} is not a plug-in; write my_file.py:Name or package.module:Name")
    with _last_on_path(folder):
        module = _from_file(spec, folder, source) if source.endswith(".py") else _from_module(spec, source)
    if not hasattr(module, name):
        public = [known for known in vars(module) if not known.startswith("_")]
        raise ValueError(f"{spec!r}: {source} has no {name!r}{_nearest(name, public)}")
    return getattr(module, name)


def _named(spec: str, known: dict[str, Any]) -> Any:
    if spec in known:
        return known[spec]
    raise ValueError(
        f"{spec!r} is unknown{_nearest(spec, list(known))}; accepted are {', '.join(known)}, "
        "or one of your own as my_file.py:Name or package.module:Name"
    )


def _from_file(spec: str, folder: Path, source: str) -> ModuleType:
    path = folder / source
    if not path.is_file():
        raise ValueError(f"{spec!r}: there is no file {source!r} in {folder.resolve()}, which its path is relative to")
    resolved = path.resolve()
    # The name holds the content's hash: the same file gives the same classes, an edited one is read anew.
    digest = hashlib.sha256(str(resolved).encode() + b"\0" + resolved.read_bytes()).hexdigest()[:16]
    name = f"_plugin_{digest}_{resolved.stem}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, resolved)
    if found is None or found.loader is None:
        raise ValueError(f"{spec!r}: {path} cannot be imported as Python")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    try:
        found.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _from_module(spec: str, source: str) -> ModuleType:
    try:
        return importlib.import_module(source)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{source}.".startswith(f"{error.name}."):
            raise  # their module exists; what it imports does not
        top = source.partition(".")[0]
        if top in _OURS:
            raise ValueError(
                f"{spec!r}: {top!r} is one of Studyhall's own packages ({', '.join(_OURS)}) and has no {source!r}; "
                "give your package another name, or use the form my_file.py:Name"
            ) from error
        raise ValueError(
            f"{spec!r}: there is no module {error.name!r}; install it, put it in the study file's folder, "
            "or use the form my_file.py:Name"
        ) from error


@contextmanager
def _last_on_path(folder: Path) -> Iterator[None]:
    # Last, so that a file of the user's can never hide an installed module.
    entry = str(folder.resolve())
    sys.path.append(entry)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if entry in sys.path:
            del sys.path[len(sys.path) - 1 - sys.path[::-1].index(entry)]


def _nearest(given: str, known: list[str]) -> str:
    close = get_close_matches(given, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
