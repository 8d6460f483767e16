"""Sign checkpoints of the log every so many records or seconds, have them cosigned, and publish them.

Each in a separate thread.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from lineage.core.model.errors import DelegraphError, FencedError
from lineage.core.model.times import Instant
from lineage.core.model.trust import Trusted, TrustTable
from lineage.plumbing.backoff import Backoff
from lineage.serve.documents.core_documents import Document
from lineage.serve.processes.background_threads import background_threads
from lineage.serve.processes.health_server import Health
from lineage.serve.processes.sole_feeder import SoleFeeder
from lineage.store.store import Store

if TYPE_CHECKING:  # the libraries are only imported if there is a key
    from lineage.deliver.tlog.cosigning import Faults
    from lineage.deliver.tlog.note_keys import NoteKeys
    from lineage.deliver.tlog.witness_settings import WitnessEndpoint
    from lineage.serve.config.settings import Settings

logger = logging.getLogger(__name__)

_TURN_SECONDS: Final = 1.0
_LONGEST_WAIT_SECONDS: Final = 60.0


class Checkpointing:
    """Signs checkpoints if there is a key. Several processes over one store sign one history."""

    def __init__(self, settings: "Settings", store: Store, trust: Trusted | None, clock: Callable[[], Instant]) -> None:
        """Prepare what the settings say; nothing is read before the first turn.

        Args:
            settings: The settings.
            store: The store.
            trust: Provides the trust table in force.
            clock: Returns the current time.
        """
        self._settings, self._store, self._clock = settings, store, clock
        self._trust = trust
        self._keys: NoteKeys | None = None
        self._signed = 0
        self._faults: list[str] = []
        self._raised: dict[str, str] = {}  # by thread
        self._unwitnessed: dict[str, Faults] = {}
        self._topic = _CheckpointTopic(settings, store, clock) if self._is_on and settings.on_kafka else None

    @property
    def _is_on(self) -> bool:
        return self._settings.evidence_key_file is not None

    def once(self) -> None:
        """Sign what is new, and ask the witnesses.

        Raises:
            RefusedError: The key cannot be used.
            UnavailableError: The store is unavailable.
        """
        if self._is_on and self._begun():
            self._sign(at_once=True)
            self._ask(self._settings.witnesses)
            self._write_files()
            if self._topic is not None:
                self._topic.turn()
                self._topic.close()

    @contextmanager
    def in_background(self, stopped: threading.Event, health: Health) -> Iterator[None]:
        """Sign within the block; ends once ``stopped`` is set. A slow witness delays nothing else."""
        if not self._is_on:
            yield
            return
        self._begun()  # a key that cannot be used is reported at the start
        turns: dict[str, Callable[[], bool]] = {
            "checkpoints": partial(self._sign, at_once=False),
            "checkpoint-files": self._write_files,
        }
        if self._topic is not None:
            turns["checkpoint-topic"] = self._topic.turn
        turns |= {f"witness-{one.name}": partial(self._ask, (one,)) for one in self._settings.witnesses}
        targets = {name: partial(self._repeat, name, turn) for name, turn in turns.items()}
        try:
            with background_threads(targets, stopped, health):
                yield
        finally:
            if self._topic is not None:
                self._topic.close()

    def document(self) -> Document:
        """Report how many checkpoints this process signed, and what is wrong; empty if there is no key."""
        if not self._is_on:
            return {}
        witnesses = [f"{name}: {fault}" for each in self._unwitnessed.values() for (name, _), fault in each.items()]
        return {
            "checkpoints": self._signed,
            "checkpoint_faults": sorted({*self._faults, *self._raised.values(), *witnesses}),
            "evidence": self._status(),
        }

    def _status(self) -> Document | None:
        """The state of the evidence with what witnesses last said; None if the store is unavailable."""
        from lineage.deliver.tlog.witness_client import SILENT
        from lineage.serve.queries.evidence.evidence_status import evidence_status

        settings = self._settings
        try:
            found = evidence_status(self._store, settings.evidence_origin, settings.witnesses, at=self._clock())
        except DelegraphError:
            return None
        for one in found["witnesses"]:
            faults = list(self._unwitnessed.get(one["name"], {}).values())
            silent = sum(fault.startswith(SILENT) for fault in faults)
            one.update(silent=silent > 0, refuses=len(faults) > silent)
        return found

    def _repeat(self, name: str, turn: Callable[[], bool], stopped: threading.Event) -> None:
        backoff = Backoff(_TURN_SECONDS, _LONGEST_WAIT_SECONDS)
        while not stopped.is_set():
            wait = _TURN_SECONDS
            try:
                if not self._begun() or turn():
                    backoff.reset()
                else:
                    wait = backoff.next_seconds()
                self._raised.pop(name, None)
            except FencedError as fault:  # another process does it, or was faster
                logger.info("%s", fault)
            except DelegraphError as fault:
                wait = backoff.next_seconds()
                logger.warning("%s; trying again in %.1f s", fault, wait)
                self._raised[name] = str(fault)
            stopped.wait(wait)

    def _begun(self) -> bool:
        """Load the key, once the store knows which log it is of, since that names the origin by default."""
        from lineage.core.evidence.notes import KeyKind
        from lineage.deliver.tlog.checkpointing import origin_of
        from lineage.deliver.tlog.note_keys import load_note_keys

        file, origin = self._settings.evidence_key_file, self._settings.evidence_origin
        if self._keys is None and file is not None:
            keys = load_note_keys(origin_of(self._store, origin), KeyKind.ED25519, file)
            if origin is None and self._store.log is None:
                return False
            self._keys = keys
        return self._keys is not None

    def _sign(self, *, at_once: bool) -> bool:
        """Sign what is due; return whether every partition can be signed."""
        from lineage.deliver.tlog.checkpoint_files import refuse_older_store
        from lineage.deliver.tlog.checkpointing import AT_ONCE, Pace, is_due, sign_checkpoints
        from lineage.serve.queries.evidence.key_rotations import refuse_retired, rotations_of

        keys, settings = self._keys, self._settings
        pace = AT_ONCE if at_once else Pace(settings.evidence_every_records, settings.evidence_every_seconds)
        now = self._clock()
        if keys is None or not is_due(self._store, keys.name, now, pace):
            return True
        if settings.evidence_file is not None:
            refuse_older_store(settings.evidence_file, self._store, keys.name)
        refuse_retired(rotations_of(self._store, self._trust_table(), keys.name), keys.verifiers[0])
        done = sign_checkpoints(self._store, keys, now)
        self._signed += len(done.new)
        for fault in sorted(set(done.faults) - set(self._faults)):
            logger.error("%s", fault)
        self._faults = done.faults
        return not done.faults

    def _write_files(self) -> bool:
        """Publish in files what is in the store."""
        from lineage.deliver.tlog.checkpoint_files import append_history, write_latest

        if (keys := self._keys) is not None and self._settings.evidence_file is not None:
            write_latest(self._settings.evidence_file, self._store, keys.name)
        if self._settings.evidence_history_file is not None:
            append_history(self._settings.evidence_history_file, self._store)
        return True

    def _trust_table(self) -> "TrustTable | None":
        return None if self._trust is None else self._trust.table

    def _ask(self, witnesses: "Sequence[WitnessEndpoint]") -> bool:
        """Ask witnesses for what they have not cosigned; return whether they have cosigned all of it now."""
        from lineage.deliver.tlog.cosigning import quorum_of, request_cosignatures

        if self._keys is None or not witnesses:
            return True
        quorum = quorum_of(self._settings.witnesses, self._settings.evidence_witnesses)
        found = request_cosignatures(self._store, self._keys.name, quorum, self._clock, witnesses)
        for witness in witnesses:
            faults = {key: fault for key, fault in found.items() if key[0] == witness.name}
            for (name, origin), fault in sorted(faults.items()):
                if fault != self._unwitnessed.get(name, {}).get((name, origin)):
                    logger.error("the witness %s has not cosigned %s: %s", name, origin, fault)
            self._unwitnessed[witness.name] = faults
        return not found


class _CheckpointTopic:
    """Feeds the topic of checkpoints, if no other process does.

    It has a separate thread, so that a fault of this topic never keeps the topic of revocations from being fed.
    """

    def __init__(self, settings: "Settings", store: Store, clock: Callable[[], Instant]) -> None:
        from ingest.kafka.revocation_topic import RevocationTopic
        from lineage.deliver.outbox.checkpoint_feed import RECEIVER, TOPIC, CheckpointFeed
        from lineage.deliver.outbox.kafka_feed import StallWatch

        self._clock = clock
        self._topic = RevocationTopic(settings.log_url, settings.kafka, topic=TOPIC)
        self._feed = CheckpointFeed(store, self._topic)
        self._sole = SoleFeeder(self._feed.begin, StallWatch(store, RECEIVER))

    def turn(self) -> bool:
        """Send what is new."""
        self._sole.turn(partial(self._feed.deliver, self._clock()))
        return True

    def close(self) -> None:
        """Release its resources."""
        self._topic.close()
