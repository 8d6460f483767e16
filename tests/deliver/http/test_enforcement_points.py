"""The endpoints for enforcement points, mounted next to the API."""

from pathlib import Path

import pytest

from ingest.trust_file import Trust
from lineage.core.model.times import parse_instant
from lineage.deliver.http.callers import Authentication
from lineage.serve.config.http_settings import HttpSettings
from lineage.serve.config.settings import Settings
from lineage.serve.http.api.enforcement_routes import endpoints
from lineage.serve.http.asgi.app import create_app
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.queries.service import Service
from tests.support.asgi import Asking
from tests.support.desk import Desk, day, token
from tests.support.introspection import caller, raw
from tests.support.kafka_worlds import opened
from tests.support.signing_keys import P256, file_of, pem


@pytest.mark.parametrize("signing", [True, False])
def test_the_endpoints_are_mounted_next_to_the_api(tmp_path: Path, signing: bool):
    """Introspection always; status lists if there are keys and a public URL, with their caching headers."""
    desk = Desk(tmp_path)
    desk.take(token("https://idp.example#t1", status_list={"uri": "https://us.example/status-lists/a", "idx": 0}))
    keys = file_of(tmp_path, pem(P256)) if signing else None
    settings = Settings(signing_key_file=keys, http=HttpSettings(public_url="https://us.example"))
    with opened(desk.url) as store:
        service = Service(store, None, Trust(), lambda: parse_instant(day("10:00")), source="urn:us")
        site = AppContext(service=service, authentication=Authentication(caller), hosts=frozenset({"us.example"}))
        client = Asking(create_app(site, parts=endpoints(settings, site)), {"x-caller": "urn:gw"})
        active = client.post("/introspect", data={"token": raw("t1")})
        refused = client.post("/introspect", data={"token": raw("t1")}, headers={"x-role": "producer"})
        listed = client.get("/status-lists/a")
        described = client.get("/openapi.json").json()["paths"].keys()

    assert (True, "no-store", 403) == (active.json()["active"], active.headers["cache-control"], refused.status_code)
    assert (200 if signing else 404) == listed.status_code
    assert ("/introspect" in described, "/status-lists/{name}" in described) == (True, signing)
    assert (listed.headers["cache-control"] == "max-age=60") is signing
