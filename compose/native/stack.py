"""The whole stack on this machine: secured Kafka, PostgreSQL, topics, tables, consumers, a deliverer, a collector.

Starting it is idempotent: it starts what is not running, and keeps data and passwords. Its folder has a settings file
``NAME.toml`` for each role, to be named by ``DELEGRAPH_CONFIG``:

- ``admin`` creates topics and tables, ``consumer`` projects, ``deliverer`` delivers state changes to receivers;
- ``collector`` ingests the records that other systems send, with a token for each source next to its log;
- ``producer`` may send decisions but no revocations;
- ``responder`` may also send revocations, ``investigator`` may only read.
"""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from lineage.core.model.errors import UnavailableError

from .postgres import Postgres
from .processes import LOOPBACK, Process, ports_of, stop_all, wait_for
from .secret_files import password
from .secured import SecuredKafka

DATABASE: Final = "delegraph"
WRITER: Final = "delegraph"
READER: Final = "delegraph_reader"
# Role -> its user in Kafka, and its role in PostgreSQL.
ROLES: Final = {
    "admin": ("admin", WRITER),
    "consumer": ("consumer", WRITER),
    "deliverer": ("deliverer", WRITER),
    "collector": ("collector", WRITER),
    "producer": ("producer", None),
    "responder": ("responder", WRITER),
    "investigator": ("consumer", READER),
}
CONSUMERS: Final = ("consumer-1", "consumer-2")
DELIVERER: Final = "deliverer"
COLLECTOR: Final = "collector"
RECEIVER: Final = "collector-http"
# The sources of the collector -> format and input.
SOURCES: Final = {"opa": ("opa", "http"), "kubernetes": ("kubernetes", "http"), "agents": ("otlp", "otlp")}
PARTITIONS: Final = 4
READY_SECONDS: Final = 60


class Stack:
    """The stack in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.kafka = SecuredKafka(self.folder / "kafka")
        self.postgres = Postgres(self.folder / "postgres")
        self.ports = ports_of(self.folder / "consumers", CONSUMERS) | ports_of(self.folder / DELIVERER, [DELIVERER])
        self.ports |= ports_of(self.folder / COLLECTOR, [COLLECTOR, RECEIVER])
        self.consumers = [Process(self.folder / "consumers", name) for name in CONSUMERS]
        self.deliverer = Process(self.folder / DELIVERER, DELIVERER)
        self.collector = Process(self.folder / COLLECTOR, COLLECTOR)

    def start(self) -> None:
        """Start everything that is not running, and return when all of it is ready."""
        self.kafka.start()
        self.postgres.start()
        self.kafka.grant("delegraph")
        self._make_database()
        for user in ROLES:
            self.config(user).write_text(self._settings(user), encoding="utf-8")
        self.delegraph("admin", "init", "--partitions", str(PARTITIONS), "--reader", READER)
        running = [(process, "consumer", "consume") for process in self.consumers]
        running.append((self.deliverer, "deliverer", "deliver"))
        running.append((self.collector, "collector", "collect"))
        for process, user, command in running:
            if not process.is_alive():
                words = [_command(), command, "--listen", self.address_of(process.name)]
                process.start(words, self._environment(user))
        for process, _, _ in running:
            wait_for(process, partial(_is_ready, self.ports[process.name]), seconds=READY_SECONDS)

    def stop(self) -> None:
        """Stop everything; the data is kept."""
        stop_all(self.folder)

    def config(self, user: str) -> Path:
        """The settings file of a role."""
        return self.folder / f"{user}.toml"

    def delegraph(self, user: str, *words: str) -> str:
        """Run a command of delegraph as a role, and return its output.

        Raises:
            UnavailableError: The command failed; the message has its standard error.
        """
        done = subprocess.run(
            [_command(), *words],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self._environment(user),
        )
        if done.returncode:
            raise UnavailableError(f"delegraph {' '.join(words)} as {user}: {done.stderr.strip()}")
        return done.stdout

    def address_of(self, name: str) -> str:
        """``host:port`` of the health endpoints of a process."""
        return f"{LOOPBACK}:{self.ports[name]}"

    def _make_database(self) -> None:
        with psycopg.connect(self.postgres.url(), autocommit=True) as connection:
            for role in (WRITER, READER):
                if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).rowcount:
                    # Send the SCRAM verifier instead of the password, so that no log can contain the password.
                    kept = connection.pgconn.encrypt_password(
                        password(self._password_file(role)).encode(), role.encode(), b"scram-sha-256"
                    )
                    connection.execute(
                        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), kept.decode())
                    )
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(WRITER))
                )

    def _settings(self, user: str) -> str:
        name, role = ROLES[user]
        settings = {"log": f"kafka://{self.kafka.servers}"}
        if role is not None:
            settings["store"] = f"postgresql://{role}@{self.postgres.address}/{DATABASE}"
            settings["store_password_file"] = str(self._password_file(role))
        lines = [*_toml(settings), "", "[kafka]", *_toml(self.kafka.settings(name)), ""]
        if user == COLLECTOR:
            for source, (format_, way) in SOURCES.items():
                password(self.token_file(source))
                source_table = {"name": source, "format": format_, way: self.address_of(RECEIVER)}
                source_table["token_file"] = str(self.token_file(source))
                lines += ["[[source]]", *_toml(source_table), ""]
        return "\n".join(lines)

    def token_file(self, source: str) -> Path:
        """The file with the token by which a source of the collector authenticates."""
        return self.folder / COLLECTOR / f"{source}.token"

    def _password_file(self, role: str) -> Path:
        return self.folder / "postgres" / f"{role}.password"

    def _environment(self, user: str) -> Mapping[str, str]:
        """The environment of a process, without the caller's own delegraph settings."""
        outer = {name: value for name, value in os.environ.items() if not name.startswith("DELEGRAPH_")}
        return outer | {"DELEGRAPH_CONFIG": str(self.config(user))}


def _command() -> Path:
    return Path(sys.executable).with_name("delegraph")


def _toml(settings: Mapping[str, str]) -> Iterator[str]:
    # A JSON string is also a TOML string.
    return (f"{name} = {json.dumps(value)}" for name, value in settings.items())


def _is_ready(port: int) -> bool:
    # Not by urllib, which would use the caller's proxy.
    with (
        suppress(OSError, http.client.HTTPException),
        closing(http.client.HTTPConnection(LOOPBACK, port)) as connection,
    ):
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    return False
