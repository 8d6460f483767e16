"""`delegraph collect` reads the decision file of a real Cerbos."""

import json

import pytest

from compose.native.cerbos import PROGRAM
from tests.support.cerbos import ISSUER, cerbos, token_for
from tests.support.collecting import Collector, until
from tests.support.configured_sources import Configured
from tests.support.desk import invoke

SECONDS = 2.0


@pytest.mark.slow
@pytest.mark.skipif(not PROGRAM.is_file(), reason="Cerbos is not there: install Node.js, and run make jars")
def test_a_decision_is_seen_within_two_seconds_as_it_was_given(tmp_path):
    """
    Each permit and denial has the agent, and the person and the token if one was presented. No token is kept.
    What Cerbos wrote while nothing collected is read later.
    """
    desk = Configured(tmp_path)
    desk.settings('[[source]]\nname = "pdp"\nformat = "cerbos"\nfollow = "audit.jsonl"\n')
    desk.run("init")
    shown = token_for("alice", "mailer", "j-1")

    def said_of(call: str, action: str) -> dict[str, object] | None:
        found = invoke("timeline", f"decision:pdp#{call}/0/{action}", "--json", "--store", desk.url)
        return json.loads(found.stdout)["items"][0]["event"] if found.exit_code == 0 else None

    with cerbos(tmp_path, tmp_path / "audit.jsonl") as server:
        with Collector(desk) as collector:
            until(lambda: "collecting:" in collector.output)
            for token in (None, shown):
                call, permitted = server.check("mailer", ["read", "export", "delete"], token=token)
                assert {"read": True, "export": token is not None, "delete": False} == permitted
                assert until(lambda call=call: said_of(call, "delete") is not None, 10, 0.05) < SECONDS
                events = {action: said_of(call, action) for action in permitted}
                assert permitted == {action: event["permitted"] for action, event in events.items()}
            collector.kill()
        missed, _ = server.check("mailer", ["read"])
        with Collector(desk) as again:
            until(lambda: said_of(missed, "read") is not None, 10, 0.1)
            assert 0 == again.stop(), again.output

    assert f"{ISSUER}#j-1" == events["export"]["token"]
    assert "alice" in str(events["export"]["on_behalf_of"])
    assert shown.encode() not in desk.file.read_bytes()
