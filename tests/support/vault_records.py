"""Lines of an OpenBao or Vault audit log."""

ALICE = {
    "client_token": "hmac-sha256:a-token",
    "accessor": "hmac-sha256:a",
    "display_name": "userpass-alice",
    "entity_id": "e-alice",
    "policies": ["default", "ops"],
    "token_type": "service",
}


CHILD = {
    "client_token": "hmac-sha256:c-token",
    "accessor": "hmac-sha256:c",
    "display_name": "token-ci",
    "policies": ["ci"],
    "token_type": "service",
}


def request_line(id_="r1", path="kv/x", *, auth=ALICE, time="2026-03-01T10:00:00Z", **extra):
    """Build a request that carries the token of ``auth``."""
    request = {"id": id_, "operation": "update", "path": path, "namespace": {"id": "root"}}
    if auth:
        request |= {"client_token": auth["client_token"]}
        request |= {"client_token_accessor": auth["accessor"]} if "accessor" in auth else {}
    request |= extra.pop("request", {})
    auth = auth or {"token_type": "default"}
    return {"time": time, "type": "request", "auth": auth, "request": request} | extra


def response_line(id_="r1", path="kv/x", *, response=None, **kwargs):
    """Build the response to it."""
    return request_line(id_, path, **kwargs) | {"type": "response", "response": response or {}}
