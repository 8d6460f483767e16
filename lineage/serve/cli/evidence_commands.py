"""Commands for evidence: keys, checkpoints of the log, and proofs about its records."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lineage.core.model.times import Instant
from lineage.serve.cli.options import TIME, shared_options
from lineage.serve.cli.output import EXIT_UNAVAILABLE, Output

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from collections.abc import Callable
    from typing import TextIO

    from lineage.serve.config.settings import Settings
    from lineage.serve.documents.core_documents import Document


@click.group(invoke_without_command=True)
@click.option(
    "--verifier", is_flag=True, help="Print the program that verifies bundles: one file, Python 3.9 or later."
)
@click.pass_context
def evidence(context: click.Context, *, verifier: bool) -> None:
    """Create evidence that anyone can check: signed checkpoints of the log, proofs about records, whole answers.

    \b
      delegraph evidence keygen log-key.pem
      delegraph evidence checkpoint
      delegraph evidence who mail-7 --out mail-7.evidence.json
      delegraph evidence --verifier > verify_evidence.py
      python3 verify_evidence.py mail-7.evidence.json --key NAME+ID+KEY
    """  # noqa: D301
    if verifier:
        from importlib.resources import files

        click.echo(files("schemas").joinpath("verify_evidence.py").read_text(encoding="utf-8"), nl=False)
    elif context.invoked_subcommand is None:
        click.echo(context.get_help())


@evidence.command()
@click.argument("action", metavar="ACTION")
@click.option("--at", type=TIME, metavar="TIME", help="The instant asked about. [default: now]")
@click.option("--out", "target", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The new file.")
@shared_options()
def who(settings: "Settings", out: Output, action: str, at: Instant | None, target: Path) -> None:
    """Export who stood behind an action, with every record that the answer rests on, as a signed bundle.

    \b
      delegraph evidence who mail-7 --out mail-7.evidence.json
    """  # noqa: D301
    from lineage.serve.queries.evidence_bundle import who_statement

    _export(settings, out, action, at, target, who_statement)


@evidence.command()
@click.argument("revocation", metavar="REVOCATION")
@click.option("--at", type=TIME, metavar="TIME", help="The instant asked about. [default: now]")
@click.option("--out", "target", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The new file.")
@shared_options()
def receipt(settings: "Settings", out: Output, revocation: str, at: Instant | None, target: Path) -> None:
    """Export what a revocation ended, with every record that the receipt rests on, as a signed bundle.

    \b
      delegraph evidence receipt rev-4711 --out rev-4711.evidence.json
    """  # noqa: D301
    from lineage.serve.queries.evidence_bundle import receipt_statement

    _export(settings, out, revocation, at, target, receipt_statement)


@evidence.command("case")
@click.argument("case_id", metavar="CASE")
@click.option("--at", type=TIME, metavar="TIME", help="The instant of the states. [default: now]")
@click.option("--out", "target", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The new file.")
@shared_options()
def case_(settings: "Settings", out: Output, case_id: str, at: Instant | None, target: Path) -> None:
    """Export a case with every record that its statements rest on, as a signed bundle.

    \b
      delegraph evidence case INC-1 --out INC-1.evidence.json
    """  # noqa: D301
    from lineage.serve.queries.evidence_bundle import case_statement

    _export(settings, out, case_id, at, target, case_statement, missing=out.no_case)


def _export(
    settings: "Settings",
    out: Output,
    typed: str,
    at: Instant | None,
    target: Path,
    statement: "Callable[..., Document | None]",
    *,
    missing: "Callable[[str], None] | None" = None,
) -> None:
    import json
    from functools import partial

    from lineage.core.model.errors import RefusedError
    from lineage.serve.commands.checkpoints import keys_of
    from lineage.serve.commands.evidence_bundle import export_bundle
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.text import render_evidence

    with opened_service(settings) as service:
        service.catch_up()
        keys = keys_of(service, settings.evidence_key_file, settings.evidence_origin)
        moment = service.clock() if at is None else at
        asked_for = partial(statement, service, keys.name, typed, at=moment)
        envelope = export_bundle(service, keys, settings.witnesses, settings.evidence_witnesses, asked_for)
    if envelope is None:
        (missing or out.not_found)(typed)
    else:
        try:
            with target.open("x", encoding="utf-8") as file:
                json.dump(envelope, file)
        except OSError as error:
            raise RefusedError(f"{target} cannot be written: {error.strerror}") from error
        out.document({"file": str(target), "key": keys.verifiers[0].text}, render_evidence.exported)
    out.finish()


@evidence.command()
@click.argument("file", type=click.Path(path_type=Path))
@shared_options()
def keygen(settings: "Settings", out: Output, file: Path) -> None:  # noqa: ARG001 (as every command has it)
    """Create an Ed25519 key that signs checkpoints, in a new file that only its owner can read."""
    from lineage.deliver.tlog.note_keys import create_key
    from lineage.serve.text import render_evidence

    create_key(file)
    out.document({"file": str(file)}, render_evidence.key_created)


@evidence.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="NEW")
@click.option("--by", required=True, metavar="PRINCIPAL", help="Who rotates it.")
@click.option("--reason", required=True, metavar="TEXT", help="Why.")
@shared_options()
def rotate(settings: "Settings", out: Output, file: Path, by: str, reason: str) -> None:
    """Replace the key that signs checkpoints by the one in the file NEW, as a fact in the log.

    The old key signs a last time; what it signed stays valid, and what is signed with it afterwards is refused.

    \b
      delegraph evidence keygen new-key.pem
      delegraph evidence rotate new-key.pem --by human:ops@example.com --reason "Once a year"
    """  # noqa: D301
    from lineage.serve.commands.checkpoints import keys_of
    from lineage.serve.commands.key_rotation import rotate as rotate_key
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.text import render_evidence

    with opened_service(settings) as service:
        service.catch_up()
        keys = keys_of(service, settings.evidence_key_file, settings.evidence_origin)
        document = rotate_key(service, keys, file, by=by, reason=reason)
    out.document(document, render_evidence.rotated)


@evidence.command()
@click.argument("file", type=click.File(encoding="utf-8"), metavar="FILE")
@click.option("--key", "keys", multiple=True, required=True, metavar="KEY", help="A key that you trust; repeatable.")
@shared_options()
def check(settings: "Settings", out: Output, file: "TextIO", keys: tuple[str, ...]) -> None:
    """Check a signed checkpoint in FILE, of a partition or the combined one, against the records of the store.

    It must be signed by a key that you trust and that had not been replaced by then. - reads standard input.

    \b
      curl -s https://audit.example/tlog/audit.example/agents/checkpoint | delegraph evidence check - --key NAME+ID+KEY
    """  # noqa: D301
    from lineage.core.evidence.notes import MOST_CHARACTERS, NoteError, parse_key
    from lineage.core.model.errors import RefusedError
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.evidence.key_rotations import check_checkpoint
    from lineage.serve.text import render_evidence

    try:
        known = [parse_key(key) for key in keys]
    except NoteError as fault:
        raise RefusedError(f"--key cannot be used: {fault}") from fault
    try:
        raw = file.read(MOST_CHARACTERS + 1)
    except UnicodeDecodeError as error:
        raise RefusedError("that is not a checkpoint: it is not UTF-8") from error
    with opened_service(settings) as service:
        service.catch_up()
        document = check_checkpoint(service, raw, known, origin=settings.evidence_origin)
    out.document(document, render_evidence.checked)


@evidence.command()
@shared_options()
def checkpoint(settings: "Settings", out: Output) -> None:
    """Sign a checkpoint of every partition whose log has grown since its last one, and show the latest of each.

    The witnesses in the settings are asked to cosign them; if one does not, the exit code is 5.

    \b
      delegraph evidence checkpoint
      delegraph evidence checkpoint --json
    """  # noqa: D301
    from lineage.serve.commands.checkpoints import keys_of, sign
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.text import render_evidence

    with opened_service(settings) as service:
        service.catch_up()
        keys = keys_of(service, settings.evidence_key_file, settings.evidence_origin)
        document = sign(service, keys, settings.witnesses, settings.evidence_witnesses)
    out.document(document, render_evidence.checkpoints)
    if document["faults"]:
        sys.exit(EXIT_UNAVAILABLE)


@evidence.command()
@shared_options()
def status(settings: "Settings", out: Output) -> None:
    """Show how old and large the last checkpoints are, what they do not cover, and what the witnesses cosigned.

    \b
      delegraph evidence status
    """  # noqa: D301
    from lineage.serve.config.wiring import now, opened_service
    from lineage.serve.queries.evidence.evidence_status import evidence_state
    from lineage.serve.text import render_evidence

    with opened_service(settings) as service:
        document = evidence_state(service, settings.evidence_origin, settings.witnesses, at=now())
    out.document(document, render_evidence.status)


@evidence.command()
@click.argument("tree", metavar="TOPIC/PARTITION")
@click.argument("old", type=click.IntRange(0), metavar="OLD")
@click.argument("new", type=click.IntRange(0), metavar="[NEW]", required=False)
@shared_options()
def consistency(settings: "Settings", out: Output, tree: str, old: int, new: int | None) -> None:
    """Prove that the first OLD records of a partition are the beginning of the first NEW (by default of all).

    \b
      delegraph evidence consistency orders/0 10 20
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.evidence.record_proofs import parse_position, prove_consistency
    from lineage.serve.text import render_evidence

    lane = parse_position(f"{tree}/0")
    if lane is None:
        raise click.UsageError(f"{tree!r} is not a partition of the log, such as orders/0")
    with opened_service(settings) as service:
        document = prove_consistency(service, (lane.topic, lane.partition), old, new)
    out.document(document, render_evidence.consistency)


@evidence.command()
@click.argument("source", metavar="SOURCE")
@click.argument("sequence", type=click.IntRange(0), metavar="SEQUENCE")
@shared_options()
def absence(settings: "Settings", out: Output, source: str, sequence: int) -> None:
    """Show that a source's event with a sequence number never arrived: prove the records of its neighbours.

    \b
      delegraph evidence absence https://gateway.example 17
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.evidence.record_proofs import prove_sequence_absent
    from lineage.serve.text import render_evidence

    with opened_service(settings) as service:
        document = prove_sequence_absent(service, source, sequence, origin=settings.evidence_origin)
    out.document(document, render_evidence.absence)


@click.command("prove-record")
@click.argument("fact", metavar="FACT")
@click.option("--source", "event_source", metavar="URI", help="The source of the event, if FACT is the id of one.")
@click.option("--next", "with_next", is_flag=True, help="Also prove the next record, and that none is between them.")
@shared_options()
def prove_record(settings: "Settings", out: Output, fact: str, event_source: str | None, *, with_next: bool) -> None:
    """Prove that a record of the log is under a signed checkpoint. The proof is printed in the format C2SP tlog-proof.

    FACT is a position, TOPIC/PARTITION/OFFSET, or the id of an event with its source.

    \b
      delegraph prove-record orders/0/12 > order.tlog-proof
      delegraph prove-record gw-7 --source https://gateway.example --json
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.evidence import record_proofs
    from lineage.serve.text import render_evidence

    origin = settings.evidence_origin
    with opened_service(settings) as service:
        found = [
            record_proofs.prove_nothing_between(service, each, origin=origin)
            if with_next
            else record_proofs.prove_record(service, each, origin=origin)
            for each in record_proofs.positions_of(service, fact, event_source)
        ]
    documents = [document for document in found if document is not None]
    for document in documents:
        out.text(document, render_evidence.record_proofs)
    if not documents:
        out.no_record(fact)
    out.finish()


@click.command()
@click.option("--key", "key_file", type=click.Path(path_type=Path), required=True, help="Its Ed25519 key in PEM.")
@click.option("--name", required=True, help="Its name, such as witness.example/w1.")
@click.option(
    "--log",
    "logs",
    nargs=2,
    multiple=True,
    required=True,
    metavar="ORIGIN KEY",
    help="A tree that it witnesses, and a key of its log; repeatable. Of several keys the oldest first: once one has "
    "signed, those before it are refused.",
)
@click.option(
    "--state", type=click.Path(path_type=Path), default=Path("witness.db"), show_default=True, help="Its state."
)
@click.option("--http", "listen", metavar="HOST:PORT", default="127.0.0.1:8482", show_default=True)
def witness(key_file: Path, name: str, logs: tuple[tuple[str, str], ...], state: Path, listen: str) -> None:
    """Cosign checkpoints of other sites' logs until stopped, and refuse a log that shows two histories.

    It keeps the last checkpoint of each tree, and cosigns only what extends it (C2SP tlog-witness).

    \b
      delegraph evidence keygen witness.pem
      delegraph witness --key witness.pem --name witness.example/w1 \\
        --log audit.example/agents/decisions/0 audit.example/agents+dd77b626+AZ/q…
    """  # noqa: D301
    from lineage.core.evidence.notes import KeyKind, NoteError, VerifierKey, parse_key
    from lineage.core.model.errors import RefusedError
    from lineage.deliver.tlog.note_keys import load_note_keys
    from lineage.serve.cli.output import faults_as_exit_codes
    from lineage.serve.config.wiring import now
    from lineage.serve.processes.witness_process import serve_witness

    with faults_as_exit_codes(as_json=False):
        known: dict[str, list[VerifierKey]] = {}
        for origin, text in logs:
            try:
                known.setdefault(origin, []).append(parse_key(text))
            except NoteError as fault:
                raise RefusedError(f"the key of --log {origin} cannot be used: {fault}") from fault
        keys = load_note_keys(name, KeyKind.COSIGNATURE, key_file)
        serve_witness(keys, known, state, listen, clock=now, say=lambda line: click.echo(line, err=True))
