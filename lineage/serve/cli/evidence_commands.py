"""Commands for evidence: keys, checkpoints of the log, and proofs about its records."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lineage.serve.cli.options import shared_options
from lineage.serve.cli.output import Output

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from lineage.serve.config.settings import Settings


@click.group()
def evidence() -> None:
    """Evidence that a stranger can check: signed checkpoints of the log, and proofs about its records.

    \b
      delegraph evidence keygen log-key.pem
      delegraph evidence checkpoint
      delegraph prove-record orders/0/12
      delegraph evidence consistency orders/0 10 20
    """  # noqa: D301


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
@shared_options()
def checkpoint(settings: "Settings", out: Output) -> None:
    """Sign a checkpoint of every partition whose log has grown since its last one, and show the latest of each.

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
        out.document(sign(service, keys), render_evidence.checkpoints)


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
    from lineage.serve.queries.record_proofs import parse_position, prove_consistency
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
    from lineage.serve.queries.record_proofs import prove_sequence_absent
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
    from lineage.serve.queries import record_proofs
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
