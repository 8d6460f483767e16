"""Find the files that a path of ``follow`` denotes.

They are the file and its rotated predecessors, the matches of a pattern, or the files of a folder.
"""

import glob
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

_PATTERN: Final = re.compile(r"[*?\[]")
# The suffix that rotation appends to a name, or inserts before its extension: numbers and times.
_ROTATED: Final = r"[-._](?:old|[0-9][0-9TZ:._+-]*)"
_COMPRESSED: Final = r"(?:\.gz)?"


class FollowedFile(NamedTuple):
    """A file to follow.

    Attributes:
        path: Its path.
        file: Its device and inode.
        size: Its size in bytes.
        changed: Its modification time, in nanoseconds.
    """

    path: str
    file: str
    size: int
    changed: int


def found_files(paths: Iterable[str], fault: Callable[[str, str], None]) -> list[FollowedFile]:
    """Find the regular files that paths denote, the least recently modified first.

    Args:
        paths: Files, patterns and folders.
        fault: Called with a path that cannot be examined, and the reason. A file that is still missing is no error.
    """
    found: dict[str, FollowedFile] = {}
    for path in paths:
        for one in _expand(path, fault):
            try:
                seen = Path(one).stat()
            except FileNotFoundError:
                continue
            except OSError as error:
                fault(one, _because(error))
                continue
            if stat.S_ISREG(seen.st_mode):
                file = f"{seen.st_dev}:{seen.st_ino}"
                found.setdefault(file, FollowedFile(one, file, seen.st_size, seen.st_mtime_ns))
            elif not stat.S_ISDIR(seen.st_mode):
                fault(one, "it is not a regular file")
    return sorted(found.values(), key=lambda one: (one.changed, one.path))


def _expand(path: str, fault: Callable[[str, str], None]) -> Iterator[str]:
    if _is_folder(path):
        yield from _within(path, fault)
    elif _PATTERN.search(path) and not os.path.lexists(path):
        named = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 (it may begin at the root)
        if not named:
            _refuse_closed(path[: _PATTERN.search(path).start()].rpartition(os.sep)[0] or ".", fault)  # type: ignore[union-attr]
        for one in named:
            yield from _within(one, fault) if _is_folder(one) else (one,)
        yield from _predecessors(named, fault)
    else:
        yield path
        yield from _predecessors([path], fault)


def _within(folder: str, fault: Callable[[str, str], None]) -> Iterator[str]:
    """Yield the files in and below a folder. Hidden ones are skipped: they are renamed once complete."""
    for where, folders, files in os.walk(folder, onerror=lambda error: fault(error.filename, _because(error))):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (str(Path(where, name)) for name in files if not name.startswith("."))


def _predecessors(names: Iterable[str], fault: Callable[[str, str], None]) -> Iterator[str]:
    """Yield the rotated predecessors of files, compressed or not, in the same folder."""
    by_folder: dict[str, list[str]] = {}
    for name in names:
        folder, _, base = name.rpartition(os.sep)
        by_folder.setdefault(folder or (os.sep if name.startswith(os.sep) else "."), []).append(base)
    for folder, bases in by_folder.items():
        rotated = [_rotated(base) for base in bases]
        try:
            entries = sorted(entry.name for entry in Path(folder).iterdir())
        except FileNotFoundError:
            continue
        except OSError as error:
            fault(folder, _because(error))
            continue
        for entry in entries:
            if any(one.fullmatch(entry) for one in rotated):
                yield str(Path(folder, entry))


def _rotated(base: str) -> re.Pattern[str]:
    stem, ending = Path(base).stem, Path(base).suffix
    whole, part = re.escape(base), re.escape(stem)
    names = f"{whole}{_ROTATED}{_COMPRESSED}|{whole}\\.gz"
    if ending:
        names += f"|{part}{_ROTATED}{re.escape(ending)}{_COMPRESSED}"
    return re.compile(names)


def _refuse_closed(folder: str, fault: Callable[[str, str], None]) -> None:
    """Report an unreadable folder, in which a pattern would silently match nothing."""
    if _is_folder(folder) and not os.access(folder, os.R_OK | os.X_OK):
        fault(folder, "it may not be read")


def _is_folder(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except OSError:  # in an inaccessible folder; reported when it is opened
        return False


def _because(error: OSError) -> str:
    return "it may not be read" if isinstance(error, PermissionError) else (error.strerror or "it cannot be read")
