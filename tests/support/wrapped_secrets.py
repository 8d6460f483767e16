"""Credentials of many kinds, and their wrappers; all made up, each with the form of a real one."""

import base64
import gzip
import html
import json
import random
import string
import urllib.parse
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

_WORD = string.ascii_letters + string.digits
_BASE64 = _WORD + "+/"
_URL_SAFE = _WORD + "-_"


class Secret(NamedTuple):
    """A credential.

    Attributes:
        name: The name under which it occurs.
        value: The value under that name.
        needle: The part that must not be found anywhere.
    """

    name: str
    value: str
    needle: str


def _some(rng: random.Random, alphabet: str, size: int) -> str:
    return "".join(rng.choices(alphabet, k=size - 2)) + rng.choice(string.ascii_letters) + rng.choice(string.digits)


def _segment(rng: random.Random, fields: dict[str, Any]) -> str:
    fields = fields | {"x": _some(rng, _WORD, 12)}
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


def _jws(rng: random.Random) -> str:
    return f"{_segment(rng, {'alg': 'ES256'})}.{_segment(rng, {'jti': '1'})}.{_some(rng, _URL_SAFE, 43)}"


def _jwe(rng: random.Random) -> str:
    parts = (_some(rng, _URL_SAFE, size) for size in (40, 16, 60, 22))
    return ".".join([_segment(rng, {"alg": "RSA-OAEP", "enc": "A256GCM"}), *parts])


def _pem(rng: random.Random) -> str:
    lines = "\n".join(_some(rng, _BASE64, 64) for _ in range(3))
    return f"-----BEGIN EC PRIVATE KEY-----\n{lines}\n-----END EC PRIVATE KEY-----"


def _saml(rng: random.Random) -> str:
    text = f"<samlp:Response><saml:Assertion ID='{_some(rng, _WORD, 30)}'/></samlp:Response>"
    return base64.b64encode(text.encode()).decode()


def _basic(rng: random.Random) -> tuple[str, str]:
    encoded = base64.b64encode(f"client:{_some(rng, _WORD, 20)}".encode()).decode()
    return f"Basic {encoded}", encoded


def _bare(name: str, alphabet: str, size: int) -> Callable[[random.Random], tuple[str, str, str]]:
    def make(rng: random.Random) -> tuple[str, str, str]:
        value = _some(rng, alphabet, size)
        return name, value, value

    return make


def _prefixed(name: str, prefix: str, alphabet: str, size: int) -> Callable[[random.Random], tuple[str, str, str]]:
    def make(rng: random.Random) -> tuple[str, str, str]:
        value = prefix + _some(rng, alphabet, size)
        return name, value, value

    return make


def _of(name: str, make: Callable[[random.Random], str]) -> Callable[[random.Random], tuple[str, str, str]]:
    def made(rng: random.Random) -> tuple[str, str, str]:
        value = make(rng)
        return name, value, value

    return made


def _url(rng: random.Random) -> tuple[str, str, str]:
    password = _some(rng, _WORD, 16)
    return "dsn", f"postgresql://app:{password}@db.example:5432/prod", password


# Recognised by their form, under any name.
SHAPED: dict[str, Callable[[random.Random], tuple[str, str, str]]] = {
    "a signed token": _of("it", _jws),
    "an encrypted token": _of("it", _jwe),
    "a private key": _of("it", _pem),
    "a session token of AWS": _prefixed("it", "IQoJb3JpZ2luX2VjE", _BASE64, 300),
    "an older session token of AWS": _prefixed("it", "FwoGZXIvYXdzE", _BASE64, 300),
    "a token of Vault": _prefixed("it", "hvs.CAES", _URL_SAFE, 60),
    "a token of GitHub": _prefixed("it", "ghp_", _WORD, 36),
    "a token of Slack": _prefixed("it", "xoxb-123456789012-", _WORD, 24),
    "a key of OpenAI": _prefixed("it", "sk-proj-", _WORD, 48),
    "a key of Stripe": _prefixed("it", "sk_live_", _WORD, 24),
    "a key of Google": _prefixed("it", "AIza", _WORD, 35),
    "a URL with a password": _url,
    "a Bearer header": _of("it", lambda rng: f"Bearer {_some(rng, _URL_SAFE, 40)}"),
    "a Basic header": lambda rng: ("it", *_basic(rng)),
}
# Recognised by their name.
NAMED: dict[str, Callable[[random.Random], tuple[str, str, str]]] = {
    "a secret access key": _bare("secretAccessKey", _BASE64, 40),
    "a session token under its name": _bare("sessionToken", _BASE64, 120),
    "a header of AWS": _bare("X-Amz-Security-Token", _BASE64, 120),
    "a password": _bare("password", _WORD, 10),
    "a password in an environment": _bare("DB_PASSWORD", _WORD + "!.", 14),
    "a refresh token": _bare("refresh_token", _URL_SAFE, 44),
    "an access token": _bare("access_token", _URL_SAFE, 44),
    "an API key": _bare("apiKey", _WORD, 32),
    "a client secret": _bare("clientSecret", _URL_SAFE + "~.", 40),
    "a SAML response": _of("SAMLResponse", _saml),
    "a passphrase": _bare("passphrase", _WORD, 18),
    "a secret id of Vault": _bare("secret_id", "0123456789abcdef-", 36),
    "an Authorization header": lambda rng: ("Authorization", *_basic(rng)),
    "a cookie": _bare("Cookie", _URL_SAFE, 32),
}
KINDS = SHAPED | NAMED


def secret(kind: str, rng: random.Random) -> Secret:
    """Generate a credential of a kind, different from every other."""
    return Secret(*KINDS[kind](rng))


# Wrappers


def _dumps(value: object) -> str:
    return json.dumps(value)


def _around(found: Secret) -> dict[str, Any]:
    return {"user": "alice", found.name: found.value, "ok": True}


def _spelled(text: str) -> str:
    return "".join(f"\\u{ord(each):04x}" for each in text)


def _own(**more: Any) -> bytes:
    event = {
        "type": "decision.made",
        "event_id": "e1",
        "source": "urn:test",
        "occurred_at": "2026-11-02T08:00:00Z",
        "decision": "d1",
        "permitted": True,
        "operation": "read",
    }
    return _dumps(event | more).encode()


def _line(found: Secret) -> str:
    return f"{found.name}={found.value}".replace("\n", "\\n")


def _column(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _one_line(found: Secret) -> str:
    return found.value.replace("\n", "\\n")


def _quoted(found: Secret) -> str:
    return _one_line(found).replace(" ", "%20")


def _escaped(found: Secret) -> str:
    return html.escape(found.value).replace("\n", "&#10;")


def _deflated(raw: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflate.compress(raw) + deflate.flush()


def _xml(text: str) -> bytes:
    return f"<c><u>alice</u>{text}</c>".encode()


def _multipart(found: Secret) -> str:
    part = '--X\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    return part.format("user", "alice") + part.format(found.name, found.value) + "--X--\r\n"


def _yaml(found: Secret) -> str:
    lines = "\n      ".join(found.value.split("\n"))
    return f"user: alice\nspec:\n  - {found.name}: |\n      {lines}\n  - ok: true\n"


def _secret_in_yaml(found: Secret) -> str:
    return f"kind: Secret\ndata:\n  x: {base64.b64encode(found.value.encode()).decode()}\nok: true\n"


WRAPPINGS: dict[str, Callable[[Secret], bytes]] = {
    "JSON": lambda it: _dumps(_around(it)).encode(),
    "JSON, deep": lambda it: _dumps([{"a": [{"b": _around(it)}]}]).encode(),
    "JSON in a string": lambda it: _dumps({"message": _dumps(_around(it))}).encode(),
    "JSON in a string in a string in a string": lambda it: _dumps(
        {"a": _dumps({"b": _dumps({"c": _dumps(_around(it))})})}
    ).encode(),
    "JSON, all escaped": lambda it: f'{{"{_spelled(it.name)}":"{_spelled(it.value)}"}}'.encode(),
    "JSON, cut off": lambda it: _dumps({"user": "alice", it.name: it.value})[:-2].encode(),
    "JSON behind a time": lambda it: b"2026-11-02T08:00:00Z app[7]: " + _dumps(_around(it)).encode(),
    "a list under the name": lambda it: _dumps({"user": "alice", it.name: [it.value]}).encode(),
    "a label and a value": lambda it: _dumps({"env": [{"name": it.name, "value": it.value}]}).encode(),
    "a pair": lambda it: _dumps({"headers": [["host", "h"], [it.name, it.value]]}).encode(),
    "the words of a command": lambda it: _dumps({"argv": ["run", f"--{it.name}", it.value]}).encode(),
    "a line of key=value": lambda it: f"level=info user=alice {_line(it)} status=200".encode(),
    "key=value, quoted": lambda it: f"user=alice {it.name}={_dumps(it.value)} status=200".encode(),
    "key=value in JSON": lambda it: _dumps({"message": f"user=alice {_line(it)} done"}).encode(),
    "a header line": lambda it: f"{it.name}: {it.value}".replace("\n", "\\n").encode(),
    "JSON in a column": lambda it: f"2026-11-02,{_column(_dumps(_around(it)))},200".encode(),
    "a form": lambda it: urllib.parse.urlencode({"user": "alice", it.name: it.value, "ok": "1"}).encode(),
    "a URL": lambda it: f"GET /cb?{urllib.parse.urlencode({it.name: it.value})}&state=1 HTTP/1.1".encode(),
    "JSON, percent-encoded": lambda it: f"/?q={urllib.parse.quote(_dumps(_around(it)))}".encode(),
    "JSON in HTML": lambda it: f"<pre>{html.escape(_dumps(_around(it)))}</pre>".encode(),
    "an element of XML": lambda it: f"<c><u>alice</u><{it.name}>{it.value}</{it.name}></c>".replace("\n", "").encode(),
    "base64": lambda it: base64.b64encode(_dumps(_around(it)).encode()),
    "base64 in JSON": lambda it: _dumps({"data": base64.b64encode(_dumps(_around(it)).encode()).decode()}).encode(),
    "base64 for URLs, in a form": lambda it: b"d=" + base64.urlsafe_b64encode(_dumps(_around(it)).encode()),
    "base64 of base64": lambda it: base64.b64encode(base64.b64encode(_dumps(_around(it)).encode())),
    "gzip": lambda it: gzip.compress(_dumps(_around(it)).encode(), mtime=0),
    "gzip in base64 in JSON": lambda it: _dumps(
        {"data": base64.b64encode(gzip.compress(_dumps(_around(it)).encode(), mtime=0)).decode()}
    ).encode(),
    "hexadecimal": lambda it: _dumps({"data": _dumps(_around(it)).encode().hex()}).encode(),
    "deflate in base64": lambda it: b"d=" + base64.b64encode(_deflated(_dumps(_around(it)).encode())),
    "base64 in lines": lambda it: base64.encodebytes(_dumps(_around(it)).encode()),
    "a multipart body": lambda it: _multipart(it).encode(),
    "a multipart body in JSON": lambda it: _dumps({"body": _multipart(it)}).encode(),
    "an attribute beside its name in XML": lambda it: _xml(f'<add key="{it.name}" value="{_escaped(it)}"/>'),
    "elements of a name and a value": lambda it: _xml(f"<name>{it.name}</name><value>{_escaped(it)}</value>"),
    "an element that an attribute names": lambda it: _xml(f'<Data Name="{it.name}">{_escaped(it)}</Data>'),
    "an attribute of SAML": lambda it: _xml(
        f'<Attribute Name="{it.name}"><AttributeValue>{_escaped(it)}</AttributeValue></Attribute>'
    ),
    "CDATA": lambda it: f"<c><{it.name}><![CDATA[{it.value}]]></{it.name}></c>".encode(),
    "a block of YAML": lambda it: _yaml(it).encode(),
    "a block of YAML in JSON": lambda it: _dumps({"manifest": _yaml(it)}).encode(),
    "a list of YAML": lambda it: f"{it.name}:\n  - {_one_line(it)}\nok: true\n".encode(),
    "an environment in YAML": lambda it: f"env:\n- name: {it.name}\n  value: {_one_line(it)}\n".encode(),
    "TOML in three quotes": lambda it: f'[a]\n{it.name} = """{it.value}"""\n'.encode(),
    "an attribute of OTLP": lambda it: _dumps({"key": it.name, "value": {"stringValue": it.value}}).encode(),
    "a header of OTLP": lambda it: _dumps(
        {"key": f"http.header.{it.name}", "value": {"arrayValue": {"values": [{"stringValue": it.value}]}}}
    ).encode(),
    "an item of DynamoDB": lambda it: _dumps({"Item": {it.name: {"S": it.value}}}).encode(),
    "the value before and after": lambda it: _dumps(
        {"modified": [{"displayName": it.name, "oldValue": None, "newValue": it.value}]}
    ).encode(),
    "under the name with a number": lambda it: _dumps({f"{it.name}2": it.value}).encode(),
    "under the name of the old one": lambda it: _dumps({f"{it.name}_old": it.value}).encode(),
    "a URL with a fragment": lambda it: _dumps(
        {"url": f"https://x/?{urllib.parse.urlencode({it.name: it.value})}#f"}
    ).encode(),
    "a sentence": lambda it: f"The {it.name} is {_one_line(it)} for now".encode(),
    "a custom field of CEF": lambda it: f"CEF:0|v|p|1|1|n|5|cs1Label={it.name} cs1={_one_line(it)} x=1".encode(),
    "curl with a header": lambda it: f"curl -s -H '{it.name}: {_one_line(it)}' https://x.example".encode(),
    "curl with a user": lambda it: f"curl -u 'alice:{_quoted(it)}' https://x.example".encode(),
    "curl with a user, as words": lambda it: _dumps(
        {"argv": ["curl", "-u", f"alice:{_quoted(it)}", "https://x"]}
    ).encode(),
    "sshpass": lambda it: f"sshpass -p '{_quoted(it)}' ssh h".encode(),
    "a .netrc": lambda it: f"machine x.example login alice password {_quoted(it)}".encode(),
    "the login of a registry": lambda it: _dumps(
        {"auths": {"ghcr.io": {"auth": base64.b64encode(f"alice:{it.value}".encode()).decode()}}}
    ).encode(),
    "a Secret of Kubernetes in YAML": lambda it: _secret_in_yaml(it).encode(),
    "UTF-16": lambda it: _dumps(_around(it)).encode("utf-16"),
    "no UTF-8": lambda it: b"\xff\xfe\x80 " + _dumps(_around(it)).encode(),
    "a context of ours": lambda it: _own(context={it.name: it.value}),
    "an unknown field of ours": lambda it: _own(**{it.name: it.value}),
    "a text of ours": lambda it: _own(reasons=[_line(it)]),
    "JSON in a text of ours": lambda it: _own(reasons=["seen " + _dumps(_around(it))]),
    "an id of ours": lambda it: _own(
        resource={"id": f"https://x.example/?{urllib.parse.urlencode({it.name: it.value})}"}
    ),
}
"""A record of one line each, except for gzip and UTF-16."""
_SAMPLE = Secret("it", "x\ny", "x")
ONE_LINE = tuple(
    name
    for name, wrap in WRAPPINGS.items()
    if name not in {"gzip", "UTF-16", "no UTF-8"} and b"\n" not in wrap(_SAMPLE)
)


def traces(needle: str) -> Iterator[bytes]:
    """Return what must not be found of a credential: itself, a part of it, and each in another spelling."""
    whole = needle.encode()
    parts = {whole}
    if len(whole) >= _CUT:
        middle = len(whole) // 2
        parts |= {whole[:_PART], whole[middle - _PART // 2 :][:_PART], whole[-_PART:]}
        if whole.startswith(b"-----BEGIN"):  # the beginning and the end of every key are not secret
            parts = {whole, whole[60:80], whole[middle:][:_PART]}
    for part in parts:
        yield part
        yield json.dumps(part.decode())[1:-1].encode()
        yield _spelled(part.decode()).encode()
        yield urllib.parse.quote(part.decode(), safe="").encode()
        yield part.decode().encode("utf-16-le")
        yield part.hex().encode()
    for before in range(3):  # base64 after each number of preceding bytes, without the common ends
        encoded = base64.b64encode(b"\0" * before + whole).rstrip(b"=")
        yield encoded[4 if before else 0 : -2]
        yield encoded[4 if before else 0 : -2].translate(bytes.maketrans(b"+/", b"-_"))


_CUT, _PART = 20, 14
