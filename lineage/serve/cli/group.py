"""The command group: the commands, and the module of each."""

from importlib import import_module
from typing import Any, Final

import click

from lineage import __version__

# Command -> the module with its function. A command is imported when it runs or when the help lists it.
_COMMANDS: Final = {
    "demo": "process_commands",
    "try": "try_command",
    "init": "process_commands",
    "ingest": "data_commands",
    "emit": "data_commands",
    "consume": "process_commands",
    "overview": "asking_commands",
    "actions": "asking_commands",
    "principals": "asking_commands",
    "tokens": "asking_commands",
    "delegations": "asking_commands",
    "who": "query_commands",
    "chain": "query_commands",
    "status": "query_commands",
    "reach": "query_commands",
    "revoke": "revocation_commands",
    "lift": "revocation_commands",
    "uses": "query_commands",
    "timeline": "query_commands",
    "diff": "query_commands",
    "graph": "graph_command",
    "search": "asking_commands",
    "open": "open_command",
    "quarantine": "data_commands",
    "conflicts": "query_commands",
    "findings": "finding_commands",
    "posture": "finding_commands",
    "governance": "governance_commands",
    "rebuild": "data_commands",
    "fsck": "data_commands",
    "doctor": "process_commands",
    "schema": "data_commands",
    "sources": "data_commands",
    "serve": "process_commands",
    "receipt": "revocation_commands",
    "revocations": "revocation_commands",
    "closure": "revocation_commands",
    "receiver": "receiver_commands",
    "case": "case_commands",
    "hold": "retention_commands",
    "retain": "retention_commands",
    "deletions": "retention_commands",
    "prove": "prove_command",
    "evidence": "evidence_commands",
    "prove-record": "evidence_commands",
    "witness": "evidence_commands",
    "deliver": "process_commands",
    "token": "token_commands",
    "mcp": "mcp_command",
    "collect": "process_commands",
}


# The sections of the help, and the commands of each in the order in which people need them.
SECTIONS: Final = (
    (
        "Ask",
        (
            *("overview", "search", "actions", "principals", "tokens", "delegations", "who", "chain", "status"),
            *("reach", "uses", "timeline", "diff", "graph", "findings", "posture", "governance"),
            *("revocations", "closure", "receipt", "conflicts", "try", "open"),
        ),
    ),
    ("Act", ("revoke", "lift", "receiver", "prove", "case", "hold")),
    ("Prove", ("evidence", "prove-record", "witness", "deletions")),
    ("Feed in", ("ingest", "emit", "consume", "collect", "sources", "quarantine", "schema")),
    ("Operate", ("demo", "init", "serve", "mcp", "token", "deliver", "doctor", "retain", "rebuild", "fsck")),
)
_OTHERS: Final = "More"
_WHOLE: Final = 1_000  # characters of a summary, so that none is cut


class _LazyGroup(click.Group):
    """A group whose commands are imported on demand, and whose usage errors repeat no credential."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as fault:
            from ingest.codec.credentials import scrubbed

            raise click.UsageError(scrubbed(fault.format_message()), fault.ctx) from None

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return sorted(_COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section, each with its whole summary."""
        listed = {name for _, names in SECTIONS for name in names}
        others = tuple(name for name in self.list_commands(ctx) if name not in listed)
        for section, names in (*SECTIONS, (_OTHERS, others)):
            commands = ((name, self.get_command(ctx, name)) for name in names)
            rows = [(name, one.get_short_help_str(_WHOLE)) for name, one in commands if one and not one.hidden]
            if rows:
                with formatter.section(section):
                    formatter.write_dl(rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        # The function of a command whose name is a Python keyword or builtin ends in an underscore.
        found = import_module(f"lineage.serve.cli.{module}")
        name = cmd_name.replace("-", "_")
        command = getattr(found, f"{name}_", None) or getattr(found, name)
        assert isinstance(command, click.Command)  # noqa: S101 (for the type checker)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="delegraph")
@click.option("--store", metavar="URL", hidden=True)
@click.option("--log", metavar="URL", hidden=True)
@click.option("--trust", metavar="FILE", hidden=True)
@click.option("--json", is_flag=True, hidden=True)
def main(**_options: Any) -> None:
    """Answer who was behind an AI agent's action, and what is revoked with its authority.

    \b
    Start here:
      delegraph demo                              a worked incident, in a temporary store
      delegraph try FILE...                       what your own logs contain, in a temporary store
      delegraph ingest examples/incident.jsonl    add facts
      delegraph who ACTION                        query them
      delegraph reach token:ID                    preview a revocation (blast radius)
      delegraph revoke token:ID --reason credential_leak --by human:you

    Shell completion: eval "$(_DELEGRAPH_COMPLETE=bash_source delegraph)" (or zsh_source, fish_source).
    """  # noqa: D301 (\b is click's)
