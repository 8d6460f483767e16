"""The overview of a store on one screen of 80 columns and 24 lines, the answer first."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Final

from lineage.core.authority.rule import MissingEvidence
from lineage.core.model.keys import split_key
from lineage.core.model.sentences import Sentence
from lineage.serve.documents.core_documents import Document
from lineage.serve.documents.unread_files import Unread
from lineage.serve.text.text_page import Page, Words, joined, many

_COLUMNS: Final = 78
_FILES: Final = 4  # beyond this, files are grouped by format
_FINDINGS: Final = 3
_ASSERTED: Final = "this root is only asserted"
_HOPS: Final = 6
_HOP_CHARACTERS: Final = 24
_ID_CHARACTERS: Final = 40  # the whole id is in --json
_LEAST_OF_AN_ID: Final = 9
_NAMED: Final = 3
# Why a file of a folder is not read, if nothing is wrong with it.
_EXPECTED: Final = {Unread.OTHER_FORMAT, Unread.EMPTY}  # in a folder of logs
_STYLES: Final = {"critical": "bold red", "high": "bold red", "medium": "yellow"}


def tried(doc: Document, named: Sequence[str]) -> Page:
    """Render the contents of logs: the answer first, then what is wrong, then the files."""
    page = Page()
    _answer(page, doc)
    _wrong(page, doc)
    _missing(page, doc)
    _parties(page, doc)
    _files(page, doc)
    if "-" not in named:
        page.line(("Next", "bold"))
        page.command(["delegraph", "try", "--serve", *named])
        if len(doc["files"]) == 1:
            page.command(["delegraph", "ingest", doc["files"][0]["file"]])
    if doc["longest"] is not None:
        page.command(_question(doc["longest"]["of"]))
    return page


def _answer(page: Page, doc: Document) -> None:
    counts, roots = doc["counts"], doc["roots"]
    if not any(counts.values()):
        page.line(("These files contain no actions, tokens or decisions.", "bold"))
        return
    who = [
        many(counts[name], *nouns)
        for name, *nouns in (("people", "person", "people"), ("agents", "agent"), ("services", "service"))
        if counts[name]
    ]
    if counts["unknown"]:
        who.append(f"{counts['unknown']:,} of unknown kind")
    things = [
        many(counts[name], noun)
        for name, noun in (("decisions", "decision"), ("tokens", "token"), ("delegations", "grant"))
        if counts[name] or name == "tokens"
    ]
    done = many(counts["actions"], "action")
    if not counts["actions"]:
        page.line((f"No actions; {joined(things)}{'; named: ' if who else ''}{joined(who)}.", "bold"))
    else:
        page.line((f"{done} by {joined(who) or 'an unknown principal'}; {joined(things)}.", "bold"))
        others = sum(count for kind, count in roots.items() if kind not in ("human", "nobody"))
        page.line(
            (f"{roots.get('human', 0):,} of {done} lead to a person", "green"),
            f", {others:,} to another party, {roots.get('nobody', 0):,} to no known party.",
        )
    longest = doc["longest"]
    if longest is not None and len(longest["hops"]) > 1:
        hops = [_end_of(hop["display_name"] or hop["id"]) for hop in longest["hops"]]
        if len(hops) > _HOPS:
            hops = [*hops[: _HOPS - 2], f"({len(hops) - _HOPS + 1:,} more)", hops[-1]]
        page.line(("Longest chain: ", "bold"), joined(hops, " > "), f", {many(longest['tokens'], 'token')}")


def _wrong(page: Page, doc: Document) -> None:
    found = doc["findings"]
    if not any(doc["counts"].values()) and not found["total"]:
        return
    page.line()
    if not found["total"]:
        page.line(("No findings.", "bold"))
        return
    severities = joined(f"{count:,} {word}" for word, count in found["by_severity"].items())
    page.line((f"{many(found['total'], 'finding')}: {severities}", "bold"))
    worst = {one["kind"]: one for one in reversed(found["items"])}
    for one in sorted(worst.values(), key=found["items"].index)[:_FINDINGS]:
        count = found["by_kind"][one["kind"]]
        kind = one["kind"] if count == 1 else f"{one['kind']} ({count:,})"
        why = _abbreviated(one["why"])
        page.line((kind, _STYLES.get(one["severity"], "")), f": {_cut(why, _COLUMNS - len(kind) - 6)}", lead="  - ")


def _missing(page: Page, doc: Document) -> None:
    gaps = doc["gaps"]
    if not gaps["total"]:
        return
    for gap in gaps["items"][:1]:  # the party behind most actions
        head = f"Missing evidence, {many(gaps['total'], 'gap')}"
        why = _ASSERTED if gap["cause"] == MissingEvidence.ASSERTED_ROOT else gap["why"]
        room = _COLUMNS - len(f"{head}: {why}:  ({gap['behind']:,})")
        text = f"{why}: {_short(gap['id'], min(max(room, _LEAST_OF_AN_ID), _ID_CHARACTERS))} ({gap['behind']:,})"
        page.line((head, "bold"), f": {_cut(text, _COLUMNS - len(head) - 2)}", lead="", hang="  ")


def _parties(page: Page, doc: Document) -> None:
    kinds = (("People", "people"), ("Agents", "agents"), ("Services", "services"), ("Unknown", "unknown"))
    if any(doc["counts"][name] for _, name in kinds):
        page.line()
    for label, name in kinds:
        total = doc["counts"][name]
        if total:
            names = _by_name(doc[name])
            total -= len(doc[name]) - len(names)
            page.line(_listed(names, total, _COLUMNS - 10), lead=f"{label:<10}")


def _listed(names: Iterable[str], total: int, room: int) -> str:
    """List as many names as fit, and the number of the others."""
    text, shown = "", 0
    for name in names:
        longer = f"{text}, {name}" if text else name
        if text and len(longer) > room - len(", and 1,000 more"):
            break
        text, shown = longer, shown + 1
    return text if shown == total else f"{text}, and {total - shown:,} more"


def _by_name(parties: Iterable[Document]) -> list[str]:
    """Return each name once, with how many actions it did and how many ids have it."""
    actions, ids = Counter[str](), Counter[str]()
    for one in parties:
        name = _short(one["display_name"] or one["id"], _ID_CHARACTERS)
        actions[name] += one["actions"]
        ids[name] += 1
    by_name = {
        name: [*([f"{actions[name]:,}"] if actions[name] else []), *([f"{count} ids"] if count > 1 else [])]
        for name, count in ids.items()
    }
    return [f"{name} ({', '.join(more)})" if more else name for name, more in by_name.items()]


def _files(page: Page, doc: Document) -> None:
    files = doc["files"]
    page.line()
    page.line(("Files", "bold"))
    if len(files) <= _FILES:
        names = Counter(PurePath(one["file"]).name for one in files)
        for one in files:
            path = PurePath(one["file"])
            name = path.name if names[path.name] == 1 else path.parent.name + "/" + path.name
            known_by = f" (known by {one['known_by']})" if len(files) == 1 else ""
            page.line(*_file(one, f"{name}: {one['format']}{known_by}"), lead="  ", hang="    ")
    else:
        for format_ in dict.fromkeys(one["format"] for one in files):
            of_format = [one for one in files if one["format"] == format_]
            page.line(*_file(_sum(of_format), f"{format_}, {many(len(of_format), 'file')}"), lead="  ", hang="    ")
    other = [PurePath(one["file"]).name for one in doc["unread"] if one["cause"] in _EXPECTED]
    if other:
        page.line(_listed(other[:_NAMED], len(other), _COLUMNS - 12), lead="  not read: ")
    faults = [one["why"] for one in doc["unread"] if one["cause"] not in _EXPECTED]
    if faults:
        more = f"; and {len(faults) - 1:,} more" if len(faults) > 1 else ""
        page.line((f"{faults[0]}{more}", "yellow"), lead="  ", hang="    ")


def _file(one: Document, label: str) -> list[Words]:
    words: list[Words] = [f"{label}, {many(one['records'], 'record')}, {many(one['events'], 'event')}"]
    for name, style in (("skipped", ""), ("quarantined", "yellow")):
        reasons = one[name]
        if reasons:
            first = next(iter(reasons)) + (", ..." if len(reasons) > 1 else "")
            words.append((f", {sum(reasons.values()):,} {name} ({first})", style))
    return words


def _sum(files: Sequence[Document]) -> Document:
    total: Document = {"records": 0, "events": 0, "skipped": {}, "quarantined": {}}
    for one in files:
        for name in ("records", "events"):
            total[name] += one[name]
        for name in ("skipped", "quarantined"):
            for reason, count in one[name].items():
                total[name][reason] = total[name].get(reason, 0) + count
    return total


def _question(key: str) -> list[str]:
    kind, id_ = split_key(key)
    return ["delegraph", "who", id_] if kind == "action" else ["delegraph", "chain", key]


def _short(id_: str, characters: int) -> str:
    """Abbreviate a long id by omitting its middle."""
    if len(id_) <= characters:
        return id_
    half = (characters - 3) // 2
    return f"{id_[:half]}...{id_[-half:]}"


def _abbreviated(why: str) -> str:
    """Abbreviate the long ids of a sentence."""
    if not isinstance(why, Sentence):
        return why
    return joined((_short(text, _ID_CHARACTERS) if names else text for text, names in why.pieces()), "")


def _end_of(id_: str) -> str:
    """Return the end of an id, which distinguishes the parties of one issuer."""
    return id_ if len(id_) <= _HOP_CHARACTERS else f"...{id_[3 - _HOP_CHARACTERS :]}"


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: characters - 3]}..."
