"""``delegraph witness``: serve a witness until stopped."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from lineage.core.evidence.notes import VerifierKey
from lineage.core.model.times import Instant
from lineage.deliver.tlog.note_keys import NoteKeys
from lineage.deliver.tlog.witness import Witness, app_of
from lineage.serve.config.http_settings import HttpSettings
from lineage.serve.processes.http_process import bound
from lineage.serve.server.connections import Connections
from lineage.serve.server.listening import fitting, http_server

_GOODBYE_SECONDS: Final = 3


def serve_witness(
    keys: NoteKeys,
    logs: Mapping[str, Sequence[VerifierKey]],
    state: Path,
    listen: str,
    *,
    clock: Callable[[], Instant],
    say: Callable[[str], None],
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        keys: The witness's keys.
        logs: The keys of each log that it witnesses, by the origin of the tree.
        state: The SQLite file with the last checkpoints.
        listen: The host and port.
        clock: Returns the current time.
        say: Called with a message for the person who started it.

    Raises:
        RefusedError: The address is invalid or in use.
        UnavailableError: The state cannot be used.
    """
    witness = Witness(keys, logs, state, clock)
    with bound(listen, loopback_only=False) as listening:
        host, port = listening.getsockname()[:2]
        say(f"The witness {keys.name} is at http://{f'[{host}]' if ':' in host else host}:{port}")
        say(f"Its key: {keys.verifiers[0].text}")
        server = http_server(
            app_of(witness), Connections(fitting(HttpSettings().connection_limits)), goodbye_seconds=_GOODBYE_SECONDS
        )
        server.run(sockets=[listening])
