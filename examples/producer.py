"""A gateway that records what an agent does: a token from an exchange, a decision, a tool call.

Run it with the URL of a log, and ask who was behind the action:

    python examples/producer.py sqlite:///delegraph.db
    delegraph consume --drain
    delegraph who mail-42

With Kafka, after ``delegraph init`` has created the topics: ``python examples/producer.py kafka://127.0.0.1:9092``.
"""

import sys

import jwt

from ingest.producer import Producer, decision_from_authzen, now, token_issued_from_exchange, token_issued_from_jwt

ISSUER = "https://idp.example"
KEY = "a key that only this example knows"


def issue(number: str, **claims: object) -> str:
    """Issue a token, as a token service would."""
    return jwt.encode({"iss": ISSUER, "jti": number, "sub": "human:alice@example.com", **claims}, KEY)


def main(url: str) -> int:
    """Emit the events of one tool call."""
    with Producer(url, source="urn:example:gateway", spool="producer-spool.db") as producer:
        # Alice logs in, and her agent exchanges her token for another.
        login = issue("login-42", scope="mail:send crm:read")
        producer.emit(token_issued_from_jwt(login))
        answer = {
            "access_token": issue("exchange-42", act={"sub": "agent:planner"}),
            "scope": "mail:send",
            "expires_in": 600,
        }
        exchanged = token_issued_from_exchange(answer, subject_token=login, received_at=now())
        producer.emit(exchanged)

        # The gateway asks its policy decision point, which permits the call.
        request = {
            "subject": {"type": "user", "id": "alice@example.com"},
            "action": {"name": "mail.send"},
            "resource": {"type": "mailbox", "id": "bob@example.com"},
            "context": {"agent": "planner"},
        }
        decision = decision_from_authzen(request, {"decision": True}, token=exchanged["token"])
        producer.emit(decision)

        # The action is recorded with its outcome, and with a digest of its parameters.
        with producer.action(
            "mail.send",
            action="mail-42",
            tool="mail",
            raw_token=answer["access_token"],
            decision=decision["decision"],
            params={"to": "bob@example.com", "text": "Hello."},
        ):
            pass  # send the mail here

        sent = producer.flush(10)
        metrics = producer.metrics()
    print(f"{metrics.acknowledged} events are in the log, {metrics.spooled} wait: {metrics.fault or 'all is well'}")
    return 0 if sent else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
