"""``python -m compose.access SERVER PREFIX``: create a broker's users and ACLs. Idempotent.

Runs where the broker's internal listener is reachable, with the passwords in files in ``SECRETS``. The permissions are
defined once, for this stack and for the one without containers: ``TOPIC_RIGHTS`` in ``compose.native.secured``.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any, Final

from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
    UserScramCredentialUpsertion,
)

from compose.native.processes import POLL_SECONDS
from compose.native.secured import GROUP_RIGHTS, ITERATIONS, TOPIC_RIGHTS, TRANSACTION_RIGHTS, USERS

GROUP: Final = "delegraph"
MECHANISM: Final = "SCRAM-SHA-512"


def main(server: str, prefix: str) -> None:
    """Create users and ACLs at the broker ``server``, for the topics of ``prefix``."""
    folder = Path(os.environ.get("SECRETS", "/run/secrets"))
    passwords = {user: (folder / f"kafka_{user}_password").read_text(encoding="ascii").strip() for user in USERS}
    admin = KafkaAdminClient(
        bootstrap_servers=server,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_plain_username="admin",
        sasl_plain_password=passwords["admin"],
    )
    try:
        grant(admin, passwords, prefix)
    finally:
        admin.close()
    sys.stdout.write(f"created the users {', '.join(USERS)} and their ACLs for {prefix}.*\n")


def grant(admin: Any, passwords: dict[str, str], prefix: str) -> None:
    """Create users and ACLs, and return when the broker applies them."""
    users = [UserScramCredentialUpsertion(user, MECHANISM, secret, ITERATIONS) for user, secret in passwords.items()]
    rights = [
        (user, ResourcePattern(ResourceType.TOPIC, f"{prefix}.{topic}", ACLResourcePatternType.LITERAL), operation)
        for user, topic, operations in TOPIC_RIGHTS
        for operation in operations
    ]
    rights += [
        (
            user,
            ResourcePattern(ResourceType.TRANSACTIONAL_ID, f"{prefix}.{name}", ACLResourcePatternType.LITERAL),
            operation,
        )
        for user, name, operations in TRANSACTION_RIGHTS
        for operation in operations
    ]
    group = ResourcePattern(ResourceType.GROUP, GROUP, ACLResourcePatternType.LITERAL)
    rights += [("consumer", group, operation) for operation in GROUP_RIGHTS]
    lists = [
        ACL(f"User:{user}", "*", operation, ACLPermissionType.ALLOW, resource) for user, resource, operation in rights
    ]
    answers = [*admin.alter_user_scram_credentials(users).values(), *admin.create_acls(lists)["failed"]]
    if refused := list(filter(None, answers)):
        sys.exit(f"the broker refused users or ACLs: {refused[0]}")
    # The controller has stored the ACLs; wait until the broker has them too, and no longer refuses what they allow.
    while not all(admin.describe_acls(right)[0] for right in lists):
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
