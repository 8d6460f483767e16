"""Text pages for evidence: keys, checkpoints and proofs."""

from lineage.serve.documents.core_documents import Document
from lineage.serve.text.phrases import when
from lineage.serve.text.text_page import Page, many


def key_created(doc: Document) -> Page:
    """Render a new key."""
    page = Page().line(("A new key is in ", ""), (doc["file"], "bold"), ". Keep it secret, and keep a copy.")
    return page.line(f"To sign with it: export DELEGRAPH_EVIDENCE_KEY_FILE={doc['file']}")


def checkpoints(doc: Document) -> Page:
    """Render the latest checkpoints."""
    page = Page()
    if not doc["checkpoints"]:
        return page.line("There is nothing to sign: the log has no records.")
    new = (
        f"{many(doc['signed'], 'checkpoint')} signed."
        if doc["signed"]
        else "Nothing is new since the last checkpoints."
    )
    page.line((new, "bold"))
    for one in doc["checkpoints"]:
        page.line(
            (one["origin"], "bold"), f": {many(one['size'], 'record')}, signed {when(one['signed_at'])}", lead="  - "
        )
        if one["witnessed_at"]:
            page.line(f"witnessed {when(one['witnessed_at'])}", lead="    ")
    for one in doc["faults"]:
        page.line((f"The witness {one['witness']} has not cosigned {one['origin']}: {one['fault']}", "bold"))
    page.line(f"Others verify them with this key: {doc['key']}")
    return page


def status(doc: Document) -> Page:
    """Render the state of the evidence."""
    page = Page()
    if doc["says"] is None:
        page.line(("Nothing is signed: a change of the log would not be noticed.", "bold"))
    else:
        page.line("The log is ", (doc["says"], "bold"), ".")
    for one in doc["trees"]:
        name = f"{one['topic']}/{one['partition']}"
        signed = (
            "never signed" if one["signed_at"] is None else f"{one['signed_size']:,} signed {when(one['signed_at'])}"
        )
        witnessed = "" if one["witnessed_at"] is None else f", {one['witnessed_size']:,} witnessed"
        damaged = ", damaged: run 'delegraph rebuild'" if one["is_broken"] else ""
        page.line(f"{name}: {many(one['size'], 'record')}, {signed}{witnessed}{damaged}", lead="  - ")
    for one in doc["witnesses"]:
        lacking = ", ".join(one["lacking"])
        page.line(
            f"The witness {one['name']} has " + (f"not cosigned {lacking}" if lacking else "cosigned all of these")
        )
    return page


def consistency(doc: Document) -> Page:
    """Render a consistency proof."""
    name = f"{doc['topic']}/{doc['partition']}"
    page = Page().line(
        (f"The first {many(doc['old']['size'], 'record')} of {name} are the beginning of its first ", ""),
        f"{doc['new']['size']:,}.",
    )
    for side in ("old", "new"):
        page.line(f"root of {doc[side]['size']:,}: {doc[side]['root']}", lead="  ")
    for each in doc["proof"]:
        page.line(each, lead="    ")
    return page


def absence(doc: Document) -> Page:
    """Render what a source sent around a number that never arrived."""
    page = Page().line((f"No record has number {doc['sequence']} of {doc['source']}.", "bold"))
    for side, word in (("before", "before it"), ("after", "after it")):
        one = doc[side]
        page.line(
            f"The nearest {word}: "
            + ("none" if one is None else f"{one['position']}, recorded {when(one['recorded_at'])}"),
            lead="  ",
        )
    return page


def record_proofs(doc: Document) -> str:
    """Render a proof, or two of adjacent records, in the format that programs verify."""
    if "first" in doc:
        return f"{doc['first']['tlog_proof']}\n{doc['next']['tlog_proof']}"
    return str(doc["tlog_proof"])


def exported(doc: Document) -> Page:
    """Render where a bundle was written, and how others verify it."""
    page = Page().line("The evidence is in ", (doc["file"], "bold"), ". To verify it on any machine:")
    page.line("delegraph evidence --verifier > verify_evidence.py", lead="  ")
    return page.command(["python3", "verify_evidence.py", doc["file"], "--key", doc["key"]])


def rotated(doc: Document) -> Page:
    """Render a rotation, and what is to be done next."""
    page = Page().line(("The rotation is recorded. ", "bold"), "The old key has signed for the last time.")
    for one in doc["sizes"]:
        page.line(f"{one['tree']}: up to {many(one['size'], 'record')}", lead="  - ")
    page.line(f"Now put {doc['file']} before the old key: the first key of DELEGRAPH_EVIDENCE_KEY_FILE signs.")
    return page.line(f"Others verify what is signed from now on with this key: {doc['new']}")


def checked(doc: Document) -> Page:
    """Render a checkpoint that is right."""
    page = Page().line((f"The checkpoint of {doc['origin']} is right: ", "bold"), many(doc["size"], "record"), ".")
    for one in doc["trees"]:
        page.line(f"{one['origin']}: the first {many(one['size'], 'record')} are those under it", lead="  - ")
    for key in doc["signed_by"]:
        page.line(f"signed by {key}", lead="  - ")
    return page
