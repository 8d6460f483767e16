"""The follower gives a caller a copy of the store, whatever happens to the checks of others."""

import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import pytest

from lineage.store.follower import Follower
from tests.support.small_runs import a_store, tokens, write


class Entered:
    """A lock that calls something before a thread enters it for the second time."""

    def __init__(self, between: threading.Thread) -> None:
        self._lock = threading.Lock()
        self._left = [between]
        self._times = 0

    def __enter__(self) -> None:
        self._times += 1
        if self._times == 2 and self._left:
            thread = self._left.pop()
            thread.start()
            thread.join()
        self._lock.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lock.release()


def test_a_caller_whose_check_succeeded_gets_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    Also if the check of another caller fails before it has locked the copy: then it checks again.
    """
    with a_store(f"sqlite:///{tmp_path}/s.db") as store:
        write(store, tokens(5))

        def fails(*_: object) -> NoReturn:
            raise KeyError("internal")

        follower = Follower(store, load=lambda _: None, apply=fails)
        with follower.caught_up():
            pass

        def other() -> None:
            write(store, tokens(5, 2), start=5)
            with suppress(KeyError), follower.caught_up():
                pass

        monkeypatch.setattr(follower, "_lock", Entered(threading.Thread(target=other)))
        with follower.caught_up() as place:
            assert [10] == list(place.positions.values())
