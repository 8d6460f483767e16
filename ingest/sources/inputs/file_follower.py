"""Follow the files of a source across rotation, with the position stored in the store."""

import logging
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from ingest.sources.inputs.followed import Followed
from ingest.sources.inputs.followed_paths import found_files
from ingest.sources.inputs.followed_place import Places
from ingest.sources.inputs.intake import ReadPosition, SourceIntake
from lineage.core.model.errors import RefusedError
from lineage.core.model.times import SECOND, Instant

logger = logging.getLogger(__name__)

TOPIC: Final = "follow"
# How long a moved or removed file is kept open after its last byte, because its writer may also have it open.
_HELD_SECONDS: Final = 60
_MOST_OPEN: Final = 256


class Progress(NamedTuple):
    """The state of the files of a source.

    Attributes:
        files: The number of files.
        behind: The number of bytes not ingested yet.
        faults: Why files cannot be read, by path.
    """

    files: int
    behind: int
    faults: dict[str, str]


class FileFollower:
    """Follows the files of one source. Single-threaded."""

    def __init__(
        self,
        intake: SourceIntake,
        paths: Sequence[str],
        *,
        clock: Callable[[], Instant],
        origin: Callable[[str], str] = lambda path: path,
        topic: str = TOPIC,
        progress: Callable[[Progress], None] = lambda _progress: None,
        finished: Callable[[str, int], None] | None = None,
    ) -> None:
        """Create a follower.

        Args:
            intake: Ingests records of the source.
            paths: Files, patterns and folders.
            clock: Returns the current time, as in file times.
            origin: Returns the origin of a file's quarantined records.
            topic: The topic of the stored positions.
            progress: Called with the state after each round.
            finished: For a spool: called with a file and the number of bytes read, and may remove the file. The files
                of a spool are not checked for their format, and the positions of removed ones are deleted.
        """
        self._intake, self._paths, self._clock = intake, tuple(paths), clock
        self._origin, self._topic = origin, topic
        self._progress, self._finished = progress, finished
        self._files: dict[str, Followed] = {}
        self._places: Places | None = None
        self._faults: dict[str, str] = {}
        self._reported: dict[str, str] = {}

    def round(self, stop: Callable[[], bool] = lambda: False) -> int:
        """Ingest the current content, and return the number of bytes or records.

        Raises:
            UnavailableError: The log or the store is unavailable; the positions are unchanged.
        """
        try:
            return self._round(stop)
        except BaseException:
            self.close()
            raise

    @property
    def unread(self) -> dict[str, str]:
        """Return why files and folders could not be read in the last round, by path, without unknown formats."""
        refused = {one.found.path for one in self._files.values() if one.refused is not None}
        return {path: why for path, why in self._faults.items() if path not in refused}

    def close(self) -> None:
        """Close the files. The next round starts from the stored positions."""
        for one in self._files.values():
            one.close()
        self._files, self._places = {}, None

    def _round(self, stop: Callable[[], bool]) -> int:
        if self._places is None:
            self._places = Places(self._intake.places(self._topic))
        self._faults = {}
        self._look(self._places)
        read = 0
        keys = {one.key for one in self._files.values() if one.key is not None}
        for one in sorted(self._files.values(), key=lambda one: (one.found.changed, one.found.path)):
            read += self._read(one, keys, stop)
            if stop():
                break
            if one.refused is not None:
                self._faults[one.found.path] = one.refused.why
            elif not one.behind and self._finished is not None and one.gone_at is None:
                self._finished(one.found.path, one.found.size)
            held = 0 if self._finished is not None else _HELD_SECONDS
            if one.gone_at is not None and self._clock() - one.gone_at >= held * SECOND and not one.behind:
                one.close()
                del self._files[one.found.file]
                if self._finished is not None and one.key is not None:
                    self._intake.take(self._origin(one.found.path), (), [ReadPosition(self._topic, one.key, None)])
                    self._places.drop(one.key)
        self._close_some()
        self._tell()
        return read

    def _look(self, places: Places) -> None:
        """Find the current files and their names."""
        found = {one.file: one for one in found_files(self._paths, self._fault)}
        for file, one in found.items():
            if file in self._files:
                self._files[file].seen(one)
            else:
                self._files[file] = Followed(
                    one,
                    self._intake,
                    places,
                    clock=self._clock,
                    topic=self._topic,
                    origin=self._origin,
                    is_judged=self._finished is None,
                )
        for file, followed in list(self._files.items()):
            if file not in found and not followed.lost():
                del self._files[file]

    def _read(self, one: Followed, keys: set[str], stop: Callable[[], bool]) -> int:
        size = 0
        if one.key is not None:
            keys.discard(one.key)
        try:
            if one.is_ready(keys):
                while not stop() and (more := one.step()):
                    size += more
        except FileNotFoundError:
            pass  # it is searched for in the next round
        except PermissionError:
            self._fault(one.found.path, "it may not be read")
        except OSError as error:
            self._fault(one.found.path, error.strerror or "it cannot be read")
        except RefusedError as error:
            one.refuse(str(error))
        if one.key is not None:
            keys.add(one.key)
        return size

    def _fault(self, path: str, why: str) -> None:
        self._faults[path] = why

    def _close_some(self) -> None:
        """Keep only the most recently modified files open: a moved file is read to its end by its handle."""
        held = [one for one in self._files.values() if one.is_open and one.gone_at is None]
        for one in sorted(held, key=lambda one: one.found.changed)[:-_MOST_OPEN]:
            one.close()

    def _tell(self) -> None:
        """Log each new or resolved problem once, with the remedy."""
        name = self._intake.named.name
        for path, why in self._faults.items():
            if self._reported.get(path) != why:
                logger.error("the source %r cannot follow %s: %s", name, path, _with_remedy(why))
        for path in self._reported.keys() - self._faults.keys():
            logger.info("the source %r follows %s again", name, path)
        self._reported = dict(self._faults)
        behind = sum(one.behind for one in self._files.values() if one.refused is None)
        self._progress(Progress(len(self._files), behind, dict(self._faults)))


def _with_remedy(why: str) -> str:
    if why == "it may not be read":
        return "it may not be read; let the user of this process read it (a folder also needs the right to enter)"
    return why
