"""A generated CloudTrail with every special case: the root of each action is the requester of the first key."""

import pytest

from tests.support.foreign_worlds import Desk
from tests.support.generated_trail import incident
from tests.support.mutated_logs import WRAPPINGS, one_a_line, shuffled


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("mixed", [False, True], ids=["as written", "in another order, in a list"])
def test_the_caller_is_at_the_root_of_every_linked_event(tmp_path, seed, mixed):
    """
    Also through roles of roles, other accounts, instances, created keys and created users, whatever identity they
    claim.
    """
    trail = incident(seed)
    records = trail.records
    written = WRAPPINGS["Records"](shuffled(records, seed)) if mixed else one_a_line(records)
    (tmp_path / "trail.json").write_bytes(written)
    desk = Desk(tmp_path)
    desk.ingest(tmp_path / "trail.json")

    roots = {answer["action"]: answer["root"] for answer in desk.ask("who", trail.roots)}

    assert trail.roots == roots
    assert 118 <= len(roots)


def test_created_keys_live_and_instances_lead_to_their_launch(tmp_path):
    """
    A key that somebody created has a grant and no end; the actions of an instance's session lead to its launcher.
    """
    trail = incident(7)
    (tmp_path / "trail.jsonl").write_bytes(one_a_line(trail.records))
    desk = Desk(tmp_path)
    desk.ingest(tmp_path / "trail.jsonl")

    made = list(desk.ask("chain", [f"token:aws#{key}" for key in trail.keys]))
    assert ["active"] * 3 == [answer["state"] for answer in made]
    assert [None] * 3 == [answer["chain"][-1]["expires_at"] for answer in made]
    assert set() == {gap["id"] for answer in made for gap in answer["gaps"]} & {f"aws#{key}" for key in trail.keys}
    launchers = [record["userIdentity"] for record in trail.records if record["eventName"] == "RunInstances"]
    sessions = [
        record["responseElements"]["credentials"]["accessKeyId"]
        for record in trail.records
        if record["userIdentity"].get("invokedBy") == "ec2.amazonaws.com"
    ]
    stated = [desk.stated(f"token:aws#{key}", "token.issued") for key in sessions]
    parents = [[parent["token"] for event in events for parent in event.get("derived_from", ())] for events in stated]
    assert 23 == len(sessions)
    assert [[f"aws#{launcher['accessKeyId']}"] for launcher in launchers] == parents
