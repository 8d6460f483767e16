"""``delegraph demo --serve``: the incident of the demo, to look around in. The store is gone when it ends."""

import tempfile
import time
from pathlib import Path

from ingest import codec
from ingest.intake import take_in
from ingest.log import open_log
from ingest.projector import project
from lineage.core.times import Instant
from lineage.serve.demo import ASKED, RESPONDER, StoryClock, incident_path
from lineage.serve.demo_story import demo_story, register_receiver
from lineage.serve.faces import OVER_HTTP
from lineage.serve.http.starting import Say, serve
from lineage.serve.http_settings import HttpSettings
from lineage.serve.keeping import Keeping
from lineage.serve.service import Service, Trust
from lineage.serve.shared_log import SharedLog
from lineage.store.store import open_store


def run_serving(settings: HttpSettings, *, say: Say) -> None:
    """Serve the incident until stopped.

    The clock starts at the moment of the story at which the question is asked, and goes on from there: what was alive
    then is alive, and can be revoked.

    Raises:
        RefusedError: It cannot listen there.
    """
    with tempfile.TemporaryDirectory(prefix="delegraph-demo-") as folder:
        url = f"sqlite:///{Path(folder) / 'delegraph.db'}"
        story, began = StoryClock(), time.monotonic()

        def clock() -> Instant:
            return ASKED + round((time.monotonic() - began) * 1_000_000)

        store = open_store(url, codec.read, create=True)
        try:
            log = open_log(url, create=True, clock=story)
            take_in([str(incident_path())], log, store, format="jsonl", clock=story)
            project(log, store, None)
            log.close()
            shared = SharedLog(lambda: open_log(url, create=False, clock=clock))
            try:
                worlds = Keeping(store, shared, None, log_inside=True)
                source = "urn:delegraph:demo"
                service = Service(store, shared, Trust(), clock, source=source, worlds=worlds, face=OVER_HTTP)
                register_receiver(service)
                serve(service, settings, say=say, name=RESPONDER, story=demo_story(service))
            finally:
                shared.close()
        finally:
            store.close()
