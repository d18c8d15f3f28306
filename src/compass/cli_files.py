"""Commands on one file or many: what is written where, side by side, and what is said when some fail."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from compass.attempt import attempt
from compass.cli_options import check_target, path_of
from compass.errors import CompassError, InputError
from compass.files import STANDARD

Files = Annotated[
    list[Path],
    typer.Argument(
        parser=path_of,
        metavar="IN [OUT]",
        help="A file and what to write; - is standard input or output. Without OUT it is named after IN.",
    ),
]
OutDir = Annotated[
    Path | None,
    typer.Option(
        "--out-dir", help="Any number of files, and folders of them, into this folder; it is made if need be."
    ),
]
Jobs = Annotated[
    int, typer.Option("-j", "--jobs", min=1, help="With --out-dir: so many files at once, each on one thread.")
]
_CLEAR_LINE = "\r\x1b[K"
Work = Callable[[Path, Path], None]


@dataclass(frozen=True)
class Plan:
    """Pairs of what is read and what is written."""

    pairs: Sequence[tuple[Path, Path]]
    batch: bool  # files that are there already are kept, and one that fails does not stop the others


def plan(
    files: Sequence[Path],
    out_dir: Path | None,
    suffix: str,
    inputs: Callable[[], Collection[str]],
    keep_suffix: bool | None = None,
) -> Plan:
    """What to write for the arguments of a command.

    suffix: of what is written where it is not named, after the whole name of what is read if `keep_suffix`
    (None if there is no such option).
    inputs: yields suffixes of the files of a folder that are read. It is called for a folder alone, since for images
    all of Pillow's plugins must be loaded. Raises InputError if it is not clear what to write, or if something would
    be written over what is read.
    """
    if out_dir is None and len(files) > 1 and os.path.isdir(files[-1]):
        *files, out_dir = files
    if out_dir is None:
        if len(files) > 2:
            raise InputError(f"{len(files)} files are given: name the folder to write to by --out-dir")
        source, target = files if len(files) == 2 else (files[0], _named_after(files[0], suffix, keep_suffix))
        if source != STANDARD and _same(source, target):
            raise InputError(f"{target} would be written over what is read")
        return Plan([(source, target)], batch=False)
    pairs: dict[Path, Path] = {}
    for source in _expanded(files, inputs):
        target = out_dir / _with_suffix(source, suffix, keep_suffix).name
        if target in pairs:
            hint = ": give --keep-suffix" if keep_suffix is False and pairs[target].name != source.name else ""
            raise InputError(f"{pairs[target]} and {source} would both become {target}{hint}")
        if _same(source, target):
            raise InputError(f"{target} would be written over what is read")
        pairs[target] = source
    if not pairs:
        raise InputError("there is nothing to read in " + ", ".join(map(str, files)))
    return Plan([(source, target) for target, source in pairs.items()], batch=True)


def run(work: Work, planned: Plan, jobs: int, force: bool) -> None:
    """Does the work for each pair; `work` must be picklable. Raises InputError if some of a batch fail, at the end."""
    if not planned.batch:
        if jobs > 1:
            raise InputError("--jobs is for several files: name the folder to write to by --out-dir")
        source, target = planned.pairs[0]
        check_target(target, force)
        with named(source, target):
            work(source, target)
        return
    todo = [pair for pair in planned.pairs if force or not os.path.exists(pair[1])]
    for folder in {target.parent for _, target in todo}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} cannot be made: {error.strerror}") from None
    failed = 0
    for said in _progress(_results(partial(_attempt, work, force), todo, jobs), len(todo)):
        for text in said.texts:
            say(text)
        failed += said.failed
    kept = len(planned.pairs) - len(todo)
    if kept:
        typer.echo(f"compass: {kept} there already, kept (--force writes them again)", err=True)
    if failed:
        raise InputError(f"{failed} of {len(todo)} files failed")


def say(text: str) -> None:
    """A sentence on standard error, in place of a bar that stands there."""
    typer.echo(f"{_CLEAR_LINE if sys.stderr.isatty() else ''}compass: {text}", err=True)


@contextlib.contextmanager
def named(source: Path, target: Path | None = None) -> Iterator[None]:
    """Errors and warnings of a file begin with its name, unless they name it or the target."""
    shown = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: object, **options: object) -> None:
        shown(_with_name(str(message), source, target), category, *rest, **options)  # type: ignore[arg-type]

    warnings.showwarning = show
    try:
        yield
    except (CompassError, Warning) as error:
        error.args = (_with_name(str(error), source, target), *error.args[1:])
        raise
    finally:
        warnings.showwarning = shown


def _with_name(text: str, source: Path, target: Path | None) -> str:
    name = "standard input" if source == STANDARD else str(source)
    names = [name] if target is None else [name, str(target), os.path.realpath(target)]
    if target == STANDARD:
        names[1:] = ["standard output"]
    return text if text.startswith(tuple(names)) else f"{name}: {text}"


@dataclass(frozen=True)
class _Said:
    """What became of a pair."""

    texts: list[str]
    failed: bool


def _attempt(work: Work, force: bool, pair: tuple[Path, Path]) -> _Said:
    if not force and os.path.exists(pair[1]):  # its process was killed when all was done
        return _Said([], False)
    done = attempt(partial(work, *pair))
    texts = done.warnings + ([] if done.error is None else [done.error])
    return _Said([_with_name(text, *pair) for text in texts], done.error is not None)


def _results(
    work: Callable[[tuple[Path, Path]], _Said], pairs: Sequence[tuple[Path, Path]], jobs: int
) -> Iterator[_Said]:
    if jobs == 1:
        return map(work, pairs)
    from compass.processes import in_processes

    return in_processes(work, _killed, pairs, jobs)


def _killed(pair: tuple[Path, Path]) -> _Said:
    return _Said([f"{pair[0]}: not done, since its process was killed each time"], failed=True)


@contextlib.contextmanager
def progress_bar(shown: bool) -> Iterator[Callable[[float], None] | None]:
    """What is to be told the part of the work that is done; it shows a bar if there is a terminal."""
    if not shown or not sys.stderr.isatty():
        yield None
        return
    with typer.progressbar(length=1000, file=sys.stderr) as bar:
        yield lambda done: bar.update(max(0, round(1000 * done) - bar.pos))


def _progress(results: Iterable[_Said], count: int) -> Iterator[_Said]:
    """The same, with a bar on a terminal."""
    if not sys.stderr.isatty():
        yield from results
        return
    with typer.progressbar(results, length=count, file=sys.stderr) as bar:
        yield from bar


def _with_suffix(source: Path, suffix: str, keep_suffix: bool | None) -> Path:
    return source.with_name(source.name + suffix) if keep_suffix else source.with_suffix(suffix)


def _named_after(source: Path, suffix: str, keep_suffix: bool | None) -> Path:
    if source == STANDARD:
        return STANDARD
    if os.path.isdir(source):
        raise InputError(f"{source} is a folder: name the folder to write to by --out-dir")
    return _with_suffix(source, suffix, keep_suffix)


def _expanded(files: Sequence[Path], inputs: Callable[[], Collection[str]]) -> Iterator[Path]:
    for path in files:
        if path == STANDARD:
            raise InputError("standard input has no name that a file could be named after: give OUT")
        if not os.path.isdir(path):
            yield path
            continue
        wanted = inputs()
        try:
            children = sorted(path.iterdir())
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None
        yield from (
            child for child in children if child.suffix.lower() in wanted and (child.is_file() or _broken(child))
        )
        if inner := sum(child.is_dir() for child in children):
            warnings.warn(f"{path}: folders in it are left out, {inner}", stacklevel=2)


def _broken(path: Path) -> bool:
    """Whether it is a link to nothing, which fails when it is read."""
    return path.is_symlink() and not path.exists()


def _same(a: Path, b: Path) -> bool:
    try:
        return os.path.samefile(a, b)
    except OSError:
        return False
