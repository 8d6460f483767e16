"""A single-node Kafka (KRaft, broker and controller in one process) in a folder, on loopback."""

import secrets
import socket
import struct
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from lineage.core.model.errors import UnavailableError

from .jars import jars, java
from .processes import LOOPBACK, Process, ports_of, wait_for
from .secret_files import write_secret

START_SECONDS: Final = 60
ANSWER_SECONDS: Final = 5
JAVA_OPTIONS: Final = (
    "-Xmx512m",
    "-XX:TieredStopAtLevel=1",  # halves the start-up time; a single-node broker is not the bottleneck
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
)
PROTOCOLS: Final = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"}
PROPERTIES: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    # After a kill, the broker can only register again when its session has expired, by default after 9 s.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "auto.create.topics.enable": "false",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "log.cleaner.dedupe.buffer.size": "16777216",
}


class Kafka:
    """A broker that can be started and stopped repeatedly, with the same ports and data.

    Args:
        folder: The folder of its data, settings and log.
        protocols: Listener -> security protocol; the first is used by the broker itself, and has no TLS.
        properties: Further settings.
    """

    def __init__(
        self,
        folder: Path,
        *,
        protocols: Mapping[str, str] = PROTOCOLS,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.ports = ports_of(self.folder, protocols)
        self.process = Process(self.folder, "kafka")
        self._protocols = protocols
        self._properties = properties or {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def servers(self) -> str:
        """``host:port`` of the first listener."""
        return self.servers_of(next(iter(self._protocols)))

    @property
    def listeners(self) -> dict[str, str]:
        """The listeners for clients, and their security protocols."""
        return {name: protocol for name, protocol in self._protocols.items() if name != "CONTROLLER"}

    def servers_of(self, listener: str) -> str:
        """``host:port`` of a listener."""
        return f"{LOOPBACK}:{self.ports[listener]}"

    def start(self) -> None:
        """Start the broker, and return when it answers; does nothing if it is running."""
        if self.process.is_alive():
            return
        program: list[str | Path] = [java(), *JAVA_OPTIONS, "-cp", jars() / "*"]
        settings = self._write_settings()
        data = self.folder / "data"
        if not (data / "meta.properties").exists():
            _format(program, settings)
        self.process.start([*program, "kafka.Kafka", settings])
        address = (LOOPBACK, self.ports[next(iter(self._protocols))])
        wait_for(self.process, lambda: _answers(address), seconds=START_SECONDS)

    def stop(self) -> None:
        """Shut the broker down cleanly."""
        self.process.stop()

    def kill(self) -> None:
        """Kill the broker with SIGKILL, to simulate a crash."""
        self.process.kill()

    def _write_settings(self) -> Path:
        addresses = {name: f"{name}://{self.servers_of(name)}" for name in self._protocols}
        properties = PROPERTIES | {
            "log.dirs": str(self.folder / "data"),
            "controller.quorum.voters": f"1@{self.servers_of('CONTROLLER')}",
            "listeners": ",".join(addresses.values()),
            "advertised.listeners": ",".join(addresses[name] for name in self.listeners),
            "listener.security.protocol.map": ",".join(f"{name}:{safe}" for name, safe in self._protocols.items()),
            "inter.broker.listener.name": next(iter(self._protocols)),
            **self._properties,
        }
        file = self.folder / "server.properties"
        write_secret(file, "".join(f"{name}={value}\n" for name, value in properties.items()))
        return file


def _format(program: list[str | Path], settings: Path) -> None:
    """Format the data folder, with a new cluster id."""
    cluster = secrets.token_urlsafe(16).replace("-", "_")  # a leading "-" would be parsed as an option
    done = subprocess.run(
        [*program, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", settings],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise UnavailableError(f"Kafka's data folder could not be formatted: {(done.stderr or done.stdout).strip()}")


def _answers(address: tuple[str, int]) -> bool:
    """Whether a broker answers ApiVersions, the only request allowed before authentication."""
    question = struct.pack(">hhih", 18, 0, 1, -1)
    with suppress(OSError), socket.create_connection(address, timeout=ANSWER_SECONDS) as connection:
        connection.sendall(struct.pack(">i", len(question)) + question)
        return len(connection.recv(4)) > 0
    return False
