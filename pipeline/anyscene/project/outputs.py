"""Files and folders that appear whole or not at all. They are written beside their place and renamed; and
whether they can be written is known before the work for them begins.

What is not whole yet lies in a folder beside its place, which its process locks. So processes that write the
same file at once do not meet, the last of them wins, and the next writer removes what a killed one left."""

from __future__ import annotations

import errno
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from anyscene.errors import OutputError

LOCKS = ("lock", "lock.soft")  # files in the folder of what is not whole yet
LOCKLESS = (errno.ENOLCK, errno.EOPNOTSUPP)  # of network file systems; filelock knows ENOSYS itself
STREAMS = (Path("/dev"), Path("/proc"))  # /dev/stdout may lead to a file, in whose place nothing can be put


@contextmanager
def replaced(path: Path, *, wholly: bool = False) -> Iterator[Path]:
    """A context that yields a path beside `path`, for a file or a folder that takes the place of `path` when
    the block ends. Folders that are missing are made.

    Where the block raises, `path` stays what it was, and nothing is left beside it. A folder takes the place
    of an empty one only; `wholly`: of any folder, and what that held is removed. What is no file, such as
    /dev/stdout, is yielded itself. Raises OutputError as `explained`."""
    with explained(path):
        stream = _is_stream(path)
    if stream:
        with explained(path):
            yield path
        return
    with explained(path):
        if not path.parent.is_dir():
            check_folder(path.parent)
            path.parent.mkdir(parents=True, exist_ok=True)
        with _own_folder(path) as folder:
            yield folder / path.name
            if wholly and path.is_dir():
                _swap(folder / path.name, path)
            else:
                (folder / path.name).replace(path)


def write(path: Path, content: str | bytes) -> None:
    """Write a file as a whole, a text in UTF-8, in which bytes that are no text are escaped as in JSON.
    Raises OutputError as `explained`."""
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    with replaced(path) as partial:
        partial.write_bytes(data)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """A context for what writes `path`. It raises OutputError in place of the OSError of a full disk, a
    missing permission or a path that cannot be; errors about other files are raised as they are."""
    try:
        yield
    except OSError as error:
        if error.filename is not None and not _is_near(Path(error.filename), path):
            raise
        remedy = "give a shorter name; " if error.errno == errno.ENAMETOOLONG else ""
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); {remedy}what was there before is "
            "unchanged"
        ) from error


def check(path: Path, *endings: str) -> None:
    """Raise OutputError where `path` cannot be the file to write: it ends in none of `endings` (any will do
    without), is a folder, lies below a file, or may not be written. A missing folder will be made."""
    with explained(path):
        if _is_stream(path):
            return
        if path.is_dir() and path.suffix not in endings:
            raise OutputError(f"{path}: is a folder; give the file to write")
        if endings and path.suffix.lower() not in endings:
            raise OutputError(f"{path}: give a name that ends in {' or '.join(endings)}")
        if path.is_dir():
            raise OutputError(f"{path}: is a folder; give the file to write")
        if path.is_file():
            with path.open("ab"):  # a file that nobody may write is kept
                pass
        _beside(path).is_file()  # a name that is too long raises
    check_folder(path.parent)


def check_folder(path: Path) -> None:
    """Raise OutputError where `path` can be no folder to write into: it is a file, lies below one, or may not
    be written. A missing folder will be made."""
    try:
        there = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
        if there.is_dir():
            with tempfile.TemporaryFile(dir=there):
                return
    except OSError as error:
        raise OutputError(
            f"{path}: nothing can be written there ({error.strerror}); give another path"
        ) from error
    raise OutputError(f"{there}: is a file, where a folder is to be; give another path")


def can_write(folder: Path) -> bool:
    """Whether files can be written into a folder, which may be missing yet."""
    try:
        check_folder(folder)
    except OutputError:
        return False
    return True


def _is_stream(path: Path) -> bool:
    if path.is_symlink() and any(path.absolute().is_relative_to(folder) for folder in STREAMS):
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


def _is_near(file: Path, path: Path) -> bool:
    """Whether an error about `file` is one about writing `path`: it lies beside or below it, or above it."""
    file, path = file.absolute(), path.absolute()
    return file.is_relative_to(path.parent) or path.is_relative_to(file)


@contextmanager
def _own_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside `path` that no other process has, removed in the end."""
    folder, lock = _claimed(path)
    try:
        for left in folder.iterdir():  # by a run that was killed
            if left.name not in LOCKS:
                _remove(left)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _claimed(path: Path) -> tuple[Path, BaseFileLock]:
    """The first folder beside `path` that no other process holds, and the lock that holds it."""
    for place in itertools.count():
        folder = _beside(path, place)
        with suppress(Timeout, FileNotFoundError, FileExistsError):  # it is held, or is just being removed
            return folder, held(folder)
    raise AssertionError("there is always a next place")


def held(folder: Path) -> BaseFileLock:
    """Create `folder` and hold the lock in it. Raises Timeout where another process holds it, and
    FileNotFoundError or FileExistsError where its owner is just removing it."""
    lock: BaseFileLock = FileLock(folder / LOCKS[0], timeout=0)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in LOCKLESS:
            raise
        lock = SoftFileLock(folder / LOCKS[1], timeout=0)  # one that its presence holds
        lock.acquire()
    return lock


def _beside(path: Path, place: int = 0) -> Path:
    return path.with_name(f".{path.name}.{place}.partial")


def _swap(new: Path, path: Path) -> None:
    """Put the folder `new` in the place of the folder `path`, and that beside `new`. Where it cannot be,
    `path` stays."""
    older = new.with_name(f"{new.name}.older")
    path.replace(older)
    try:
        new.replace(path)
    except OSError:
        older.replace(path)
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
