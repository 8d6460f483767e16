"""``delegraph demo --serve``: explore the incident of the demo. Its store is deleted at the end."""

import secrets
import tempfile
import time
from pathlib import Path

from ingest.kafka.revocation_answers import answering
from ingest.secrets import read_secret
from lineage.core.model.times import SECOND, Instant
from lineage.deliver.http.signing_keys import new_keys
from lineage.deliver.probes.probe_settings import ANSWERS, Probe
from lineage.serve.cli.demo import ASKED, RESPONDER, SOURCE, StoryClock, incident_path
from lineage.serve.cli.demo_story import CONTACT, RECEIVER, DemoGateway, demo_story, register_receiver
from lineage.serve.commands.intake import read_files
from lineage.serve.config.http_settings import HttpSettings
from lineage.serve.config.wiring import opened_embedded_service, opened_shared_embedded_service
from lineage.serve.processes.http_process import Say, serve


def run_serving(settings: HttpSettings, *, say: Say) -> None:
    """Serve the incident until stopped.

    The clock starts at the moment of the story at which the question is asked, and runs on: what was alive then is
    alive, and can be revoked.

    Raises:
        RefusedError: It cannot listen at the address.
    """
    with tempfile.TemporaryDirectory(prefix="delegraph-demo-") as folder:
        url = f"sqlite:///{Path(folder) / 'delegraph.db'}"
        story, began = StoryClock(), time.monotonic()

        def clock() -> Instant:
            return ASKED + round((time.monotonic() - began) * SECOND)

        with opened_embedded_service(url, story, source=SOURCE, create=True) as service:
            read_files(service, [str(incident_path())], format="jsonl")
            service.catch_up()
        gateway, secret = DemoGateway(), _new_secret_file(Path(folder) / "gateway.secret")
        with (
            opened_shared_embedded_service(url, clock, source=SOURCE) as service,
            answering(gateway, read_secret(secret, RECEIVER)) as address,
        ):
            register_receiver(service)
            serve(
                service,
                settings,
                say=say,
                name=RESPONDER,
                keys=new_keys(),
                probes=[Probe(receiver=RECEIVER, kind=ANSWERS, url=address, secret=secret)],
                contacts={RECEIVER: CONTACT},
                story=demo_story(service, gateway),
            )


def _new_secret_file(path: Path) -> Path:
    """Write a new secret into a file that only this user can read."""
    path.touch(mode=0o600)
    path.write_text(secrets.token_urlsafe(), encoding="ascii")
    return path
