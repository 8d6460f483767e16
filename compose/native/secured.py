"""A broker with authentication and ACLs: every connection is authenticated, and only what the ACLs allow is permitted.

Listeners, all on loopback: ``SASL`` (SCRAM-SHA-512 and PLAIN), ``SASL_TLS`` (the same inside TLS) and ``TLS`` (client
certificates). The broker connects to itself by ``SASL`` and to its controller by ``CONTROLLER``; both require the
password of ``admin``. There is no unauthenticated listener.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
    UserScramCredentialUpsertion,
)

from lineage.core.model.errors import UnavailableError

from .certificates import make_authority, make_certificate
from .kafka import Kafka
from .processes import POLL_SECONDS
from .secret_files import password, write_secret

USERS: Final = ("admin", "consumer", "producer", "responder", "deliverer", "collector")
LISTENERS: Final = {
    "SASL": "SASL_PLAINTEXT",
    "SASL_TLS": "SASL_SSL",
    "TLS": "SSL",
    "CONTROLLER": "SASL_PLAINTEXT",
}
PLAIN: Final = "org.apache.kafka.common.security.plain.PlainLoginModule"
SCRAM: Final = "org.apache.kafka.common.security.scram.ScramLoginModule"
ITERATIONS: Final = 4096  # the least that a broker accepts: enough, since the passwords are long and random

READ: Final = (ACLOperation.READ, ACLOperation.DESCRIBE, ACLOperation.DESCRIBE_CONFIGS)
WRITE: Final = (ACLOperation.WRITE, ACLOperation.DESCRIBE)
LOOK: Final = (ACLOperation.DESCRIBE, ACLOperation.DESCRIBE_CONFIGS)
GROUP_RIGHTS: Final = (ACLOperation.READ, ACLOperation.DESCRIBE)
DECISIONS: Final = "decisions"
ORDERS: Final = "orders"
REVOCATIONS: Final = "revocations"
FINDINGS: Final = "findings"
# The permissions of users on topics. Everything else is refused, except to admin.
TOPIC_RIGHTS: Final = (
    ("consumer", DECISIONS, READ),
    ("consumer", ORDERS, READ),
    ("producer", DECISIONS, WRITE),
    ("responder", DECISIONS, READ + WRITE),
    ("responder", ORDERS, READ + WRITE),
    # It writes the acknowledgements of the revocation endpoints that it calls to the topic of decisions.
    ("deliverer", DECISIONS, WRITE + LOOK),
    ("deliverer", ORDERS, LOOK),
    ("deliverer", REVOCATIONS, READ + WRITE + (ACLOperation.CREATE,)),
    ("deliverer", FINDINGS, READ + WRITE + (ACLOperation.CREATE,)),
    ("consumer", REVOCATIONS, READ),
    ("consumer", FINDINGS, READ),
    # It also reports revocations by the systems whose logs it reads.
    ("collector", DECISIONS, WRITE + LOOK),
    ("collector", ORDERS, WRITE + LOOK),
)
# The transactional ids, named like the topics, by which a new feed fences off the previous one.
TRANSACTION_RIGHTS: Final = (("deliverer", REVOCATIONS, WRITE), ("deliverer", FINDINGS, WRITE))


class SecuredKafka(Kafka):
    """A broker with users, ACLs and TLS."""

    def __init__(self, folder: Path) -> None:
        self.certificates = folder.absolute() / "certificates"
        self.secrets = folder.absolute() / "secrets"
        super().__init__(folder, protocols=LISTENERS, properties=self._security())

    def start(self) -> None:
        """Start the broker unless it is running, and create its users unless they exist."""
        self._certify(datetime.now(UTC))
        super().start()
        created, users = self.folder / "users.told", " ".join(USERS)
        if not created.exists() or created.read_text(encoding="ascii") != users:
            self._create_users()
            created.write_text(users, encoding="ascii")

    def grant(self, prefix: str, *, group: str = "delegraph") -> None:
        """Create the ACLs of the users for the topics of a prefix, and of the consumer for its group."""
        rights = [
            _allow(user, ResourceType.TOPIC, f"{prefix}.{topic}", operation)
            for user, topic, operations in TOPIC_RIGHTS
            for operation in operations
        ]
        rights += [
            _allow(user, ResourceType.TRANSACTIONAL_ID, f"{prefix}.{name}", operation)
            for user, name, operations in TRANSACTION_RIGHTS
            for operation in operations
        ]
        rights += [_allow("consumer", ResourceType.GROUP, group, operation) for operation in GROUP_RIGHTS]
        with self._admin() as admin:
            refused = admin.create_acls(rights)["failed"]
            if refused:
                raise UnavailableError(f"the broker refused its ACLs: {refused}")
            # The controller has stored the ACLs; wait until the broker has them too.
            while not all(admin.describe_acls(right)[0] for right in rights):
                time.sleep(POLL_SECONDS)

    def password_file(self, user: str) -> Path:
        """The file with the password of a user."""
        return self.secrets / f"{user}.password"

    @property
    def ca_file(self) -> Path:
        """The CA certificate that signed the broker's certificate."""
        return self.certificates / "ca.pem"

    def settings(self, user: str, listener: str = "SASL", mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """The settings with which a user connects, as in the table ``kafka`` of delegraph's settings file."""
        settings = {"security_protocol": LISTENERS[listener]}
        if listener != "SASL":
            settings["ca_file"] = str(self.ca_file)
        if listener == "TLS":
            settings["cert_file"] = str(self.certificates / f"{user}.pem")
            settings["key_file"] = str(self.certificates / f"{user}.key")
        else:
            settings["sasl_mechanism"] = mechanism
            settings["username"] = user
            settings["password_file"] = str(self.password_file(user))
        return settings

    def environment(self, user: str, listener: str = "SASL", mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """The same settings as environment variables."""
        settings = self.settings(user, listener, mechanism)
        return {f"DELEGRAPH_KAFKA_{name.upper()}": value for name, value in settings.items()}

    def _certify(self, now: datetime) -> None:
        make_authority(self.certificates)
        for name in ("broker", *USERS):
            make_certificate(self.certificates, name, now=now)
        both = [(self.certificates / f"broker.{end}").read_text(encoding="ascii") for end in ("key", "pem")]
        write_secret(self.certificates / "broker.both.pem", "".join(both))

    def _create_users(self) -> None:
        # By the admin client, not a command-line tool: every user of the machine could read passwords in its arguments.
        users = [
            UserScramCredentialUpsertion(user, "SCRAM-SHA-512", password(self.password_file(user)), ITERATIONS)
            for user in USERS
        ]
        with self._admin() as admin:
            refused = [error for error in admin.alter_user_scram_credentials(users).values() if error]
        if refused:
            raise UnavailableError(f"the broker refused its users: {refused[0]}")

    @contextmanager
    def _admin(self) -> Iterator[Any]:
        admin = KafkaAdminClient(
            bootstrap_servers=self.servers,
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="PLAIN",
            sasl_plain_username="admin",
            sasl_plain_password=password(self.password_file("admin")),
        )
        try:
            yield admin
        finally:
            admin.close()

    def _security(self) -> Mapping[str, str]:
        passwords = {user: password(self.password_file(user)) for user in USERS}
        known = " ".join(f'user_{user}="{secret}"' for user, secret in passwords.items())
        plain = f'{PLAIN} required username="admin" password="{passwords["admin"]}" {known};'
        sasl = {
            f"listener.name.{listener}.{name}": value
            for listener in ("sasl", "sasl_tls")
            for name, value in {
                "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
                "plain.sasl.jaas.config": plain,
                "scram-sha-512.sasl.jaas.config": f"{SCRAM} required;",
            }.items()
        }
        return sasl | {
            "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.controller.plain.sasl.jaas.config": plain,
            "sasl.mechanism.controller.protocol": "PLAIN",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.certificates / "broker.both.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca_file),
            "listener.name.tls.ssl.client.auth": "required",
            "listener.name.tls.ssl.principal.mapping.rules": "RULE:^CN=([a-z]+)(,.*)?$/$1/",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": "User:admin",
        }


def _allow(user: str, kind: ResourceType, name: str, operation: ACLOperation) -> ACL:
    pattern = ResourcePattern(kind, name, ACLResourcePatternType.LITERAL)
    return ACL(f"User:{user}", "*", operation, ACLPermissionType.ALLOW, pattern)
