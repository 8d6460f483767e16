"""Text pages for graphs: one line per delegation, or per element."""

from lineage.serve.documents.core_documents import Document
from lineage.serve.text import phrases
from lineage.serve.text.text_page import Page, Words, joined, many


def principals(doc: Document) -> Page:
    """Render who delegated what to whom."""
    count = many(len(doc["nodes"]), "principal")
    page = Page().line((count, "bold"), f", {many(len(doc['edges']), 'relation')}, at {phrases.when(doc['at'])}.")
    names = {node["id"]: node["display_name"] for node in doc["nodes"]}
    for use in doc["uses"]:
        page.line((use["why"], "bold red"), lead="  ! ")
    for edge in doc["edges"]:
        page.line(*_party(edge["from"], names), " > ", *_party(edge["to"], names), lead="  - ")
        page.line(joined(_handed(edge), "; "), lead="    ")
    tied = {one for edge in doc["edges"] for one in (edge["from"], edge["to"])}
    for node in doc["nodes"]:
        if node["id"] not in tied:
            page.line(*_party(node["id"], names), f" holds {joined(amounts(node)) or 'nothing'}", lead="  - ")
    if doc["target"] is not None:
        ends = doc["target"]["would_end"]
        text = f"{many(ends['tokens'], 'token')} and {many(ends['delegations'], 'grant')}"
        page.line(f"Revoking {doc['target']['kind']}:{doc['target']['id']} would end {text}.")
    return phrases.as_of(_left_out(page, doc), doc)


def amounts(one: Document) -> list[str]:
    """Count the living, expired and revoked tokens and grants."""
    return [
        f"{many(one[kind][state], noun)}{'' if state == 'alive' else f' {state}'}"
        for state in ("alive", "expired", "revoked")
        for kind, noun in (("tokens", "token"), ("delegations", "grant"))
        if one[kind][state]
    ]


def left_out(doc: Document) -> str:
    """State that the graph is incomplete, and what it does not show; empty if it is complete."""
    counts = omitted(doc)
    return f"Incomplete: {counts}" if counts else ""


def omitted(doc: Document) -> str:
    """Describe what the graph does not show, in a sentence; empty if nothing."""
    left = doc["left_out"]
    parts = [
        many(left[name], noun) for name, noun in (("principals", "principal"), ("edges", "relation")) if left[name]
    ]
    if left["elements"] is None:
        parts.append("an unknown number of tokens and grants")
    elif left["elements"]:
        parts.append(f"{left['elements']:,} tokens and grants that are not counted here")
    return f"{joined(parts)} left out." if parts else ""


def elements(doc: Document) -> Page:
    """Render what depends on what around one thing."""
    page = Page().line((many(len(doc["nodes"]), "element"), "bold"), f" around {doc['kind']}:{doc['id']}, root first.")
    parents: dict[str, list[str]] = {}
    for edge in doc["edges"]:
        parents.setdefault(edge["to"], []).append(edge["from"])
    for node in doc["nodes"]:
        words: list[Words] = [
            f"{node['kind']} ",
            phrases.thing(node["kind"], node["id"], "bold"),
            " ",
            phrases.state(node["state"]),
        ]
        page.line(*words, lead=f"  {node['layer']} ")
        if node["key"] in parents:
            page.line(f"depends on {joined(sorted(parents[node['key']]))}", lead="    ")
        if "findings" in node and (wrong := phrases.wrong(node["findings"])):
            page.line((wrong, "bold red"), lead="    ! ")
    more = sum(one["count"] for one in doc["collapsed"])
    if not doc["complete"]:
        page.line((f"Incomplete: {many(more, 'more element')} around these; narrow it with --of.", "bold yellow"))
    return phrases.as_of(_examined(page, doc), doc)


def _handed(edge: Document) -> list[str]:
    scopes = [f"scopes {joined(edge['scopes'], ' ')}"] if edge["scopes"] else []
    unverified = [f"{edge['unverified']} unverified"] if edge["unverified"] else []
    found = edge["findings"]
    wrong = [f"{many(found['count'], 'finding')}, the worst {found['worst']}"] if found["count"] else []
    ends = [f"a revocation would end {edge['would_end']}"] if edge["would_end"] else []
    return [joined(amounts(edge)), *scopes, *unverified, *wrong, *ends]


def _party(id_: str, names: dict[str, str | None]) -> list[Words]:
    name = names.get(id_)
    return [phrases.thing("principal", id_, "bold"), *([f" ({name})"] if name else [])]


def _left_out(page: Page, doc: Document) -> Page:
    if text := left_out(doc):
        page.line((text, "bold yellow"))
    return _examined(page, doc)


def _examined(page: Page, doc: Document) -> Page:
    if not doc["findings_complete"]:
        page.line("Findings were not evaluated around all of it: narrow it with --of, or run delegraph findings.")
    return page
