"""The service: every question and every order, as documents. What each face shows is what this says.

It owns no clock and opens nothing: the store, the log, the trust table and the moment now are given to it.
"""

import logging
import math
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from ingest.codec import credentials, limits
from ingest.log.port import Log, entry_of
from ingest.projector import project
from ingest.sources.file_import import Intake
from lineage.core.authority.orders import Order
from lineage.core.authority.rule import judge, judge_all, judge_name
from lineage.core.authority.world import World
from lineage.core.findings.options import DEFAULT, Options
from lineage.core.model.errors import (
    DriftError,
    OtherOrderError,
    RefusedError,
    TooManyError,
    UnavailableError,
    UnprojectedError,
)
from lineage.core.model.events import (
    Event,
    Fact,
    FindingJudged,
    RevocationAcknowledged,
    RevocationLifted,
    RevocationOrdered,
    Target,
)
from lineage.core.model.keys import ELEMENT_KINDS, NAME_KINDS, key_of
from lineage.core.model.times import Instant, format_instant
from lineage.core.model.trust import Trusted, TrustTable, may_lift
from lineage.core.revocation.reach import Proposal, Reach, differences, reach_of
from lineage.core.revocation.receipt import orders_of
from lineage.serve.cache.loader import Answer, Loaded, Loading, Worlds, as_of
from lineage.serve.cache.question_cache import Keeping
from lineage.serve.commands.approvals import approvals_of, approver_of
from lineage.serve.commands.order_checks import by_kind, refuse_one_person, refuse_people, returning
from lineage.serve.documents.core_documents import (
    Document,
    chain_answer,
    element_findings_near,
    name_findings_near,
    reach_document,
    status_answer,
    told,
    who_answer,
)
from lineage.serve.documents.refusal_wording import COMMAND_LINE, Face
from lineage.serve.queries.plan_report import effect_findings, plan_details
from lineage.store.reading.reader import Reader
from lineage.store.store import Store

logger = logging.getLogger(__name__)

MAX_KILLS = 1_000  # what an order without a plan's digest may kill, if nothing else is said


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """A trust table that stays in force, and the file that it came from; None: every source may say everything."""

    table: TrustTable | None = None
    file: str | None = None
    fault: str | None = None


class TrustInForce(Trusted, Protocol):
    """What says which trust table is in force, from which file, and why the file as it is now is not."""

    @property
    def file(self) -> str | None:
        """The path of the file; None: there is none."""

    @property
    def fault(self) -> str | None:
        """Why what the file says now is not in force; None: it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """An order as a responder asks for it; what it hits is in ``proposal``."""

    target: Target
    reason: str
    ordered_by: str
    mode: str = "revoke"
    cascade: bool = True
    issued_before: Instant | None = None
    effective_at: Instant | None = None
    note: str | None = None
    approved_by: str | None = None
    revocation: str | None = None
    plan_digest: str | None = None
    max_kills: int = MAX_KILLS
    four_eyes: int | None = None
    unseen: bool = False
    by_approval: bool = False  # the second person is who approved the plan, and cannot be named

    def body(self, revocation: str, plan_digest: str | None) -> RevocationOrdered:
        """The order as an event says it."""
        return RevocationOrdered(
            revocation=revocation,
            target=self.target,
            reason=self.reason,
            ordered_by=self.ordered_by,
            mode=self.mode,
            cascade=self.cascade,
            effective_at=self.effective_at,
            issued_before=self.issued_before,
            note=self.note,
            approved_by=self.approved_by,
            plan_digest=plan_digest,
        )


class Service:
    """Questions and orders over one store and its log."""

    def __init__(
        self,
        store: Store,
        log: Log | None,
        trust: TrustInForce,
        clock: Callable[[], Instant],
        *,
        source: str,
        worlds: Worlds | None = None,
        options: Options = DEFAULT,
        most: float = math.inf,
        face: Face = COMMAND_LINE,
    ) -> None:
        """Take what it works on.

        Args:
            store: Where the facts are.
            log: Where orders go; None: it cannot be reached, and only questions can be answered.
            trust: Says which trust table is in force.
            clock: The moment now.
            source: The source that orders are sent under.
            worlds: Where questions about one thing find what they need; None: in the store, each time.
            options: What is set of the rules by which findings are found.
            most: The elements that may hang on the target of a plan or an order.
            face: In whose words a refusal says what to do instead.
        """
        self.store = store
        self.log = log
        self.trust = trust
        self.clock = clock
        self.source = source
        self.options = options
        self.most = most
        self.face = face
        self.worlds = Loading(store, log, trust) if worlds is None else worlds
        self.ends = worlds.ends if isinstance(worlds, Keeping) else None  # None: nothing is kept here

    def at_once(self) -> "Service | None":
        """The same for whoever may not wait: who, chain and status raise NotAtOnceError; None: nothing is kept here."""
        if not isinstance(self.worlds, Keeping):
            return None
        at_hand = self.worlds.at_once()
        return Service(
            self.store, self.log, self.trust, self.clock, source=self.source, worlds=at_hand, options=self.options
        )

    # Questions

    def who(self, action: str, *, at: Instant, known_at: Instant | None = None) -> Document | None:
        """Who stood behind an action; None if no fact tells of it."""

        def answer(loaded: Loaded) -> Document:
            return who_answer(loaded.world, action, at=at, options=self.options, around=loaded.around)

        return self._told("who", f"action:{action}", answer, at, known_at)

    def chain(self, kind: str, id_: str, *, at: Instant, known_at: Instant | None = None) -> Document | None:
        """Who stood behind a token or a delegation; None if no fact names it."""
        if kind not in ELEMENT_KINDS:
            raise RefusedError(f"only a token or a delegation has a chain, not a {kind}: ask for token:ID")

        def answer(loaded: Loaded) -> Document:
            return chain_answer(loaded.world, kind, id_, at=at, options=self.options, around=loaded.around)

        return self._told("chain", key_of(kind, id_), answer, at, known_at)

    def status(self, kind: str, id_: str, *, at: Instant, known_at: Instant | None = None) -> Document | None:
        """The state of an element, principal, workload, session or client; None if no fact names it."""
        if kind not in ELEMENT_KINDS | NAME_KINDS:
            raise RefusedError(f"{kind!r} has no state; ask for one of {', '.join(sorted(ELEMENT_KINDS | NAME_KINDS))}")
        key = key_of(kind, id_)

        def answer(loaded: Loaded) -> Document:
            world, around = loaded.world, loaded.around
            verdict = judge(world, key, at) if kind in ELEMENT_KINDS else judge_name(world, kind, id_, at)
            said = status_answer(world, kind, id_, verdict, at=at, known_at=known_at)
            if kind in ELEMENT_KINDS:
                return {**said, "findings": element_findings_near(around, key, at, self.options)}
            return {**said, "findings": name_findings_near(around, kind, id_, at, self.options)}

        # Of a workload it is what a principal's is, but says so.
        said = self._told(f"status of {kind}", key, answer, at, known_at)
        return None if said is None else {**said, "at": format_instant(at)}

    def _told(self, question: str, key: str, answer: Answer, at: Instant, known_at: Instant | None) -> Document | None:
        """The answer to a question about a thing, with what people decided about its findings."""
        found = self.worlds.of(key, known_at)
        if found is None:
            return None
        said = found.answer(question, at, answer)
        judgements = found.judgements([one.id for one in said["findings"]])
        document = told(said, self.options, at=at, judgements=judgements, is_whole=found.is_whole)
        return {**document, "as_of": found.as_of}

    def reach(
        self,
        proposal: Proposal,
        *,
        known_at: Instant | None = None,
        stale: bool = False,
        unseen: bool = False,
        given_at: Instant | None = None,
    ) -> Document | None:
        """What an order would kill: the plan, which is kept under its digest. None if no fact names the target.

        Args:
            proposal: The order.
            known_at: Only what was recorded by then.
            stale: Whether to answer even if the log cannot be asked what is not projected yet.
            unseen: Whether to answer even if no fact names the target.
            given_at: When it would be given, if that is not when it takes effect.

        Raises:
            UnavailableError: The log cannot be asked what is not projected yet, and ``stale`` does not allow that.
        """
        self._refuse_target(proposal.target)
        if not stale:
            self._refuse_stale(self.face.stale)
        with self.store.reader(trust=self.trust.table, known_at=known_at) as reader:
            world = self._below(reader, proposal, unseen=unseen)
            if world is None:
                return None
            reach = reach_of(world, proposal, acted=_acted(reader, proposal.target))
            details = plan_details(self.store, reader, world, reach, given_at=given_at)
        try:
            self.store.keep_plan(reach.plan_digest, reach.plan, self.clock())
        except UnavailableError as fault:  # a copy to read from answers as well as any, but orders nothing
            logger.warning("the plan is not kept, and cannot be executed by its digest: %s", fault)
        odd = effect_findings(proposal.at, proposal.at if given_at is None else given_at)
        approvals = approvals_of(self.store, reach.plan_digest, self.clock())
        trust = {"approvals": approvals, "trust": self.trust.file, "as_of": self.as_of()}
        return {**reach_document(world, reach), **details, "warnings": [*odd, *self._trust_warnings()], **trust}

    @staticmethod
    def _refuse_target(target: Target) -> None:
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

    def _refuse_stale(self, remedy: str) -> None:
        if self.as_of()["behind"] is None:
            raise UnavailableError(
                f"the log cannot be asked for what is not projected yet, so the reach may be too small; {remedy}"
            )

    def _below(self, reader: Reader, proposal: Proposal, *, unseen: bool) -> World | None:
        """The world that a reach is worked out in; None if no fact names the target."""
        kind, id_ = proposal.target
        key = key_of(kind, id_)
        if not unseen and not reader.is_named(key):
            return None
        world = reader.world()
        try:
            reader.load_below(world, key, proposal.at, most=self.most)
        except TooManyError as fault:
            raise TooManyError(
                f"{fault}, too many for a plan here. Aim at something narrower, or look at it on the command line, "
                f"which takes its time: delegraph revoke '{kind}:{id_}'"
            ) from None
        return world

    def counts(self, intake: Intake) -> Document:
        """What became of what was taken in, by asking the store about the places that the log gave it."""
        found = [self.store.outcomes(first.number, last.number) for first, last in intake.spans]
        document: Document = {
            "read": intake.read,
            "accepted": sum(outcomes.accepted for outcomes in found),
            "duplicates": sum(outcomes.duplicates for outcomes in found),
            "conflicts": sum(outcomes.conflicts for outcomes in found),
            "unauthorised": sum(outcomes.unauthorised for outcomes in found),
            "quarantined": intake.quarantined + sum(outcomes.quarantined for outcomes in found),
        }
        if intake.formats:
            document["files"] = [{"file": file, "format": format_} for file, format_ in intake.formats]
        if intake.foreign:
            document |= {"records": intake.records, "skipped": dict(sorted(intake.skipped.items()))}
        return {**document, "as_of": self.as_of()}

    def as_of(self) -> Document:
        """How far the projection is: when its last record was recorded, and how many records are not in it yet."""
        return as_of(self.store, self.log, *self.store.standing())

    # Orders

    def order(self, request: OrderRequest) -> Document | None:
        """Give an order and wait until it is projected; None if no fact names the target.

        The same order again, under an id of its own, is not given twice: what it ended is looked at anew.

        Raises:
            DriftError: It has another target, mode, ``cascade`` or ``issued_before`` than the plan with the given
                digest, or would kill what that does not list.
            RefusedError: It would kill more than ``max_kills``, lacks a second person, or may not be given.
        """
        began = time.monotonic()
        self._refuse_target(request.target)
        refuse_people(by=request.ordered_by, approved_by=request.approved_by)
        log = self.require_log()
        project(log, self.store, self.trust.table)  # what is in the log already is part of what would be killed
        given = self._given(request)
        if given is not None:
            return self._again(request, given, began)
        claimed = self._claimed(request)
        now = self.clock() if claimed is None else claimed.occurred_at
        proposal = Proposal(
            target=request.target,
            at=now if request.effective_at is None else request.effective_at,
            mode=request.mode,
            issued_before=request.issued_before,
            cascade=request.cascade,
        )
        self._refuse_stale("nothing was ordered")
        with self.store.reader(trust=self.trust.table) as reader:
            world = self._below(reader, proposal, unseen=request.unseen)
            if world is None:
                return None
            reach = reach_of(world, proposal, acted=_acted(reader, proposal.target))
            self._refuse_drift(request, reach)
            if request.by_approval:
                request = replace(request, approved_by=self._approver(reader, request, reach, now))
            if request.four_eyes is not None and len(reach.kills) > request.four_eyes:
                people = (request.ordered_by, request.approved_by)
                words = {"one_person": self.face.one_person, "remedy": self.face.second_orders}
                refuse_one_person(reader, len(reach.kills), request.four_eyes, *people, **words)
        revocation = request.revocation or f"rev-{uuid.uuid4()}"
        event = claimed or self._event(request.body(revocation, request.plan_digest or reach.plan_digest), now)
        if request.revocation is not None and claimed is None and not self._claim(revocation, event):
            return self.order(request)  # somebody was quicker with this id: now that is found
        given_at = self._append(event).given_at
        if claimed is not None and (given := self._given(request)) is not None:
            return self._again(request, given, began)
        if request.effective_at is None:  # it works from when it was given, which the log may say was earlier
            reach = replace(reach, proposal=replace(proposal, at=given_at))
        return self._ordered(request, revocation, world, reach, began=began, given_at=given_at, repeated=False)

    # Of an id that the caller chose there is one order, whoever gives it at the same moment, whoever dies on the way:
    # the event is claimed before it is appended, and who finds it claimed appends that event, which is harmless.

    def _claim(self, revocation: str, event: Event) -> bool:
        value = entry_of(event).value
        return self.store.claim(revocation, value) == value

    def _claimed(self, request: OrderRequest) -> Event | None:
        """The order that its id was claimed for, and that is not in the log as far as is known; None: none is.

        Raises:
            OtherOrderError: It is another one.
        """
        value = None if request.revocation is None else self.store.claimed(request.revocation)
        if value is None:
            return None
        event = self.store.decode(value)
        assert isinstance(event.body, RevocationOrdered)  # noqa: S101 (nothing else is claimed)
        if differs := _differing(event.body, request, plan_digest=request.plan_digest):
            raise _other_order(event.body.revocation, differs)
        return event

    def _approver(self, reader: Reader, request: OrderRequest, reach: Reach, at: Instant) -> str | None:
        """Who has approved the plan that is ordered by; None: nobody, or it is the plan of another order."""
        plan = None if request.plan_digest is None else self.store.plan(request.plan_digest)
        if plan is None or differences(plan, reach.plan):
            return None
        return approver_of(self.store, reader, str(request.plan_digest), by=request.ordered_by, at=at)

    def _ordered(
        self,
        request: OrderRequest,
        revocation: str,
        world: World,
        reach: Reach,
        *,
        began: float,
        given_at: Instant,
        repeated: bool,
    ) -> Document:
        return {
            "revocation": revocation,
            **reach_document(world, reach),
            "mode": request.mode,
            "reason": request.reason,
            "ordered_by": request.ordered_by,
            "approved_by": request.approved_by,
            "effective_at": format_instant(reach.proposal.at),
            "executed": True,
            "repeated": repeated,
            "warnings": [*effect_findings(reach.proposal.at, given_at), *self._trust_warnings()],
            "seconds": round(time.monotonic() - began, 6),
            "trust": self.trust.file,
            "as_of": self.as_of(),
        }

    def _given(self, request: OrderRequest) -> Order | None:
        """The order that was given already under its id; None: none was.

        Raises:
            OtherOrderError: It is another one.
        """
        if request.revocation is None:
            return None
        orders = orders_of(self._about(request.revocation), request.revocation)
        differing = [_differing(order.body, request) for order in orders]
        for order, differs in zip(orders, differing, strict=True):
            if not differs:
                return order
        if orders:
            raise _other_order(request.revocation, differing[0])
        return None

    def _again(self, request: OrderRequest, order: Order, began: float) -> Document:
        """An order that was given before: what it ends by now, worked out as if it were not there, and looked at."""
        request = replace(request, approved_by=order.body.approved_by)
        proposal = Proposal(
            target=request.target,
            at=order.effective_at,
            mode=request.mode,
            issued_before=request.issued_before,
            cascade=request.cascade,
        )
        with self.store.reader(trust=self.trust.table) as reader:
            world = self._below(reader, proposal, unseen=True)
            acted = _acted(reader, proposal.target)
        assert world is not None  # noqa: S101 (the target may be unseen)
        everything, world.orders = world.orders, world.orders.without(order.body.revocation)
        reach = reach_of(world, proposal, acted=acted)
        world.orders = everything
        states = judge_all(world, reach.kills, max(self.clock(), order.effective_at))
        dead = {key for key, verdict in states.items() if verdict.because is not None}
        reach = replace(
            reach,
            tokens=tuple(id_ for id_ in reach.tokens if f"token:{id_}" in dead),
            delegations=tuple(id_ for id_ in reach.delegations if f"delegation:{id_}" in dead),
        )
        return self._ordered(
            request, order.body.revocation, world, reach, began=began, given_at=order.given_at, repeated=True
        )

    def _refuse_drift(self, request: OrderRequest, reach: Reach) -> None:
        kills = reach.kills
        if request.plan_digest is None:
            if len(kills) > request.max_kills:
                more = self.face.without_plan.format(most=request.max_kills, digest=reach.plan_digest)
                raise RefusedError(f"the order would kill {len(kills):,} elements, more than {more}")
            return
        if request.plan_digest == reach.plan_digest:
            return
        now = f"nothing was ordered. The plan as of now is {reach.plan_digest}"
        plan = self.store.plan(request.plan_digest)
        if plan is None:
            raise DriftError(
                f"the plan {request.plan_digest} is not kept here, so that it lists nothing: the order would kill "
                f"{len(kills):,} more; {now}",
                sorted(kills),
            )
        listed = {f"token:{id_}" for id_ in plan["kills"]["tokens"]}
        listed |= {f"delegation:{id_}" for id_ in plan["kills"]["delegations"]}
        unlisted = sorted(kills - listed)
        if differs := differences(plan, reach.plan):
            what = " and ".join(differs)
            raise DriftError(
                f"the plan {request.plan_digest} is that of an order with another {what}; {now}", unlisted, differs
            )
        if unlisted:
            raise DriftError(
                f"the plan {request.plan_digest} has drifted: the order would kill {len(unlisted):,} more; {now}",
                unlisted,
            )

    def lift(
        self,
        revocation: str,
        *,
        lifted_by: str,
        note: str | None = None,
        approved_by: str | None = None,
        four_eyes: int | None = None,
    ) -> Document | None:
        """Lift the orders of an id and wait until it is projected; None if there is no such order.

        Raises:
            RefusedError: More would come back to life than one person may decide, or the trust file does not let us
                lift it.
        """
        refuse_people(by=lifted_by, approved_by=approved_by)
        log = self.require_log()
        project(log, self.store, self.trust.table)
        now = self.clock()
        lift = RevocationLifted(revocation=revocation, lifted_by=lifted_by, approved_by=approved_by, note=note)
        orders = orders_of(self._about(revocation), revocation)
        if not orders:
            return None
        event = self._event(lift, now)
        allowed = [order for order in orders if may_lift(event, order.target.id, self.trust.table)]
        if not allowed:
            raise RefusedError(
                f"the trust file {self.trust.file} does not let the source {self.source!r} speak about "
                f"{orders[0].target.id}, so it may not lift {revocation}; {self.face.source}, or list the prefix there"
            )
        without_effect = [
            order
            for order in orders
            if order not in allowed or (order.on_element and not order.suspends and order.effective_at < now)
        ]
        with self.store.reader(trust=self.trust.table) as reader:
            back, held, dead = returning(reader, orders, event)
            if four_eyes is not None and len(back) > four_eyes:
                words = {"one_person": self.face.one_person, "remedy": self.face.second_lifts}
                refuse_one_person(reader, len(back), four_eyes, lifted_by, approved_by, **words)
        given_at = self._append(event).given_at
        return {
            "revocation": revocation,
            "lifted_by": lifted_by,
            "approved_by": approved_by,
            "lifted_at": format_instant(given_at),
            "orders": len(orders),
            "without_effect": [order.key for order in without_effect],
            "comes_back": by_kind(back),
            "stays_suspended": by_kind(held),
            "stays_dead": {kind: len(ids) for kind, ids in by_kind(dead).items()},
            "as_of": self.as_of(),
        }

    def _about(self, revocation: str) -> World:
        """What is known of the orders and lifts of an id."""
        with self.store.reader(trust=self.trust.table) as reader:
            world = reader.world()
            reader.load_about(world, [f"revocation:{revocation}"])
        return world

    def require_log(self) -> Log:
        """The log, or the error that says that it cannot be reached."""
        if self.log is None:
            raise UnavailableError("the log cannot be reached, so nothing can be ordered; see 'delegraph doctor'")
        self.store.bind(self.log.identity)  # before anything is appended that would never be projected
        return self.log

    def send(
        self, body: RevocationOrdered | RevocationLifted | RevocationAcknowledged | FindingJudged, now: Instant
    ) -> Fact:
        """Append an order, a lift, an acknowledgement or a judgement to the log, project it, return it as recorded.

        Raises:
            RefusedError: The trust file does not let us say that.
        """
        return self._append(self._event(body, now))

    def _trust_warnings(self) -> list[str]:
        return [] if self.trust.fault is None else [self.trust.fault]

    def _event(
        self, body: RevocationOrdered | RevocationLifted | RevocationAcknowledged | FindingJudged, now: Instant
    ) -> Event:
        event = Event(event_id=str(uuid.uuid4()), source=self.source, occurred_at=now, body=body)
        self._refuse_untrusted(event)
        return event

    def _refuse_untrusted(self, event: Event) -> None:
        table = self.trust.table
        if table is not None and not table.allows(event):
            raise RefusedError(
                f"the trust file {self.trust.file} does not let the source {event.source!r} send {event.type} here; "
                f"{self.face.source}, or list it there"
            )

    def _append(self, event: Event) -> Fact:
        self._refuse_untrusted(event)
        log = self.require_log()
        [position] = log.append([entry_of(event)])
        try:
            project(log, self.store, self.trust.table)
            recorded = self.store.facts_at([position.number]).get(position.number)
        except UnavailableError as fault:
            raise UnprojectedError(
                f"this {event.type} stands in the log and takes effect once the store can be written; "
                f"do not send it again: {fault}"
            ) from fault
        return Fact(event, event.occurred_at) if recorded is None else recorded  # None: a duplicate of a claimed order


def _acted(reader: Reader, target: Target) -> int | None:
    """How many actions a principal did; None: the target is none."""
    key = key_of(target.kind, target.id)
    return reader.count_acted(key) if key.startswith("principal:") else None


def _differing(order: RevocationOrdered, request: OrderRequest, *, plan_digest: str | None = None) -> list[str]:
    """The fields in which what is asked for differs from an order; in the plan's digest only if one is given."""
    asked = request.body(order.revocation, plan_digest or order.plan_digest)
    if request.by_approval:  # by whom is not for the caller to say, nor whether that is still good
        asked = asked._replace(approved_by=order.approved_by)
    return [name for name, value in asked._asdict().items() if value != getattr(order, name)]


def _other_order(revocation: str, differs: list[str]) -> OtherOrderError:
    return OtherOrderError(
        f"the id {revocation} is that of another order, with another {' and '.join(differs)}; nothing was ordered. "
        "Give this one an id of its own"
    )
