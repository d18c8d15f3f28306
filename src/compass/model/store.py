"""Where models are found: a bitstream names the one that it needs by its hash."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from compass.errors import ModelError, ModelNotFoundError
from compass.files import write_bytes
from compass.model.file import Manifest, ModelFile
from compass.model.model import Model

DEFAULT = "fast"
VARIABLE = "COMPASS_MODELS"
SUFFIX = ".model"
_PACKAGE = Path(__file__).parent / "weights"
_registered: list[Path] = []


class Place(NamedTuple):
    """A folder that may hold models."""

    label: str
    folder: Path


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
    """Folders that are searched, after what was registered, in this order; they need not exist."""
    import platformdirs

    named = [Place(VARIABLE, Path(part)) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    return [
        *named,
        Place("user", platformdirs.user_data_path("compass-codec", appauthor=False) / "models"),
        Place("data packages", Path(sysconfig.get_path("data")) / "share" / "compass" / "models"),
        Place("package", _PACKAGE),
    ]


def installed() -> Iterator[Installed]:
    """All models that can be found, in the order of the search; files that are none are passed over."""
    found = [(path, "registered") for path in _registered]
    for label, folder in places():
        try:
            found += [(path, label) for path in sorted(folder.glob("*" + SUFFIX))]
        except OSError:  # a folder that may not be read
            continue
    for path, label in found:
        try:
            yield Installed(ModelFile(path).manifest, path, label)
        except ModelError:
            continue


def find_hash(model_hash: bytes) -> Installed | None:
    """The first model of this hash, None if there is none."""
    return next((entry for entry in installed() if entry.manifest.hash == model_hash), None)


def load(name: str | os.PathLike[str] | None = None, threads: int = 0) -> Model:
    """A model by name, hash or file; None is the default model of the package. Raises ModelError if there is none.

    A name means the model of the package that is called so before any other: it is the one to encode with.
    """
    text = DEFAULT if name is None else os.fspath(name)
    packaged = _PACKAGE / (text + SUFFIX)
    if os.sep not in text and packaged.is_file():
        return _loaded(packaged, threads)
    known = list(installed())
    for entry in known:
        if text in (entry.manifest.name, entry.manifest.hash.hex()):
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
        raise ModelNotFoundError(model_hash)
    return _loaded(entry.path, threads)


def add(path: Path) -> Installed:
    """Copies a model file to the user's folder, having checked all of it.

    Raises ModelError if it cannot be used, or if another model of the same hash is installed.
    """
    model = Model(path, threads=1)
    model.check()
    known = find_hash(model.hash)
    if known is not None and known.manifest.sha256 != model.file.manifest.sha256:
        raise ModelError(f"{path} has the hash {model.hash.hex()}, as another model has: {known.path}")
    place = next(place for place in places() if place.label == "user")
    target = place.folder / f"{model.name}-{model.hash.hex()}{SUFFIX}"
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be added: {error.strerror}") from None
    write_bytes(content, target)
    return Installed(ModelFile(target).manifest, target, place.label)


def _loaded(path: Path, threads: int) -> Model:
    """Load a model, or take the one that is kept from an earlier call while its file is unchanged."""
    status = path.stat()
    return _load_cached(path, threads, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)
def _load_cached(path: Path, threads: int, *_: int) -> Model:
    return Model(path, threads)
