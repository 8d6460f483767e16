"""Read revocations and reinstatements, enforcement points, and what these accepted and acknowledged."""

from collections.abc import Collection
from typing import Final

from lineage.core.authority.verdict import State
from lineage.core.authority.world import World
from lineage.core.model.events import Fact, RevocationAcknowledged
from lineage.core.model.times import Instant
from lineage.store.reading import statements
from lineage.store.reading.reader import Reader

_PART: Final = 5_000  # elements looked up at a time
_FEW: Final = 100  # elements up to which it is not asked first whether anything was published at all


def load_orders(reader: Reader, world: World) -> None:
    """Load every revocation and reinstatement."""
    for found in reader.facts_found(statements.ORDERED, {}):
        world.add(found)


def first_orders(reader: Reader, most: int) -> list[Fact] | None:
    """Return every order and lift; None if there are more than the limit."""
    found = reader.facts_found(statements.ORDERED.limit(most + 1), {})
    return None if len(found) > most else found


def load_acknowledgements(reader: Reader, world: World, revocations: Collection[str]) -> None:
    """Load into a world the acknowledgements of receivers under some ids."""
    for found in reader.facts_about([f"revocation:{id_}" for id_ in revocations]):
        if isinstance(found.event.body, RevocationAcknowledged):
            world.add(found)


def load_receivers(reader: Reader, world: World) -> None:
    """Load every registration of a receiver.

    Cost:
        An index scan of the receivers' names, and a lookup of the facts about them.
    """
    receivers = reader.connection.execute(statements.RECEIVERS).scalars().all()
    for found in reader.facts_about(receivers):
        world.add(found)


def is_any_published(reader: Reader) -> bool:
    """Whether any state of any element was ever published to receivers."""
    return reader.connection.execute(statements.ANY_SPREAD).first() is not None


def deliveries(reader: Reader, keys: Collection[str], at: Instant) -> dict[tuple[str, str], Instant]:
    """Return when receivers accepted elements as ended, as of an instant.

    States published before an element was last published as active again do not count.

    Returns:
        For (receiver, key), when that receiver first accepted the element as ended.
    """
    if len(keys) > _FEW and not is_any_published(reader):
        return {}  # nothing was ever published, so none of very many keys has to be looked up
    found: dict[str, dict[str, Instant]] = {}
    by = at if reader.known_at is None else min(at, reader.known_at)
    ordered = sorted(keys)
    for start in range(0, len(ordered), _PART):
        part = {"keys": ordered[start : start + _PART], "by": by}
        for key, state, receiver, accepted_at in reader.connection.execute(statements.DELIVERED, part):
            if state == State.ACTIVE:
                found.pop(key, None)
            elif receiver is not None:
                receivers = found.setdefault(key, {})
                receivers[receiver] = min(accepted_at, receivers.get(receiver, accepted_at))
    return {(receiver, key): first for key, by_receiver in found.items() for receiver, first in by_receiver.items()}
