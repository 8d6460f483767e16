"""The service: the four questions about one thing, and what all queries and commands work on.

It owns no clock and opens nothing: the store, the log, the trust table and the clock are passed in.
"""

import logging
import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from ingest.codec import credentials, limits
from ingest.log.port import Log
from ingest.projector import project
from ingest.trust_file import TrustInForce
from lineage.core.authority.rule import verdict_of, verdict_of_name
from lineage.core.authority.world import World
from lineage.core.findings.options import DEFAULT, Options
from lineage.core.model.errors import RefusedError, TooManyError, UnavailableError, WouldBlockError
from lineage.core.model.events import Target
from lineage.core.model.keys import ELEMENT_KINDS, NAME_KINDS, key_of, split_key
from lineage.core.model.times import Instant, format_instant
from lineage.core.revocation.reach import Proposal, Reach, reach_of
from lineage.serve.cache.loader import Answer, Question, WorldLoader, WorldPart, WorldSource, as_of
from lineage.serve.cache.question_cache import QuestionCache
from lineage.serve.documents.core_documents import (
    Document,
    chain_answer,
    element_findings_near,
    name_findings_near,
    reach_document,
    status_answer,
    who_answer,
    with_findings,
    with_prepared,
)
from lineage.serve.documents.refusal_wording import COMMAND_LINE, Remedies
from lineage.serve.queries.plan_report import approvals_of, plan_details
from lineage.store import deletions
from lineage.store.plans import keep_plan, stored_plan
from lineage.store.reading.acted import count_acted
from lineage.store.reading.descendants import load_below
from lineage.store.reading.reader import Reader
from lineage.store.store import Store, VersionProbe

logger = logging.getLogger(__name__)


class Service:
    """Questions over one store, its log and the trust table in force."""

    def __init__(
        self,
        store: Store,
        log: Log | None,
        trust: TrustInForce,
        clock: Callable[[], Instant],
        *,
        source: str,
        worlds: WorldSource | None = None,
        options: Options = DEFAULT,
        most: float = math.inf,
        face: Remedies = COMMAND_LINE,
    ) -> None:
        """Create a service.

        Args:
            store: The store of facts.
            log: The log that commands append to; None if it is unavailable, and then only questions are answered.
            trust: The trust table in force.
            clock: Returns the current time.
            source: The source that commands are sent under.
            worlds: Loads what a question about one thing needs; by default from the store, every time.
            options: The settings of the rules that find findings.
            most: The most elements that may depend on the target of a plan or an order, and the most records that
                one request may evaluate for findings.
            face: The interface whose wording refusals use for remedies.
        """
        self.store = store
        self.log = log
        self.trust = trust
        self.clock = clock
        self.source = source
        self.options = options
        self.most = most
        self.face = face
        self._is_non_blocking = False
        self.worlds = WorldLoader(store, log, trust) if worlds is None else worlds
        self.ends = worlds.ends if isinstance(worlds, QuestionCache) else None  # None without a cache

    def non_blocking(self, version: object = None) -> "Service | None":
        """A non-blocking view: who, chain and status raise WouldBlockError on a cache miss. None without a cache.

        Args:
            version: The version of the store that the view answers for; None to determine it for each answer, if that
                is possible without blocking.
        """
        if not isinstance(self.worlds, QuestionCache):
            return None
        cached = self.worlds.non_blocking(version)
        view = Service(
            self.store, self.log, self.trust, self.clock, source=self.source, worlds=cached, options=self.options
        )
        view._is_non_blocking = True
        return view

    @property
    def is_store_asked(self) -> bool:
        """Whether changes of the store can only be noticed by asking a server."""
        return self.store.change_probe is None

    def version_probe(self) -> VersionProbe | None:
        """Open a check of the store that does not block, and that the caller closes; None if there is no server.

        Raises:
            UnavailableError: The server cannot be reached.
        """
        return self.store.version_probe()

    # Questions

    def who(self, action: str, *, at: Instant, known_at: Instant | None = None) -> Document | None:
        """Answer who stood behind an action; None if no fact mentions it."""

        def answer(loaded: WorldPart) -> Document:
            return who_answer(loaded.world, action, at=at, options=self.options, kept=loaded.kept)

        return self._judged("who", f"action:{action}", answer, at, known_at)

    def chain(self, kind: str, id_: str, *, at: Instant, known_at: Instant | None = None) -> Document | None:
        """Answer who stood behind a token or a delegation; None if no fact names it."""
        if kind not in ELEMENT_KINDS:
            raise RefusedError(f"only a token or a delegation has a chain, not a {kind}: ask for token:ID")

        def answer(loaded: WorldPart) -> Document:
            return chain_answer(loaded.world, kind, id_, at=at, options=self.options, kept=loaded.kept)

        return self._judged("chain", key_of(kind, id_), answer, at, known_at)

    def status(self, kind: str, id_: str, *, at: Instant, known_at: Instant | None = None) -> Document | None:
        """Answer the state of an element, principal, workload, session or client; None if no fact names it."""
        if kind not in ELEMENT_KINDS | NAME_KINDS:
            raise RefusedError(f"{kind!r} has no state; ask for one of {', '.join(sorted(ELEMENT_KINDS | NAME_KINDS))}")
        key = key_of(kind, id_)

        def answer(loaded: WorldPart) -> Document:
            world = loaded.world
            verdict = verdict_of(world, key, at) if kind in ELEMENT_KINDS else verdict_of_name(world, kind, id_, at)
            document = status_answer(world, kind, id_, verdict, at=at, known_at=known_at, kept=loaded.kept)
            if kind in ELEMENT_KINDS:
                return {**document, **element_findings_near(world, key, at, self.options, loaded.kept)}
            return {**document, "findings": name_findings_near(world, kind, id_, at, self.options)}

        # The answer for a workload is that for a principal, except for its kind.
        answered = self._judged(f"status of {kind}", key, answer, at, known_at)
        return None if answered is None else {**answered, "at": format_instant(at)}

    def _judged(self, name: str, key: str, answer: Answer, at: Instant, known_at: Instant | None) -> Document | None:
        """Answer a question about a thing, including people's judgements of its findings."""
        question = Question(name, key, at, lambda loaded: with_prepared(answer(loaded), self.options))
        found = self.worlds.ask(question, known_at)
        if found is None:
            return None
        prepared = found.document
        judgements = found.judgements([one.unjudged["id"] for one in prepared["findings"]])
        document = with_findings(prepared, self.options, at=at, judgements=judgements, is_whole=found.is_whole)
        return {**self._with_deleted(document, found.as_of), "as_of": found.as_of}

    def _with_deleted(self, document: Document, as_of: Document) -> Document:
        """Mark the gaps whose missing facts retention deleted.

        Raises:
            WouldBlockError: The store has to be asked, and this view must not.
        """
        if "deleted_before" not in as_of or not document["gaps"]:
            return document
        if self._is_non_blocking:
            raise WouldBlockError("whether a gap was deleted has to be looked up")
        why = self.when_deleted(key_of(gap["kind"], gap["id"]) for gap in document["gaps"])
        gaps = [{**gap, "why": why.get(key_of(gap["kind"], gap["id"]), gap["why"])} for gap in document["gaps"]]
        return {**document, "gaps": gaps}

    def when_deleted(self, keys: Iterable[str]) -> dict[str, str]:
        """Explain for some keys that retention deleted records about them, and when; others are left out."""
        found = deletions.deleted_at(self.store, set(keys))
        return {key: f"deleted by retention on {format_instant(at)[:10]}" for key, at in found.items()}

    def why_missing(self, named: str) -> str | None:
        """Explain that retention deleted what no fact names: an action, or ``KIND:ID``; None if it did not."""
        kind, id_ = split_key(named)
        keys = {f"action:{named}", key_of(kind, id_)}
        return next(iter(self.when_deleted(keys).values()), None)

    def reach(
        self,
        proposal: Proposal,
        *,
        known_at: Instant | None = None,
        stale: bool = False,
        unseen: bool = False,
        given_at: Instant | None = None,
    ) -> Document | None:
        """Compute the plan of an order, what it would end, and store it by digest; None if no fact names the target.

        Args:
            proposal: The order.
            known_at: Only facts recorded by then.
            stale: Whether to answer even if the log cannot be read for unprojected records.
            unseen: Whether to answer even if no fact names the target.
            given_at: When the order would be given, if different from when it takes effect.

        Raises:
            UnavailableError: The log cannot be read for unprojected records, and ``stale`` does not allow that.
        """
        self.refuse_target(proposal.target)
        if not stale:
            self.refuse_stale(self.face.stale)
        with self.reader(known_at=known_at) as reader:
            planned = self._planned(reader, proposal, unseen=unseen, given_at=given_at)
        if planned is None:
            return None
        reach, plan = planned
        try:
            keep_plan(self.store, reach.plan_digest, reach.plan, self.clock())
        except UnavailableError as fault:  # a read-only copy can answer as well, but cannot give orders
            logger.warning("the plan is not kept, and cannot be executed by its digest: %s", fault)
        odd = proposal.warnings(proposal.at if given_at is None else given_at)
        approvals = approvals_of(self.store, reach.plan_digest, self.clock())
        trust = {"approvals": approvals, "trust": self.trust.file, "as_of": self.as_of()}
        return {**plan, "warnings": [*odd, *self.trust_warnings()], **trust}

    def _planned(
        self, reader: Reader, proposal: Proposal, *, unseen: bool, given_at: Instant | None
    ) -> tuple[Reach, Document] | None:
        """Compute a reach and its document; None if no fact names the target and ``unseen`` is false.

        Its world is freed on return, before the garbage collector resumes and would scan all of it.
        """
        world = self.below(reader, proposal, unseen=unseen)
        if world is None:
            return None
        reach = reach_of(world, proposal, acted=acted_by(reader, proposal.target))
        details = plan_details(self.store, reader, world, reach, given_at=given_at)
        return reach, {**reach_document(world, reach), **details}

    @staticmethod
    def refuse_target(target: Target) -> None:
        """Refuse an invalid target of an order.

        Raises:
            RefusedError: Its kind has no state, or its id is a raw credential or exceeds its limits.
        """
        kind, id_ = target
        if kind not in ELEMENT_KINDS | NAME_KINDS:
            kinds = ", ".join(sorted(ELEMENT_KINDS | NAME_KINDS))
            raise RefusedError(f"an order cannot be aimed at {kind!r}; aim at one of {kinds}")
        if credentials.find(id_):
            raise RefusedError(
                f"the target is a raw credential, which must not be kept; name it by its id, such as "
                f"{kind}:{credentials.handle(id_)}"
            )
        if fault := limits.fault_of_id(id_):
            raise RefusedError(f"the id of the target {fault}")

    def refuse_stale(self, remedy: str) -> None:
        """Refuse to compute a reach while the log cannot be read for unprojected records.

        Raises:
            UnavailableError: The log is unavailable; the message ends with the remedy.
        """
        if self.as_of()["behind"] is None:
            raise UnavailableError(
                f"the log cannot be asked for what is not projected yet, so the reach may be too small; {remedy}"
            )

    def below(self, reader: Reader, proposal: Proposal, *, unseen: bool) -> World | None:
        """Load the world in which a reach is computed; None if no fact names the target and ``unseen`` is false."""
        kind, id_ = proposal.target
        key = key_of(kind, id_)
        if not unseen and not reader.is_named(key):
            return None
        world = reader.world()
        try:
            load_below(reader, world, key, proposal.at, most=self.most)
        except TooManyError as fault:
            raise TooManyError(
                f"{fault}, too many for a plan here. Aim at something narrower, or look at it on the command line, "
                f"which takes its time: delegraph revoke '{kind}:{id_}'"
            ) from None
        return world

    def as_of(self) -> Document:
        """Return the progress of the projection: its last recording time, and the number of unprojected records."""
        return as_of(self.store, self.log, *self.store.progress())

    def reader(self, *, known_at: Instant | None = None) -> AbstractContextManager[Reader]:
        """Open a reader of a snapshot of the store, under the trust table in force."""
        return self.store.reader(trust=self.trust.table, known_at=known_at)

    def catch_up(self, progress: Callable[[int], None] = lambda _records: None) -> None:
        """Project everything in the log, so that a command acts on complete knowledge.

        Args:
            progress: Called with the number of records projected so far.

        Raises:
            UnavailableError: The log or the store is unavailable.
        """
        project(self.require_log(), self.store, self.trust.table, progress=progress)

    def require_log(self) -> Log:
        """Return the log, or raise the error that says it is unavailable."""
        if self.log is None:
            raise UnavailableError("the log cannot be reached, so nothing can be ordered; see 'delegraph doctor'")
        self.store.bind(self.log.identity)  # checked before appending what would never be projected
        return self.log

    def stored_plan(self, digest: str) -> Document | None:
        """Return the plan with a digest; None if it is not stored here."""
        return stored_plan(self.store, digest)

    def trust_warnings(self) -> list[str]:
        """Explain why the current trust file is not in force; empty if it is."""
        return [] if self.trust.fault is None else [self.trust.fault]


def acted_by(reader: Reader, target: Target) -> int | None:
    """Count the actions of a principal; None if the target is not one."""
    key = key_of(target.kind, target.id)
    return count_acted(reader, key) if key.startswith("principal:") else None
