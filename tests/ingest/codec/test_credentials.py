"""Which texts are raw credentials and which are not, and that none is stored.

The secrets are made up; each has the form of a real one.
"""

import base64
import hashlib
import json
import time
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codec.api import decode, decode_line, encode, encode_line
from ingest.codec.avro_primitives import SlowPathError, checked_id, checked_text, head_of, is_innocent
from ingest.codec.credentials import find, find_raw, handle, kept, scrubbed
from ingest.codec.credentials.shapes import AT_START, SECRETS
from ingest.codec.limits import ID_BYTES
from lineage.core.model.errors import CredentialError
from lineage.core.model.events import DecisionMade, Event

JWS = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJqdGkiOiIxIn0.MEUCIQDk_Qx-0w"
PEM = "-----BEGIN {0}PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSj\n-----END {0}PRIVATE KEY-----"
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

CREDENTIALS = {
    "a signed token": JWS,
    "a token without a signature": "eyJhbGciOiJub25lIn0.eyJqdGkiOiIxIn0.",
    "a token whose header has white space": "ewogICJhbGciOiAiUlMyNTYiCn0.eyJqdGkiOiIxIn0.c2ln",
    "an encrypted token": "eyJhbGciOiJSU0EtT0FFUCJ9.OKOawDo13gRp.48V1_ALb6US0.5eym8TW_c8Su.XFBoMYUZodet",
    "an encrypted token with a direct key": "eyJhbGciOiJkaXIifQ..48V1_ALb.5eym8TW_.XFBoMYUZ",
    "a token with selective disclosures": f"{JWS}~WyJzYWx0IiwiYSIsMV0~{JWS}",
    "Vault, service": "hvs.CAESIJlU9JMYEhOPYv4igdhm9PnZDrabYTobQ4Ymnlq1qY-LGh4KHGh2cy43",
    "Vault, batch": "hvb.AAAAAQJz0MnLM3Hi_kGmQHZR8rCIPHkQlLfMzRLdTSW",
    "Vault, recovery": "hvr.CAESIJlU9JMYEhOPYv4igdhm",
    "Vault before 1.10": "s.8TnDsCmXKRwx1OX0TEoGvFkq",
    **{f"GitHub, {letter}": f"gh{letter}_{LETTERS[:36]}" for letter in "pousr"},
    "GitHub, fine-grained": f"github_pat_{LETTERS[:22]}_{LETTERS[:59]}",
    "GitLab": f"glpat-{LETTERS[:20]}",
    **{f"Slack, {letter}": f"xox{letter}-123456789012-1234567890123-{LETTERS[:24]}" for letter in "abposr"},
    "Slack, app": f"xapp-1-A0123456789-1234567890123-{LETTERS[:32]}",
    "OpenAI": f"sk-{LETTERS[:48]}",
    "OpenAI, project": f"sk-proj-{LETTERS[:40]}_{LETTERS[:20]}-T3BlbkFJ",
    "Anthropic": f"sk-ant-api03-{LETTERS[:40]}-AA",
    "Stripe": f"sk_live_{LETTERS[:24]}",
    "Stripe, restricted": f"rk_live_{LETTERS[:24]}",
    "Google, key": f"AIza{LETTERS[:35]}",
    "Google, token": f"ya29.{LETTERS[:40]}",
    "npm": f"npm_{LETTERS[:36]}",
    "PyPI": f"pypi-AgEIcHlwaS5vcmc{LETTERS[:50]}",
    "SendGrid": f"SG.{LETTERS[:22]}.{LETTERS[:43]}",
    "a private key": PEM.format(""),
    "an RSA key": PEM.format("RSA "),
    "an OpenSSH key": PEM.format("OPENSSH "),
    "an encrypted key with headers": PEM.format("EC ").replace("\n", "\nProc-Type: 4,ENCRYPTED\n\n", 1),
    "a key that was cut off": PEM.format("")[:60],
    "an Authorization header": f"Bearer {LETTERS[:24]}7",
    "an Authorization header in small letters": "bearer 2YotnFZFEjr1zCsicMWpAA==",
    "a DPoP header": f"DPoP {LETTERS[20:44]}7~+/",
}
INNOCENT = [
    "human:alice@example.com",
    "agent:planner",
    "agent:risk-assessment",
    f"agent:risk-{LETTERS[:40]}",
    f"task-{'0123456789abcdef' * 2}",
    "agent:sk-learn-training-pipeline-of-the-third-quarter-2026",
    "sk-short",
    "https://sts.example.com#0191e8a2-7c00-7000-8000-000000000001",
    "0191e8a2-7c00-7000-8000-000000000001",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    f"sha256:{'ab' * 32}",
    f"vault#hmac-sha256:{'5e' * 32}",
    "vault#0e9e354a-520f-df04-6867-ee81cae3d42d",
    "aws#ASIAEXAMPLEEXAMPLE42",
    "AKIAIOSFODNN7EXAMPLE",
    "arn:aws:iam::123456789012:role/eyJ-team",
    "spiffe://example.com/ns/agents/sa/planner",
    "spiffe://s.example.com/eyJob/ghp_/worker",
    "https://aws.abcdefghijklmnopqrstuvwx.example",
    "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9",
    "monkeyJumpingAround.v1.example",
    "agent:keyJwksRotation.v1.example",
    "the bearer of bad news-and-other-things-besides",
    "Bearer tokens are short-lived",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
    "npm_config_registry_of_the_build_machine",
    "glider-pattern-abcdefghijklmnopqrst",
    "DPoP",
    "docker run -u 1000:1000 --login example",
    "docker run -p 8080:80 mysqladmin",
    "https://alice.of.the.example@example.com/",
    "the token is not valid, and the password was forgotten",
    "<Data Name='PasswordLastSet'>2026-11-02</Data>",
    "name: password_policy\nvalue: strict\n",
    "tokens:\n  endpoint: https://idp.example\n",
    '{"displayName":"RiskLevel","oldValue":"low","newValue":"high"}',
    '{"auth":"kubernetes/role/planner"}',
    '{"key":"gen_ai.usage.input_tokens","value":{"intValue":"1234567890"}}',
    "kind: Secret",
    "",
]


@pytest.mark.parametrize("secret", CREDENTIALS.values(), ids=CREDENTIALS)
def test_a_credential_is_found_wherever_it_begins(secret):
    """
    By itself, after a delimiter and in a sentence; never as the end of a word.
    """
    for before in ("", "https://idp.example.com#", "token:", "token-of-", "access_token=", "saw ", "é", "\n"):
        assert secret == find(f"{before}{secret}")
    assert secret == find(f"saw {secret} in a log") or "PRIVATE" in secret
    if "PRIVATE" not in secret:
        assert find(f"x{secret}") is None or find(f"x{secret}") != secret


@pytest.mark.parametrize("text", INNOCENT)
def test_an_id_or_text_is_not_a_credential(text):
    """
    Ids of the recommended forms, public handles and plain words are accepted, and never redacted.
    """
    assert find(text) is None
    assert find(f"https://idp.example.com#{text}") is None
    assert kept(text.encode()) == text.encode()


@pytest.mark.parametrize("secret", CREDENTIALS.values(), ids=CREDENTIALS)
def test_the_fast_check_never_misses_a_credential(secret):
    """
    Whichever path a string takes through the decoder, a credential in it is not accepted as an id or a text.
    """
    for before in ("", "https://idp.example.com#", "token:", "x-", "a/b@"):
        raw = (before + secret).encode()
        for checked in (checked_id, checked_text):
            with pytest.raises(SlowPathError):
                checked(raw)


@cache
def secrets_of(prefix):
    """Generate secrets with a prefix; often in capitals or lower case only, if the provider issues both."""
    cases = {prefix, prefix.replace("A-Za-z", "A-Z"), prefix.replace("A-Za-z", "a-z")}
    made = st.one_of([st.from_regex(case, fullmatch=True) for case in sorted(cases)])
    return made.filter(lambda secret: len(secret) < ID_BYTES - 40)


@pytest.mark.slow
@given(st.sampled_from(SECRETS).flatmap(secrets_of), st.sampled_from(["", "https://idp.example.com#", "a/b@", "x:"]))
@settings(max_examples=150)
def test_a_secret_with_a_known_prefix_is_never_an_id(secret, before):
    """
    Neither the fast path, nor JSON, nor Avro that somebody else encoded accepts it.
    """
    id_ = before + secret
    event = Event("e1", "urn:test", 0, DecisionMade("x" * len(id_.encode()), permitted=True, operation="read"))

    for checked in (checked_id, checked_text):
        with pytest.raises(SlowPathError):
            checked(id_.encode())
    with pytest.raises(CredentialError):
        decode(encode(event).replace(b"x" * len(id_.encode()), id_.encode()))
    with pytest.raises(CredentialError):
        decode_line(encode_line(event).replace(b"x" * len(id_.encode()), json.dumps(id_)[1:-1].encode()))
    with pytest.raises(CredentialError):
        encode(event._replace(body=event.body._replace(decision=id_)))
    assert secret.encode() not in (kept(b'{"it": "' + json.dumps(id_)[1:-1].encode() + b'"}') or b"")


def test_the_digits_stripped_for_the_fast_check_never_begin_a_credential():
    """
    Digits, capitals, a to f and the hyphen are not a credential, and none continues across a delimiter into them.
    """
    for secret in CREDENTIALS.values():
        assert head_of(secret.encode())
        assert not is_innocent(head_of(secret.encode()))
        assert not set(AT_START.match(secret).group()) & set("#:/@")
    assert is_innocent(b"")
    assert is_innocent(b"https://idp.example.com#")
    assert not is_innocent(b"sk")
    assert not is_innocent(b" urn:")
    assert not is_innocent(b"urn:\x00:")


@pytest.mark.parametrize("secret", CREDENTIALS.values(), ids=CREDENTIALS)
def test_a_credential_is_replaced_by_its_digest(secret):
    """
    The rest of the record is unchanged, byte for byte.
    """
    raw = secret.encode()
    digest = f"sha256:{hashlib.sha256(raw).hexdigest()}".encode()

    assert handle(secret) == handle(raw) == digest.decode()
    assert b'{"it": "' + digest + b'", "x": "\xff"}' == kept(b'{"it": "' + raw + b'", "x": "\xff"}')
    assert b'["' + digest + b'", "' + digest + b'"]' == kept(b'["' + raw + b'", "' + raw + b'"]')
    assert raw == find_raw(b'["' + raw + b'"]')


@pytest.mark.slow
@pytest.mark.parametrize("secret", CREDENTIALS.values(), ids=CREDENTIALS)
def test_a_credential_is_found_after_the_length_of_a_string_in_avro(secret):
    """
    The byte before it is the last of the length, which may look like a letter; so may the byte after it.
    """
    for more in (*range(60), 3100, 4000):
        raw = secret.encode() + b"#" * more
        doubled = len(raw) * 2
        length = bytes([doubled]) if doubled < 128 else bytes([doubled & 127 | 128, doubled >> 7])
        for behind in (b"\0", b"\x02", b"A", b"z", b"0_"):
            found = kept(b"\xc3\x01" + b"\x9ftest\x16" + length + raw + behind)
            assert secret.encode() not in found
            assert secret.encode()[-12:] not in found


@pytest.mark.parametrize("before", ["é", "日本", "x\U0001f680", "\u00ff\u00ff"])
def test_a_credential_is_found_after_a_value_that_ends_beyond_ascii(before: str):
    """The last bytes of that value look like the beginning of the length, which looks like a letter."""
    for size in range(30, 64):
        secret = ("eyJhbGciOiJFZERTQSJ9." + "a" * 64)[: size - 5] + ".b_-Z"
        for known in (secret, "sk-proj-" + "aB3" * 30):
            raw = known.encode()
            length = bytes([2 * len(raw)]) if len(raw) < 64 else bytes([2 * len(raw) & 127 | 128, len(raw) >> 6])
            found = kept(b"\xc3\x01" + b"\x9ftest\x16" + before.encode() + length + raw + b"\0")
            assert raw not in (found or b"")
            assert raw[-12:] not in (found or b"")


@pytest.mark.parametrize("last", [b"B", b"z", b"7", b"_", b"-", b".", b"\xe9", b"\0"])
@pytest.mark.parametrize("secret", ["eyJhbGciOiJub25lIn0.eyJqdGkiOiJvbmUifQ.c2lnbmVk", "ghp_" + "aB3" * 12])
def test_a_credential_is_found_behind_any_fingerprint(last: bytes, secret: str):
    """
    The header of a record in Avro may end in a letter, and what follows directly be a credential, in any spelling.
    """
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in secret)
    for spelled in (secret.encode(), secret.encode("utf-16-le"), escaped.encode()):
        raw = b"\xc3\x01" + b"printed" + last + spelled
        packed = base64.b64encode(raw)
        assert spelled[-24:] not in (kept(raw) or b"")
        assert packed[-24:] not in (kept(b'{"value": "%s"}' % packed) or b"")
    across = (b"\xc3\x01" + secret.encode())[:-1]
    assert secret.encode()[-12:-1] not in (kept(across) or b"")


def test_a_preceding_letter_that_is_not_a_length_does_not_make_a_credential():
    """
    Text that is not a credential in JSON is none in Avro either, so that a record from the future is kept unchanged.
    """
    text = f"agent:task-{'0123456789abcdef' * 2}".encode()
    raw = b"\xc3\x01\x9f" + bytes([len(text) * 2]) + text

    assert raw == kept(raw)


@pytest.mark.parametrize("secret", CREDENTIALS.values(), ids=CREDENTIALS)
def test_an_escaped_credential_is_removed(secret):
    """
    Spelled with escapes, in half an object, in UTF-16: none of it is left, and its digest is that of the decoded
    secret.
    """
    escaped = "".join(f"\\u{ord(character):04X}" for character in secret)
    for raw, spelled in (
        (f'{{"it": "{escaped}"}}', escaped),
        (f'{{"it": "{escaped[:6]}{secret[1:]}"}}', secret[1:]),
        (f'{{"it": "{escaped}"', escaped),
    ):
        assert spelled.encode() not in kept(raw.encode())
        assert handle(secret).encode() in kept(raw.encode())
    for encoding in ("utf-16", "utf-16-le", "utf-32-le"):
        assert secret.encode(encoding)[4:] not in kept(f'{{"it": "{secret}"}}'.encode(encoding))


@pytest.mark.slow
@pytest.mark.parametrize(
    "raw",
    [
        b"-eyJ" * 64_000,
        b"-eyJ" * 40_000 + b"." + b"a" * 90_000,
        b"eyJaaaaaaaa.-" * 20_000,
        b"\xc3\x01" + b"aeyJ" * 60_000,
        b"\xc3\x01" + b"~eyJaaaaaaaa" * 20_000,
        b"\xc3\x01x" + b"gl" * 130_000,
        b"\xc3\x01" + b"xgla" * 60_000,
        b"Bearer " * 37_000,
        b"Bearer " + b"a" * 250_000,
        b"Bearer" + b" " * 250_000,
        b"-----BEGIN PRIVATE KEY-----" * 9_000,
        b"-----BEGIN " + b"A " * 120_000,
        b"-----BEGIN RSA " * 16_000,
        b"-sk-a" * 50_000,
        b"-SG." * 60_000,
        b"\\u0065" * 40_000,
        bytes(range(256)) * 1_000,
        b"x" * 256_000,
        b" eyJaaaaaaaa..~~~" * 15_000,
        b'\\"password\\":\\"' * 18_000,
        b"password=" * 28_000,
        b'{"password":[' * 19_000,
        b'{"name":"password","value":"x"},' * 8_000,
        b"[" * 250_000,
        b"\\\\" * 125_000,
        b"\\u005c" * 40_000,
        b"%25" * 80_000,
        b"&amp;" * 50_000,
        b"VVVV" * 60_000,
        b"user,password\n" * 18_000,
        b"password 'x" * 20_000,
        b"<Assertion " * 20_000,
        b"://a:" * 50_000,
        b"\0a" * 120_000,
        b"Content-Disposition: " * 12_000,
        b"Content-Disposition: x; name=a\n" * 8_000,
        b"<a name='password' " * 13_000,
        b"<x><a name='password'>" * 11_000,
        b"<a " + b"key='password' value='x' " * 10_000 + b">",
        b"<name>password</name>" * 12_000,
        b"<x><![CDATA[" * 20_000,
        b'a="""' * 50_000,
        b"".join(b" " * number + b"password:\n" for number in range(700)),
        b"password:\n" + b"- x\n" * 60_000,
        b"a1Label=password a1=x " * 11_000,
        b"".join(b"a%dLabel=password a%d=x " % (number, number) for number in range(8_000)),
        b"curl " + b"-u a:b " * 35_000,
        b"-u a" * 60_000 + b"curl",
        b"-eyJaaaaaaaa\n" * 19_000,
        b'["eyJaaaaaaaa","' * 15_000,
        b'{"signature":"aaaaaaaaaaaaaaaa","protected":"eyJ"},' * 5_000,
        b'{"name":"password","value":' * 9_000 + b'"x"' + b"}" * 9_000,
        b"7b22" * 60_000,
        b"the password is " * 16_000,
    ],
    ids=lambda raw: f"{raw[:16]!r}-{len(raw)}",
)
def test_searching_takes_linear_time(raw):
    """
    A record of the largest size, built to be slow, is searched within three seconds of a core; quadratic time would
    take minutes.
    """
    started = time.process_time()

    kept(raw)

    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("it failed for postgresql://app:hunter2@db/prod", "it failed for postgresql://app:***@db/prod"),
        ("sent {'password': 'hunter2'} to it", "sent {'password': '***'} to it"),
        (r"""sent b'{\"password\":\"hunter2\"}' to it""", r"""sent b'{\"password\":\"***\"}' to it"""),
        (f"with {JWS} in it", f"with {handle(JWS)} in it"),
        ("GET /cb?id_token=abc&state=1", f"GET /cb?id_token={handle('abc')}&state=1"),
        ("password: hunter2hunter2", "password: ***"),
        *(
            (sentence, sentence)
            for sentence in (
                "DELEGRAPH_KAFKA_PASSWORD: the file /run/secrets/x cannot be read: No such file",
                "set DELEGRAPH_KAFKA_PASSWORD=... or name a file",
                "the token https://idp.example:8443#alice@example.com is expired",
                "token=https://idp.example#4711 is revoked",
                "authorization: the caller lacks the role",
                "a password must be changed: see ticket 4711",
                "secrets:read and password:reset are scopes",
                "listen on PLAINTEXT://127.0.0.1:9092",
                "next_token=abcdefgh12345678",
            )
        ),
    ],
)
def test_a_sentence_is_shown_without_its_credentials(sentence, shown):
    """
    They are found by shape and by name; a sentence that merely mentions secrets is unchanged.
    """
    assert shown == scrubbed(sentence)
    assert shown == scrubbed(shown)


@pytest.mark.parametrize(
    ("key", "value", "secret"),
    [
        ("password", "hunter2", True),
        ("db_password", "x", True),
        ("client_secret", "correcthorse", True),
        ("access_token", "0191e8a2-7c00-7000-8000-000000000001", True),
        ("authorization", "rbac", False),
        ("secret", "db/prod", False),
        ("token", "t1", False),
        ("access_token", "https://idp.example#4711", False),
        ("password", "***", False),
        ("token_type", "Bearer", False),
        ("accessKeyId", "ASIAEXAMPLE", False),
    ],
)
def test_a_secret_in_a_map_of_an_event_is_recognised_by_its_name(key, value, secret):
    """
    An event with one is refused, as JSON and as Avro; a value that names a thing is accepted.
    """
    body = DecisionMade("d", permitted=True, operation="o", context=((key, value),))
    event = Event(event_id="e", source="s", occurred_at=0, body=body)
    line = encode_line(event)

    if secret:
        for refused in (lambda: encode(event), lambda: decode_line(line)):
            with pytest.raises(CredentialError, match=f"context.'{key}' holds a raw credential"):
                refused()
    else:
        assert event == decode(encode(event)) == decode_line(line)
