"""Count and find the living elements that name a principal, session or client and that a revocation does not end."""

from collections.abc import Collection

from lineage.core.model.times import Instant
from lineage.store.database.dialects import chunks
from lineage.store.database.tables import span_of
from lineage.store.reading import statements
from lineage.store.reading.reader import Reader


def count_others(
    reader: Reader, names: Collection[str], kills: Collection[str], at: Instant, most: int
) -> dict[str, int]:
    """Count the living elements that name each key, excluding ``kills``; keys without any are omitted.

    At most ``most`` index rows are examined for each key, so the count of a key with more is too low.
    """
    if not names:
        return {}
    killed = list(reader.hashes(kills))
    hashed = {reader.keys(key): key for key in names}
    found: dict[str, int] = {}
    for part in chunks(hashed):
        asked = {"keys": part, "killed": killed, "span": span_of(at), "most": most}
        found.update(
            (hashed[key], count) for key, count in reader.connection.execute(statements.COUNT_OTHERS, asked) if count
        )
    return found


def first_others(reader: Reader, names: Collection[str], kills: Collection[str], at: Instant, most: int) -> list[int]:
    """Return the hashes of the first ``most`` elements that ``count_others`` counts, sorted."""
    if not names:
        return []
    killed = list(reader.hashes(kills))
    found: set[int] = set()
    for part in chunks(reader.hashes(names)):
        found |= reader.first_hashes(
            statements.FIRST_OTHERS[reader.dialect], {"keys": part, "killed": killed, "span": span_of(at)}, most
        )
    return sorted(found)[:most]


def some_others(reader: Reader, name: str, kills: Collection[str], at: Instant, most: int) -> list[int]:
    """Return the hashes of up to ``most`` elements that ``count_others`` counts for a key, latest end first.

    Only as many index rows are read as necessary.
    """
    return reader.elements_naming(reader.keys(name), most, without=reader.hashes(kills), span=span_of(at))
