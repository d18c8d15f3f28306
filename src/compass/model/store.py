"""Where models are found: a bitstream names the one that it needs by its hash."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from compass.errors import ModelError, ModelFileError, ModelNotFoundError
from compass.files import read_bytes, write_bytes
from compass.model.file import Manifest, ModelFile
from compass.model.model import Model

DEFAULT = "fast"
VARIABLE = "COMPASS_MODELS"
SUFFIX = ".model"
_PACKAGE = Path(__file__).parent / "weights"
_CHECKOUT = Path(__file__).parents[3]
_registered: list[Path] = []


class Place(NamedTuple):
    """A folder that may hold models, or a model file."""

    label: str
    path: Path


class Installed(NamedTuple):
    """A model file that was found, and where."""

    manifest: Manifest
    path: Path
    place: str  # label of the place, or "registered"


def register(path: str | os.PathLike[str]) -> None:
    """Makes this program find a model file. Raises ModelError if it is none."""
    file = Path(path).absolute()
    ModelFile(file)
    if file not in _registered:
        _registered.append(file)


def places() -> list[Place]:
    """Where models are looked for, after what was registered, in this order; the places need not exist."""
    import platformdirs

    named = [Place(VARIABLE, Path(part)) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    return [
        *named,
        Place("user", platformdirs.user_data_path("compass-codec", appauthor=False) / "models"),
        Place("data packages", Path(sysconfig.get_path("data")) / "share" / "compass" / "models"),
        Place("package", _PACKAGE),
        *([Place("repository", _CHECKOUT / "models" / "paper")] if (_CHECKOUT / "pyproject.toml").is_file() else []),
    ]


def installed() -> Iterator[Installed]:
    """All models that can be found, in the order of the search; files that are none are passed over."""
    return (found for found in search() if isinstance(found, Installed))


def search() -> Iterator[Installed | ModelError]:
    """All models in the order of the search, and for each file that is none what is wrong with it."""
    found = [(path, "registered") for path in _registered]
    for label, place in places():
        try:
            found += [(path, label) for path in ([place] if place.is_file() else sorted(place.glob("*" + SUFFIX)))]
        except OSError:  # a folder that may not be read
            continue
    for path, label in found:
        try:
            yield Installed(ModelFile(path).manifest, path, label)
        except ModelError as error:
            yield error


def find_hash(model_hash: bytes) -> Installed | None:
    """The first model of this hash that is whole, or the first of all if none is; None if there is no such model."""
    found = [entry for entry in installed() if entry.manifest.hash == model_hash]
    if len(found) < 2:
        return found[0] if found else None
    return next((entry for entry in found if ModelFile(entry.path).whole), found[0])


def load(name: str | os.PathLike[str] | None = None, threads: int = 0) -> Model:
    """A model by name, hash or file; None is the default model of the package. Raises ModelError if there is none.

    A name means the model of the package that is called so before any other: it is the one to encode with.
    """
    if not isinstance(name, str | os.PathLike | None):
        raise ModelError(f"a model is named by a text or a path, not by {name!r}")
    text = DEFAULT if name is None else os.fspath(name)
    packaged = _PACKAGE / (text + SUFFIX)
    if os.sep not in text and packaged.is_file():
        return _loaded(packaged, threads)
    known = list(installed())
    for entry in known:
        if entry.manifest.name == text or entry.manifest.hash.hex() == text.lower():
            return _loaded(entry.path, threads)
    if Path(text).is_file():
        return _loaded(Path(text).absolute(), threads)
    names = dict.fromkeys(entry.manifest.name for entry in known)
    raise ModelError(f"there is no model {text!r}: give a file, or one of {', '.join(names) or 'none installed'}")


def load_for(model_hash: bytes, name: str | os.PathLike[str] | None = None, threads: int = 0) -> Model:
    """The model that a bitstream names; `name` forces one.

    Raises ModelNotFoundError if it is not installed, ModelError if the one that is named is another.
    """
    if name is not None:
        model = load(name, threads)
        if model.hash != model_hash:
            raise ModelError(f"the file needs the model {model_hash.hex()}, but {model.name} is {model.hash.hex()}")
        return model
    entry = find_hash(model_hash)
    if entry is None:
        missing = ModelNotFoundError(model_hash)
        for problem in search():
            if isinstance(problem, ModelFileError):  # it may have been this one
                raise ModelError(f"{missing}, or cannot be read: {problem}")
        raise missing
    return _loaded(entry.path, threads)


def add(path: Path) -> Installed:
    """Copies a model file to the user's folder, having checked all of it.

    A model of the same hash and name in that folder is replaced; it may have another encoder. Raises ModelError if the
    file cannot be used, or if a model of the same hash is installed that decodes otherwise.
    """
    model = Model(path, threads=1)
    model.check()
    known = find_hash(model.hash)
    if known is not None and known.manifest.decoder_sha256 != model.file.manifest.decoder_sha256:
        raise ModelError(f"{path} has the hash {model.hash.hex()}, as another model has: {known.path}")
    folder = next(place.path for place in places() if place.label == "user")
    target = folder / f"{model.name}-{model.hash.hex()}{SUFFIX}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(f"the folder {folder} cannot be made: {error.strerror}") from None
    write_bytes(read_bytes(path), target)
    return Installed(ModelFile(target).manifest, target, "user")


def _loaded(path: Path, threads: int) -> Model:
    """Load a model, or take the one that is kept from an earlier call while its file is unchanged."""
    status = path.stat()
    return _load_cached(path, threads, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)
def _load_cached(path: Path, threads: int, *_: int) -> Model:
    return Model(path, threads)
