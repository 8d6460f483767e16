"""Text pages for lists and ingestion results: one entry after the other, and whether the list is complete."""

from collections import Counter
from typing import Final

from lineage.serve.documents.core_documents import Document
from lineage.serve.text import phrases
from lineage.serve.text.phrases import moment, thing, when
from lineage.serve.text.text_page import Page, Words, joined, many

_PARTITIONS: Final = 12  # partitions for which the doctor shows the position
_FILES_NAMED: Final = 10  # files for which the recognised format is listed individually
_SETTING: Final = 26  # width of the name of a setting
_SNIPPET: Final = 300  # characters of a quarantined record that are shown
_WHERE: Final = ("tool", "workload", "key_thumbprint", "session")
_TEXTS: Final = frozenset({"reasons"})  # lists of texts written by people, which contain spaces
_ENVELOPE: Final = frozenset({"type", "event_id", "source", "occurred_at", "txn", "traceparent", "sequence"})


# Lookups


def uses(doc: Document) -> Page:
    """Render where a token was used, and by whom compared with whom it was issued to."""
    items = doc["items"]
    total = doc["total"]
    times = f"more often than is counted; of {many(len(items), 'use')} here" if total is None else many(total, "time")
    used = f" was used {times}{_strangers(items)}."
    page = Page().line(f"{doc['kind']} ", thing(doc["kind"], doc["id"], "bold"), used)
    if phrases.alarms(doc["findings"]):
        page.line()
        phrases.alarm(page, doc)
        phrases.examined(page, doc)
    for item in items:
        done = (str(item["operation"]), "bold")
        page.line().line(f"{when(item['occurred_at'])} ", done, f" {item['outcome']}, {item['action']}")
        actor, wielder = item["actor"], item["wielder"]
        if actor is None:
            page.line(f"by an unknown party; issued to {wielder or 'unknown'}", lead="    ")
        elif wielder in (None, actor):
            page.line(f"by {actor}", lead="    ")
        else:
            page.line(("by ", "bold"), (actor, "bold"), f", but issued to {wielder}", lead="    ")
        where = [f"{key.replace('_', ' ')} {item[key]}" for key in _WHERE if item[key]]
        if item["resource"]:
            where.append(f"on {joined(filter(None, (item['resource']['type'], item['resource']['id'])), ' ')}")
        page.line(joined([*where, f"source: {item['source']}"]), lead="    ")
    _places(page, doc)
    _confirmations(page, doc)
    return phrases.whole(page, doc)


def _places(page: Page, doc: Document) -> None:
    """Render where it was used, if in several places: such a token is kept and used across tools."""
    if len(doc["places"]) > 1:
        page.title(f"Places ({len(doc['places'])}), from {when(doc['first'])} to {when(doc['last'])}")
        phrases.entries(page, doc["places"], _place)


def _place(page: Page, place: Document) -> None:
    parts = [place["actor"] or "unknown", place["workload"], place["key_thumbprint"]]
    late = f", {place['used_after']:,} after it was revoked" if place["used_after"] else ""
    page.line(
        (place["tool"] or "an unknown tool", "bold"),
        f" by {joined(filter(None, parts))}: {many(place['count'], 'use')}{late}, {when(place['first'])} to "
        f"{when(place['last'])}",
        lead="  - ",
    )


def _confirmations(page: Page, doc: Document) -> None:
    """Render who has not enforced its revocation."""
    if doc["revoked_by"]:
        page.title(f"Revoked by {joined(doc['revoked_by'])}")
        if not doc["unconfirmed"]:
            page.line("every receiver that covers it has enforced it, or it has expired", lead="  ")
        phrases.entries(page, doc["unconfirmed"], _unconfirmed)
    if doc["used_after"]:
        page.line((f"used after revocation: {joined(doc['used_after'])}", "bold red"), lead="  ")


def _unconfirmed(page: Page, one: Document) -> None:
    who = one["receiver"] or "no enforcement point"
    page.line(f"{who}: {one['reason']} ({one['revocation']})", lead="  - ")


def _strangers(items: list[Document]) -> str:
    strange = sum(None not in (item["actor"], item["wielder"]) and item["actor"] != item["wielder"] for item in items)
    return f", {strange:,} of them by another party than the one it was issued to" if strange else ""


def timeline(doc: Document) -> Page:
    """Render every fact about a thing, in chronological order."""
    items = doc["items"]
    total = doc["total"]
    total_text = f"more facts than are counted; of {len(items):,} here" if total is None else many(total, "fact")
    total_text = f" is mentioned by {total_text}, the earliest first."
    page = Page().line(f"{doc['kind']} ", thing(doc["kind"], doc["id"], "bold"), total_text)
    for item in items:
        page.line()
        page.line(f"{when(item['occurred_at'])} ", (item["type"], "bold"), f" {item['of']}")
        _event(page, item["event"], of=item["of"])
        page.line(f"recorded {when(item['recorded_at'])}", lead="    ")
    return phrases.whole(page, doc)


def diff(doc: Document) -> Page:
    """Render what changed its state between two instants."""
    items = doc["items"]
    what = f"{many(len(items), 'thing')} changed" if items else "nothing changed"
    page = Page().line(
        "From ", moment(doc["from"]), " to ", moment(doc["to"]), f" {what} at and below {doc['kind']} ",
        thing(doc["kind"], doc["id"], "bold"), ".",
    )  # fmt: skip
    for item in items:
        before, after = item["from"], item["to"]
        page.line()
        page.line(f"{item['kind']} {item['id']}")
        page.line(*phrases.verdict(before), (" -> ", "bold"), *phrases.verdict(after), lead="    ")
        phrases.because(page, after, lead="    ")
    return phrases.whole(page, doc)


# Problems


def quarantine(doc: Document) -> Page:
    """Render the records that could not be read."""
    total = doc["total"]
    waiting = f"{many(total, 'record')} in quarantine: rejected, kept."
    page = Page().line(waiting if total else "Nothing is in quarantine.")
    over_quota = doc["beyond_quota"]
    if over_quota["records"]:
        quota = over_quota["quota"]
        page.line(
            f"Of {many(over_quota['records'], 'record')} only digest and place are kept: these sources have used up "
            f"their quota of {many(quota['records'], 'record')} or {many(quota['bytes'], 'byte')}."
        )
        for source in over_quota["sources"]:
            page.line(f"{source['source']}: {many(source['records'], 'record')}", lead="    ")
    for item in doc["items"]:
        page.title(f"{item['id']}  {item['reason']}")
        page.line(item["detail"], lead="    ")
        page.line(f"{item['origin']}, at {item['position']}; {many(item['size'], 'byte')}, recorded "
                  f"{when(item['recorded_at'])}", lead="    ")  # fmt: skip
        page.line(f"sha256:{item['sha256']}", lead="    ")
        value = item["value"]
        if item["beyond_quota"]:
            page.line("only its digest and place are kept", lead="    ")
        elif value is None:
            page.line("what it held may not be kept: it carried a raw credential", lead="    ")
        else:
            cut = ""
            if len(value) > _SNIPPET:
                cut = f" ... (the first {_SNIPPET} of {len(value):,} characters; --json has all)"
            encoding = " (base64)" if item["encoding"] == "base64" else ""
            page.line(f"raw record{encoding}: ", (value[:_SNIPPET], "dim"), cut, lead="    ")
        if item["released_at"]:
            page.line(f"accepted on retry {when(item['released_at'])}", lead="    ")
    if doc["items"]:
        page.line().line("After an upgrade 'delegraph quarantine --retry' retries them.")
    return phrases.whole(page, doc)


def retried(doc: Document) -> Page:
    """Render what was released from quarantine."""
    page = Page().line(f"Of {many(doc['read'], 'record')} in quarantine ", (f"{doc['taken_up']:,}", "bold"),
                       f" were accepted on retry; {doc['waiting']:,} remain.")  # fmt: skip
    return phrases.as_of(page, doc)


def conflicts(doc: Document) -> Page:
    """Render the identities under which different contents were sent."""
    items = doc["items"]
    page = Page().line(
        f"{many(len(items), 'identity', 'identities')} with different contents; all of them are kept."
        if items
        else "No source has sent different contents under one identity."
    )
    for item in items:
        page.title(f"{item['event_id']} of {item['source']}: {many(len(item['contents']), 'content')}")
        for number, content in enumerate(item["contents"], 1):
            event = content["event"]
            left_out = [word for word, holds in (("unauthorised", not content["authorised"]),
                        ("came by the wrong topic", content["misrouted"])) if holds]  # fmt: skip
            note = f" ({joined(left_out)}: not counted)" if left_out else ""
            page.line(f"{number}. {event['type']}, recorded {when(content['recorded_at'])}{note}", lead="  ")
            _event(page, event)
            page.line(f"sha256:{content['digest']}", lead="    ")
    return phrases.whole(page, doc)


def findings(doc: Document) -> Page:
    """Render what is wrong, worst first, and which rules could not be evaluated."""
    items = doc["items"]
    counts = joined((f"{count:,} {word}" for word, count in doc["by_severity"].items()), ", ")
    page = Page().line(
        f"{many(doc['total'], 'finding')} ({counts})." if items else "No findings, as far as was evaluated."
    )
    for item in items:
        phrases.finding(page, item)
    if doc["suppressed"]:
        page.line().line(f"{many(doc['suppressed'], 'more finding')} suppressed: --all shows them.")
    if doc["not_evaluated"]:
        names = joined((each["kind"] for each in doc["not_evaluated"]), ", ")
        page.line().line(f"Not evaluated ({len(doc['not_evaluated'])}; 'delegraph posture' says why): {names}.")
    return phrases.whole(page, doc)


# Ingestion


def counts(doc: Document) -> Page:
    """Render the outcomes of the events that were read: every one is accounted for."""
    page = Page()
    if "records" in doc:
        skipped = doc["skipped"]
        nothing = f"{sum(skipped.values()):,} of them skipped: they say nothing of authority or action."
        page.line(f"{many(doc['records'], 'record')} in the files, {nothing}")
        for reason, count in skipped.items():
            page.line(f"{count:>9,}  {reason}", lead="  ")
    page.line(f"Read {many(doc['read'], 'event')}: ", *_outcomes(doc), ".")
    _formats(page, doc.get("files", []))
    return phrases.as_of(_remedies(page, doc), doc)


def _formats(page: Page, files: list[Document]) -> None:
    """Render the recognised format of each file; if there are many, the number of files by format."""
    if len(files) <= _FILES_NAMED:
        for each in files:
            page.line(f"{each['file']} was read as {each['format']}.")
        return
    counted = Counter(each["format"] for each in files)
    page.line("Read as ", ", ".join(f"{name}: {many(count, 'file')}" for name, count in sorted(counted.items())), ".")


def emitted(doc: Document) -> Page:
    """Render what was published."""
    page = Page().line(f"Read {many(doc['read'], 'event')}: ", (f"{doc['published']:,} published", "bold"),
                       f", {len(doc['refused']):,} refused.")  # fmt: skip
    for item in doc["refused"]:
        place = (f"{item['file']}:{item['line']}", "bold")
        page.line(place, f" {item['reason']}: {item['detail']}", lead="  - ")
    return page


def consumed(doc: Document) -> Page:
    """Render what was projected, and what the store accounts for."""
    page = Page().line(f"{many(doc['records'], 'record')} projected.")
    if doc["outcomes"] is None:
        return page.line("The store is unavailable, so its contents cannot be counted.")
    page.line("All that the store has projected: ", *_outcomes(doc["outcomes"]), ".")
    return phrases.as_of(_remedies(page, doc["outcomes"]), doc)


def checked(doc: Document) -> Page:
    """Render whether the stored projection matches the log."""
    differences = doc["differences"]
    page = Page()
    if doc["ok"]:
        page.line(
            ("OK", "bold green"),
            f": the projection says what the log says; {many(doc['records'], 'record')}.",
        )
    else:
        count = many(len(differences), "difference")
        page.line(("DIFFERENT", "bold red"), f": {count} between the projection and the log.")
    phrases.plain(page, differences)
    page.line(*_outcomes(doc["outcomes"]))
    return phrases.as_of(page, doc)


def doctor(doc: Document) -> Page:
    """Render what is configured, what answers, and what does not."""
    page = Page().line(("All is well." if doc["ok"] else "Something does not answer.", "bold"))
    for check in doc["checks"]:
        word: Words = ("ok   ", "green") if check["ok"] else ("FAULT", "bold red")
        page.line(word, f"  {check['check']}: {check['says']}", lead="  ", hang=" " * 9)
    _where_it_stands(page, doc.get("positions", []))
    page.title("Settings")
    for name in ("store", "log", "trust", "source"):
        page.field(name, doc[name] or "none", width=_SETTING)
    for item in doc.get("settings", []):
        if item["name"] not in doc:
            page.field(item["name"], item["value"], width=_SETTING)
    if given := [item for item in doc.get("settings", []) if item["from"] != "default"]:
        page.field("given by", joined(f"{item['from']}: {item['name']}" for item in given), width=_SETTING)
    if doc.get("config"):
        page.field("file", doc["config"], width=_SETTING)
    page.title("Versions")
    known = {name: version or "not installed" for name, version in doc["versions"].items()}
    return page.line(joined(f"{name} {version}" for name, version in known.items()), lead="  ")


def _where_it_stands(page: Page, positions: list[Document]) -> None:
    """Render the partitions, the ones furthest behind first if there are many; a single one is covered by its check."""
    if len({item["partition"] for item in positions}) <= 1:
        return
    page.title("Positions")
    most = sorted(positions, key=lambda item: -item["behind"])[:_PARTITIONS]
    for item in most:
        where = f"{item['topic']}/{item['partition']}"
        page.line(f"{where}: {item['next_offset']:,} of {item['end']:,}, {item['behind']:,} behind", lead="  ")
    if more := len(positions) - len(most):
        page.line(f"and {more:,} more, none further behind: --json has all", lead="  ")


def _outcomes(doc: Document) -> list[Words]:
    """Describe the outcome of every record in one of five words."""
    words: list[Words] = [(f"{doc['accepted']:,} accepted", "bold")]
    for name in ("duplicates", "conflicts", "unauthorised", "quarantined"):
        count = doc[name]
        word = name[:-1] if count == 1 and name in ("duplicates", "conflicts") else name
        words += [", ", (f"{count:,} {word}", "bold yellow" if count and name != "duplicates" else "")]
    return words


def _remedies(page: Page, doc: Document) -> Page:
    for name, what, command in (
        ("quarantined", "could not be read", "quarantine"),
        ("conflicts", "reused the identity of an event with other contents", "conflicts"),
        ("unauthorised", "came from a source that may not state it, and do not count", "findings"),
    ):
        if doc[name]:
            reasons = doc.get("reasons", {}) if name == "quarantined" else {}
            why = f" ({joined((f'{count:,} {reason}' for reason, count in reasons.items()), ', ')})" if reasons else ""
            page.line(f"{doc[name]:,} {what}{why}: see 'delegraph {command}'.", lead="  - ")
    return page


def _event(page: Page, event: Document, of: str = "") -> None:
    """Render the content of an event, and its source."""
    page.line(joined((f"{name}: {value}" for name, value in event_fields(event, of)), "; "), lead="    ")
    page.line(f"source: {event['source']}, {event['event_id']}", lead="    ")


def event_fields(event: Document, of: str = "") -> list[tuple[str, str]]:
    """Return the fields of an event, except for its envelope and its subject."""
    fields = [name for name in event if name not in _ENVELOPE and f"{name}:{event[name]}" != of]
    return [(name, joined(event[name], "; ") if name in _TEXTS else _value(event[name])) for name in fields]


def _value(value: object) -> str:
    if isinstance(value, dict):
        return joined((f"{key}={_value(item)}" for key, item in value.items()), " ")
    if isinstance(value, list):
        return joined(map(_value, value), ", " if value and isinstance(value[0], dict) else " ")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
