"""Commands on findings: list, judge, use as a gate in pipelines, and the posture."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from lineage.core.model.errors import RefusedError
from lineage.core.model.finding import SEVERITIES
from lineage.core.model.times import Instant, format_instant
from lineage.serve.cli.options import AT, KNOWN_AT, TIME, now, shared_options
from lineage.serve.cli.output import EXIT_NOT_FOUND, Document, Output

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from lineage.serve.config.settings import Settings

EXIT_FOUND: Final = 7
_SEVERITY: Final = click.Choice(list(SEVERITIES))
_REPORTS: Final = ("table", "json", "ocsf", "html")
_FORMATS: Final = ("table", "json", "jsonl", "csv", "ocsf", "sarif")


@click.group(invoke_without_command=True)
@AT
@KNOWN_AT
@click.option("--of", metavar="KIND:ID", help="Only what is wrong with this, or about it.")
@click.option("--kind", "kinds", multiple=True, metavar="RULE", help="Only of this rule; repeatable.")
@click.option("--severity", "severities", multiple=True, type=_SEVERITY, help="Only of this severity; repeatable.")
@click.option("--status", "statuses", multiple=True, metavar="STATUS", help="new, acknowledged, suppressed, resolved.")
@click.option("--since", type=TIME, metavar="TIME", help="Only findings last seen then or later.")
@click.option("--all", "everything", is_flag=True, help="Include suppressed ones.")
@click.option("--after", metavar="NEXT", help="Continue after this page (its `next`).")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="Items on one page.")
@click.option("--format", "format_", type=click.Choice(_FORMATS), default="table", help="The output format.")
@click.option("--fail-on", type=_SEVERITY, help="Exit with 7 if there is a finding of this severity or above.")
@click.option("--baseline", type=click.Path(path_type=Path), help="Findings in this file do not count for --fail-on.")
@click.option("--write-baseline", type=click.Path(path_type=Path), help="Write the ids of the findings to this file.")
@click.option("--fresh", is_flag=True, help="Evaluate everything, even if an index of findings is kept.")
@shared_options()
def findings(
    settings: "Settings",
    out: Output,
    at: Instant | None,
    known_at: Instant | None,
    of: str | None,
    kinds: tuple[str, ...],
    severities: tuple[str, ...],
    statuses: tuple[str, ...],
    since: Instant | None,
    everything: bool,
    after: str | None,
    limit: int,
    format_: str,
    fail_on: str | None,
    baseline: Path | None,
    write_baseline: Path | None,
    fresh: bool,
) -> None:
    """List what is wrong, worst first, each finding with the facts that show it and what to do.

    \b
      delegraph findings
      delegraph findings --severity critical --severity high --json
      delegraph findings show F-7ad89a5c2ebaf0cbebb4
      delegraph findings --fail-on high --baseline known.json
      delegraph findings --format sarif > findings.sarif
      delegraph findings suppress F-… --by human:ir@example.com --reason "a test" --until 2026-12-31T00:00:00Z
    """  # noqa: D301
    if click.get_current_context().invoked_subcommand is not None:
        return
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.findings.findings import FindingFilter, exported, failing, gate, posture_ids
    from lineage.serve.queries.findings.findings import findings as found_by
    from lineage.serve.text import render_chain

    known = _baseline(baseline) if baseline is not None else frozenset()
    filters = FindingFilter(of, kinds, severities, statuses, since, everything)
    moment = now() if at is None else at
    with opened_service(settings) as service:
        if format_ in ("table", "json") or out.as_json:
            document = found_by(
                service, at=moment, known_at=known_at, filters=filters, after=after, limit=limit, fresh=fresh
            )
            out = Output(as_json=out.as_json or format_ == "json")
            out.document(document, render_chain.findings)
        else:
            baseline_ids = known if baseline is not None else None
            stated = exported(
                service, format_, at=moment, known_at=known_at, filters=filters, baseline=baseline_ids, fresh=fresh
            )
            click.echo(stated, nl=False)
        if write_baseline is not None or fail_on is not None:
            open_ones = gate(service, at=moment, known_at=known_at, filters=filters, fresh=fresh)
            if write_baseline is not None:
                _write(write_baseline, posture_ids(open_ones))
            if fail_on is not None and (worse := failing(open_ones, SEVERITIES[fail_on], known)):
                new = "" if baseline is None else f", not in {baseline}"
                click.echo(f"delegraph: {len(worse):,} open at severity {fail_on} or above{new}.", err=True)
                click.get_current_context().exit(EXIT_FOUND)


def _baseline(file: Path) -> frozenset[str]:
    try:
        parsed = json.loads(file.read_text(encoding="utf-8"))
        ids = parsed["findings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RefusedError(f"the baseline {file} cannot be read: write one with --write-baseline") from error
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise RefusedError(f"the baseline {file} holds no list of ids: write one with --write-baseline")
    return frozenset(ids)


def _write(file: Path, ids: list[str]) -> None:
    try:
        file.write_text(json.dumps({"findings": ids}, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise RefusedError(f"the baseline {file} cannot be written: {error.strerror}") from error


@findings.command()
@click.argument("finding")
@AT
@KNOWN_AT
@shared_options()
def show(settings: "Settings", out: Output, finding: str, at: Instant | None, known_at: Instant | None) -> None:
    """Show a finding: why, the evidence in time order, related findings, and who judged it."""
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.findings.one_finding import finding as finding_of
    from lineage.serve.text import render_finding

    with opened_service(settings) as service:
        document = finding_of(service, finding, at=now() if at is None else at, known_at=known_at)
        if document is None:
            out.no_finding(finding)
            click.get_current_context().exit(EXIT_NOT_FOUND)
        out.document(document, render_finding.finding)


def _judging(judgement: str, help_text: str) -> click.Command:
    """Build a command that judges a finding."""

    @click.command(help=help_text)
    @click.argument("finding")
    @click.option("--by", required=True, metavar="ID", help="Who decides, such as human:ir@example.com.")
    @click.option("--reason", required=True, help="Why, in a sentence.")
    @click.option("--until", type=TIME, metavar="TIME", help="When it expires; required for a suppression.")
    @shared_options()
    def command(settings: "Settings", out: Output, finding: str, by: str, reason: str, until: Instant | None) -> None:
        from lineage.serve.commands.judgements import judge
        from lineage.serve.config.wiring import opened_service
        from lineage.serve.text.text_page import Page

        def render(document: Document) -> Page:
            return Page().line(f"{document['finding']} is {document['status']}: {document['reason']}")

        with opened_service(settings) as service:
            document = judge(service, finding, judgement, by=by, reason=reason, until=until)
            if document is None:
                out.no_finding(finding)
                click.get_current_context().exit(EXIT_NOT_FOUND)
            out.document(document, render)

    return command


findings.add_command(_judging("acknowledged", "Acknowledge a finding: somebody is working on it."), "ack")
findings.add_command(_judging("suppressed", "Accept a finding until a moment, and hide it."), "suppress")
findings.add_command(_judging("reopened", "Reopen an acknowledged or suppressed finding."), "reopen")


@findings.command()
@click.option("--once", is_flag=True, help="Evaluate everything once, and end.")
@click.option(
    "--most",
    type=click.IntRange(1),
    default=3_000_000,
    show_default=True,
    help="Records of the log up to which everything is evaluated, at some 1 KB of memory each.",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Metrics and health, such as 127.0.0.1:9467. [env: DELEGRAPH_LISTEN; default: none]",
)
@shared_options()
def keep(settings: "Settings", out: Output, once: bool, most: int, **_from_settings: str | None) -> None:
    """Keep the index of findings, so that a list is a page and not an evaluation, until stopped (SIGINT, SIGTERM).

    \b
      delegraph findings keep
      delegraph findings keep --once
      delegraph findings keep --listen 127.0.0.1:9467
    """  # noqa: D301
    import os
    import sys

    from lineage.serve.processes.finding_process import keep_findings, page_of
    from lineage.serve.processes.logs import LogSettings, logging_to

    with logging_to(sys.stderr, LogSettings.of(os.environ, terminal=sys.stderr.isatty())):
        document = keep_findings(settings, once=once, most=most)
    out.document(document, page_of)


@click.command()
@AT
@KNOWN_AT
@click.option("--framework", type=click.Choice(["ASI", "NHI", "RMF"]), help="Only checks that map to this framework.")
@click.option("--format", "format_", type=click.Choice(_REPORTS), default="table", help="The output format.")
@click.option("--fresh", is_flag=True, help="Evaluate everything, even if an index of findings is kept.")
@shared_options()
def posture(
    settings: "Settings",
    out: Output,
    at: Instant | None,
    known_at: Instant | None,
    framework: str | None,
    format_: str,
    fresh: bool,
) -> None:
    """List every check with its outcome: pass, fail, suppressed, or not evaluated and why.

    \b
      delegraph posture
      delegraph posture --framework NHI --json
      delegraph posture --format html > posture.html
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.documents.finding_formats import posture_as_ocsf
    from lineage.serve.documents.posture_report import posture_as_html
    from lineage.serve.queries.findings.posture import posture as posture_of
    from lineage.serve.text.text_page import Page

    def render(document: Document) -> Page:
        counts = document["counts"]
        page = Page().line(
            f"{counts['pass']} pass, {counts['fail']} fail, {counts['suppressed']} suppressed, "
            f"{counts['not_evaluated']} not evaluated."
        )
        for item in document["items"]:
            number = f" ({item['failed']})" if item["failed"] else ""
            why = f": {item['why']}" if item["why"] else ""
            page.line(f"{item['outcome'].replace('_', ' ')}{number}  {item['kind']}{why}", lead="  ")
            for one in item["suppressed_by"]:
                until = f" until {one['until']}" if one.get("until") else ""
                page.line(f"suppressed by {one.get('by')}{until}: {one['of']}: {one.get('reason')}", lead="      ")
            if (more := item["suppressed"] - len(item["suppressed_by"])) > 0:
                page.line(f"and {more:,} more suppressed", lead="      ")
        if "kept" in document:
            page.line().line(f"From the index of findings, as of {document['kept']['evaluated_at']}.")
        return page

    with opened_service(settings) as service:
        moment = now() if at is None else at
        document = posture_of(service, at=moment, known_at=known_at, framework=framework, fresh=fresh)
        if format_ == "ocsf":
            click.echo(posture_as_ocsf(document, format_instant(moment)), nl=False)
        elif format_ == "html":
            click.echo(posture_as_html(document, format_instant(moment)), nl=False)
        else:
            Output(as_json=out.as_json or format_ == "json").document(document, render)
