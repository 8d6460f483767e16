"""The doctor's checks of named sources: whether their inputs are readable, and how far they were read.

Nothing is ingested, and no position moves.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from ingest.secrets import read_secret
from ingest.sources.adapters import detect
from ingest.sources.adapters.raw_records import first_bytes, plain
from ingest.sources.inputs.file_follower import TOPIC as FOLLOWED
from ingest.sources.inputs.followed_paths import FollowedFile, found_files
from ingest.sources.inputs.followed_place import Places
from ingest.sources.named import NamedSource
from lineage.core.model.errors import DelegraphError, RefusedError
from lineage.core.model.trust import in_force
from lineage.serve.cli.doctor_addresses import listener
from lineage.serve.cli.doctor_checks import Checks, ago
from lineage.serve.config.settings import Settings
from lineage.serve.config.wiring import now
from lineage.serve.processes.collect_inputs import TCP_TOPIC, spool_of
from lineage.serve.text.text_page import many
from lineage.store.source_records import Count, SourceRecords
from lineage.store.store import Store

_MOST_NAMED: Final = 5  # files or errors listed in one sentence
_MOST_LOOKED_INTO: Final = 200


def examine(checks: Checks, settings: Settings, store: Store | None) -> None:
    """Check each source and each of its inputs."""
    records = None if store is None else SourceRecords(store)
    try:
        counts = [] if records is None else records.counts()
    except DelegraphError as fault:
        checks.failed("sources", fault)
        return
    for named in settings.sources:
        came = "the store does not answer, so that nothing is known of its records"
        if records is not None:
            came = _last_record(named.name, counts)
        checks.wrong(f"source {named.name}", _not_listed(settings, named), came)
        for kind, value in named.inputs.items():
            check = f"{named.name} ({kind})"
            try:
                _input(checks, check, settings, named, kind, value, records)
            except DelegraphError as fault:
                checks.failed(check, fault)


def _input(
    checks: Checks,
    check: str,
    settings: Settings,
    named: NamedSource,
    kind: str,
    value: Any,
    records: SourceRecords | None,
) -> None:
    match kind:
        case "follow":
            _followed(checks, check, named, value, _kept(records, named.name, FOLLOWED))
        case "kafka_topic":
            checks.ask(check, lambda: _topic(settings, named, str(value), records))
        case "tcp":
            spooled = _behind([str(spool_of(settings) / named.name)], _kept(records, named.name, TCP_TOPIC), {})
            well = f"{listener(str(value), kind)}; {spooled:,} bytes of its spool behind"
            checks.report(check, well)
        case _:
            address = settings.collect_http if value is True else str(value)
            checks.wrong(check, _token_faults(named), listener(address, kind, speaks_http=True))


# The source


def _not_listed(settings: Settings, named: NamedSource) -> list[str]:
    try:
        table = in_force(settings.read_trust(now))
    except RefusedError:
        return []  # reported for the trust file itself
    if table is None or named.source.urn in table.sources:
        return []
    fault = (
        f"the trust file does not list {named.source.urn}: its events are stored, but count in no answer; "
        f'add [sources."{named.source.urn}"] to {settings.trust}'
    )
    return [fault]


def _last_record(name: str, counts: Iterable[Count]) -> str:
    own = [count for count in counts if count.source == name]
    if not own:
        return "no record has come yet"
    read = sum(count.records for count in own if count.outcome == "record")
    quarantined = sum(count.records for count in own if count.outcome == "quarantined")
    age = ago(max(0, now() - max(count.came_at for count in own)))
    more = f", {quarantined:,} of them in quarantine" if quarantined else ""
    return f"{many(read, 'record')}{more}; the last one came {age} ago"


def _kept(records: SourceRecords | None, name: str, topic: str) -> dict[str, Any]:
    rows = () if records is None else records.remembered(name, topic)
    return {key: json.loads(value) for _, key, value in rows if value is not None}


# Files


def _followed(
    checks: Checks, check: str, named: NamedSource, paths: Iterable[str], positions: Mapping[str, Any]
) -> None:
    faults: dict[str, str] = {}
    found = found_files(paths, faults.__setitem__)
    for one in found[-_MOST_LOOKED_INTO:]:
        if (fault := _fault_of(one, named)) is not None:
            faults[one.path] = fault
    if not found and not faults:
        faults[", ".join(paths)] = "nothing is there: does the system write its log there, and is 'follow' right?"
    parts = [f"{path}: {why}" for path, why in sorted(faults.items())[:_MOST_NAMED]]
    if len(faults) > _MOST_NAMED:
        parts.append(f"and {many(len(faults) - _MOST_NAMED, 'further path')}")
    unread = _behind(paths, positions, faults)
    checks.wrong(check, parts, f"{many(len(found), 'file')}, {unread:,} bytes behind")


def _fault_of(found: FollowedFile, named: NamedSource) -> str | None:
    try:
        with Path(found.path).open("rb") as stream:
            head = first_bytes(plain(stream))
    except PermissionError:
        return "it may not be read: let the user of 'delegraph collect' read it"
    except OSError as error:
        return error.strerror or "it cannot be read"
    other = detect(head, first=named.format)
    if other in {None, named.format}:
        return None  # what has no marks yet is checked when there is more of it
    return (
        f"it holds {other} records, and the source has the format {named.format}: move it away, or name a [[source]] "
        "of its own for it"
    )


def _behind(paths: Iterable[str], positions: Mapping[str, Any], faults: Mapping[str, str]) -> int:
    """Count the bytes that were not ingested yet; a gzip or a document counts as a whole until it is finished."""
    places = Places(dict(positions))
    behind = 0
    for one in found_files(paths, lambda _path, _why: None):
        place = places.of_file(one.file)
        if one.path in faults or (place is not None and (place.size, place.changed) == (one.size, one.changed)):
            continue
        behind += max(0, one.size - place.offset) if place is not None and place.lines else one.size
    return behind


# A topic


def _topic(settings: Settings, named: NamedSource, place: str, records: SourceRecords | None) -> str:
    try:
        from ingest.sources.inputs.kafka_topic import TOPIC, place_of, standing_of
    except ImportError as error:
        raise RefusedError("it needs a few more packages: pip install 'delegraph[kafka]'") from error
    servers, topic = place_of(place, settings.log, named.name)
    standing = standing_of(servers, topic, settings.kafka, _kept(records, named.name, TOPIC), named.name)
    lost = (
        f", {standing.lost:,} were deleted before they were ingested: give it a longer retention"
        if standing.lost
        else ""
    )
    return f"{topic}: {many(standing.partitions, 'partition')}, {standing.behind:,} records behind{lost}"


# Tokens


def _token_faults(named: NamedSource) -> list[str]:
    if named.token is not None:
        return []
    if named.token_file is None:
        return ["it has no token, so that every request is refused with 401: give it a token_file in its [[source]]"]
    try:
        tokens = read_secret(named.token_file, "its token").split()
    except RefusedError as fault:
        return [str(fault)]
    return [] if tokens else [f"{named.token_file} holds no token: write one of 16 characters or more"]
