"""`delegraph collect` reads the audit devices of a real OpenBao: a file and a socket."""

import json
import os
import time
from urllib.request import urlopen

import pytest

from compose.native.processes import LOOPBACK, ports_of
from tests.support.collecting import Collector, until
from tests.support.configured_sources import Configured
from tests.support.desk import invoke
from tests.support.openbao import MISSING, PROGRAM, openbao

SECONDS = 2.0


@pytest.fixture(autouse=True)
def is_installed():
    """It is in the lock file of the development tools, so only an older environment lacks it."""
    if PROGRAM is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)


@pytest.mark.slow
def test_a_person_who_acts_is_seen_within_two_seconds(tmp_path):
    """
    Both the file and the socket are tested. If the collector is killed in between, nothing of the file is missing, and
    OpenBao continues without a reader of its socket, because it has the other device.
    """
    desk = Configured(tmp_path)
    ports = ports_of(tmp_path / "ports", ("tcp", "metrics"))
    desk.settings(
        f'[[source]]\nname = "file"\nformat = "vault"\nfollow = "audit.log"\n'
        f'[[source]]\nname = "socket"\nformat = "vault"\ntcp = "{LOOPBACK}:{ports["tcp"]}"\n'
    )
    desk.run("init")

    def is_seen(source: str, request: str) -> bool:
        found = invoke("who", f"{source}#{request}", "--json", "--store", desk.url)
        return found.exit_code == 0 and json.loads(found.stdout)["root"] is not None

    listen = ("--listen", f"{LOOPBACK}:{ports['metrics']}")
    with Collector(desk, *listen) as collector:
        until(lambda: "collecting:" in collector.output)
        with openbao(tmp_path, tmp_path / "audit.log", f"{LOOPBACK}:{ports['tcp']}") as server:
            alice = server.login()
            for source in ("file", "socket"):
                seconds = []
                for _ in range(3):  # other load may delay some of them
                    request = server.read(alice)
                    seconds.append(until(lambda source=source, request=request: is_seen(source, request), 30, 0.05))
                assert min(seconds) < SECONDS, f"{source}: {seconds} s"

            chain = json.loads(desk.run("who", f"socket#{request}", "--json").stdout)
            assert "alice" in {hop["display_name"] for hop in chain["chain"]}
            assert chain["human"] is not None

            with urlopen(f"http://{LOOPBACK}:{ports['metrics']}/metrics", timeout=10) as answer:
                metrics = answer.read().decode()
            assert 'delegraph_collected_records_total{outcome="read",source="socket"}' in metrics
            assert 'delegraph_collect_behind_bytes{input="tcp",source="socket"} 0.0' in metrics
            assert 'delegraph_collect_last_record_age_seconds{source="file"}' in metrics

            collector.kill()
            missed = [server.read(alice) for _ in range(5)]
            with Collector(desk, *listen) as again:
                until(lambda: all(is_seen("file", one) for one in missed), 20, 0.1)
                time.sleep(0.1)
                assert 0 == again.stop(), again.output

    (file,) = (item for item in desk.one("sources")["items"] if item["name"] == "file")
    lines = (tmp_path / "audit.log").read_bytes().count(b"\n")
    assert lines >= file["records"] > 20
