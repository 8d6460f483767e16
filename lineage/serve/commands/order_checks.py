"""Checks before an order or a lift is given, and what a lift would reinstate."""

from ingest.codec import credentials, limits
from lineage.core.authority.orders import Order
from lineage.core.authority.rule import ALIVE, verdicts_of
from lineage.core.authority.verdict import State
from lineage.core.authority.world import World
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import Event, Fact
from lineage.core.model.keys import split_key
from lineage.core.revocation.receipt import receipt_of
from lineage.serve.queries.service import Service
from lineage.store.reading.reader import Reader


def refuse_people(*, by: str, approved_by: str | None) -> None:
    """Refuse invalid names of the person who orders or approves.

    Raises:
        RefusedError: The name is blank, has spaces around it, or is a raw credential.
    """
    for option, id_ in (("--by", by), ("--approved-by", approved_by)):
        if id_ is None:
            continue
        if credentials.find(id_):
            raise RefusedError(f"{option} is a raw credential, which must not be kept; name the person by an id")
        if fault := limits.fault_of_id(id_):
            raise RefusedError(f"the id of {option} {fault}")


def refuse_one_person(
    reader: Reader,
    elements: int,
    four_eyes: int,
    by: str,
    approved_by: str | None,
    *,
    one_person: str,
    remedy: str,
) -> None:
    """Above a number of elements it takes a second person; aliases are the same one, and an agent is none."""
    most = one_person.format(most=four_eyes)
    why = f"this concerns {elements:,} elements, more than {most}, and needs a second person: "
    fault = remedy if approved_by is None else is_no_second_person(reader, by, approved_by)
    if fault is not None:
        raise RefusedError(f"{why}{fault}")


def is_no_second_person(reader: Reader, by: str | None, approved_by: str) -> str | None:
    """Explain why ``approved_by`` may not approve for ``by`` (or for anyone, if None); None if they may."""
    world = reader.world()
    for id_ in filter(None, (by, approved_by)):
        reader.load_name(world, f"principal:{id_}")
    if by is not None and world.principals.same(by, approved_by):
        return f"{approved_by} is {by}"
    kind = world.principals.kind(approved_by)
    return None if kind in ("human", "unknown") else f"{approved_by} is of kind {kind}"


def returning(reader: Reader, orders: list[Order], lift: Event) -> tuple[list[str], list[str], list[str]]:
    """Return what a lift reinstates, what other orders keep suspended, and what stays dead. Sorted."""
    now, revocation = lift.occurred_at, orders[0].body.revocation
    world = reader.world()
    for order in orders:
        reader.load_below(world, order.key, now)
    reader.load_about(world, [f"revocation:{revocation}"])
    lines = receipt_of(world, revocation, now)
    suspended = sorted(line.key for line in lines if line.state is State.SUSPENDED)
    dead = sorted(line.key for line in lines if line.state is not State.SUSPENDED and line.ends_at > now)
    world.orders.add(Fact(lift, now))
    after = verdicts_of(world, suspended, now)
    back = [key for key in suspended if after[key].state in ALIVE - {State.SUSPENDED}]
    return back, [key for key in suspended if after[key].state is State.SUSPENDED], dead


def orders_about(service: Service, revocation: str) -> World:
    """Load what is known about the orders and lifts of an id."""
    with service.reader() as reader:
        world = reader.world()
        reader.load_about(world, [f"revocation:{revocation}"])
    return world


def by_kind(keys: list[str]) -> dict[str, list[str]]:
    """Group the ids of elements by kind."""
    return {
        f"{kind}s": [split_key(key)[1] for key in keys if key.startswith(f"{kind}:")]
        for kind in ("token", "delegation")
    }
