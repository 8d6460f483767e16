#!/usr/bin/env python3
"""Verify evidence from delegraph: one file, the standard library, Python 3.9 or later. It trusts nothing but your keys.

    python3 verify_evidence.py BUNDLE --key NAME+ID+KEY [--witness NAME+ID+KEY ... --need N]
It checks signatures, digests, and that every record is under a signed checkpoint of the log; then it derives the answer
again by the rule of authority (the numbers are clauses of docs/rule-of-authority.md).
Exit: 0 verified, 1 something is wrong, 2 not a bundle or wrong usage.
"""
import argparse, base64, hashlib, json, os, re, struct, sys
from datetime import datetime, timedelta, timezone
MOST_BYTES, RULE = 512 * 1024 * 1024, 1  # of a bundle; the version of the rule of authority that this implements
SCHEMAS = {  # the SHA-256 of each shipped schema of events, by the fingerprint that begins its records
    "9ffd9e80e4f58ee8": "df7e88f5d3279fdcef74263139e5b903ee555417bcdd722b629ca482f9f85518",
    "d387601dbb8a94cb": "6261a2ba487e65c3568467145925ee6535e3fe9489b7ba8c8480cfa9eb48089f",
    "72ae4a3962f5c985": "91c32af1c0b9261dca4b27c1c4078705bb54e1d600927f2b2ad6c88d8b2930da",
    "958da384b2926852": "e7c44c47fda904ff5bb71f287099ebbd256771ae1bb96bd0f8a8f2b3e79d479f",
    "c6732450c1322f42": "f2a54458295a8ed1d2c5c7c6d1c82273a40baacbf41bcc05a117b6556b263e1a"}
PAYLOAD, PREDICATE = "application/vnd.in-toto+json", "https://delegraph.dev/evidence/v1"
ORDERS = r"revocation\.(ordered|lifted)|finding\.judged|(case|hold)\.changed|records\.deleted|checkpoint\.key_rotated"
OWN = {  # the ids that the source of an event must be allowed to speak about (2.12)
    "principal.registered": "principal aliases", "workload.bound": "workload", "token.issued": "token",
    "delegation.granted": "delegation", "receiver.registered": "receiver", "revocation.acknowledged": "receiver"}
KINDS = (("human:", "human"), ("agent:", "agent"), ("service:", "service"), ("spiffe://", "workload"))
TEXT = json.JSONEncoder(ensure_ascii=False).encode  # made once, since `json.dumps` makes one for each call
ELEMENTS, TOPICS = ("token", "delegation"), ("decisions", "orders")
PARTIES = ("subject", "actor", "workload", "delegator", "delegatee")
NAMES, EPOCH = ("principal", "workload", "session", "client"), datetime(1970, 1, 1, tzinfo=timezone.utc)
class Wrong(Exception): """Something is not as the bundle says; the message is a sentence for people."""
def need(holds, sentence, *parts):
    if not holds: raise Wrong(sentence % parts if parts else sentence)
# Ed25519 (RFC 8032 section 5.1.7), with points in extended coordinates
P, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D, ROOT = -121665 * pow(121666, P - 2, P) % P, pow(2, (P - 1) // 4, P)
def add(one, other):
    a, b = (one[1] - one[0]) * (other[1] - other[0]) % P, (one[1] + one[0]) * (other[1] + other[0]) % P
    c, d = 2 * one[3] * other[3] * D % P, 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P
def multiply(number, point):
    found = (0, 1, 1, 0)
    while number:
        found = add(found, point) if number & 1 else found
        point, number = add(point, point), number >> 1
    return found
def decompress(data):
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x * ROOT % P if (x * x - square) % P else x
    if y >= P or (x * x - square) % P or (x == 0 and sign): return None  # not a point of the curve
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P
BASE = decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
def signed_by(public, signature, message):
    scalar = int.from_bytes(signature[32:], "little")
    if len(public) != 32 or len(signature) != 64 or scalar >= ORDER: return False
    point, commitment = decompress(public), decompress(signature[:32])
    if not point or not commitment: return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    one, other = multiply(scalar, BASE), add(commitment, multiply(challenge, point))
    return (one[0] * other[2] - other[0] * one[2]) % P == 0 == (one[1] * other[2] - other[1] * one[2]) % P
# Keys and notes (C2SP signed-note, tlog-cosignature), trees (RFC 6962; RFC 9162 section 2.1.3.2)
def unbase64(text, what):
    try: return base64.b64decode(text, validate=True)
    except (ValueError, TypeError): raise Wrong(what + " is not base64") from None
def parse_key(text):  # read a key, NAME+ID+KEY: its name, its id, its kind (1 signs, 4 cosigns) and the public key
    parts = text.split("+", 2)
    need(len(parts) == 3, "a key is written NAME+ID+KEY")
    data = unbase64(parts[2], "the key " + parts[0])
    need(len(data) == 33 and data[0] in (1, 4), "the key %s is not an Ed25519 key", parts[0])
    identity = hashlib.sha256(parts[0].encode() + b"\n" + data).digest()[:4]
    need(identity.hex() == parts[1], "the id of the key %s does not match it: the key was changed", parts[0])
    return parts[0], identity, data[0], data[1:]
def signers(note, keys):  # verify a note: its text, and which of the keys signed it. Signatures by others are ignored
    text, blank, lines = note.rpartition("\n\n")
    need(blank and lines, "a checkpoint has no signatures")
    text, found = text + "\n", set()
    for line in lines.splitlines():
        need(line.startswith("\u2014 ") and line.count(" ") == 2, "a checkpoint has a line that is not a signature")
        _, name, encoded = line.split(" ")
        raw = unbase64(encoded, "a signature of " + name)
        for key in (one for one in keys if one[:2] == (name, raw[:4])):
            at = b"cosignature/v1\ntime %d\n" % int.from_bytes(raw[4:12], "big") if key[2] == 4 else b""
            valid = signed_by(key[3], raw[12 if at else 4 :], at + text.encode())
            need(valid, "the signature of %s on a checkpoint is not valid", name)
            found.add(key)
    return text, found
def retired_by(note, log):  # the key of a log that a rotation retires, and the sizes up to which it had signed
    try:
        origin, _, old, new, *sizes = note.rpartition("\n\n")[0].split("\n")
        sizes = {origin + "/" + tree: int(size) for tree, size in map(str.split, sizes)}
        return {parse_key(old[4:]): sizes} if origin == log and signers(note, [parse_key(new[4:])])[1] else {}
    except (Wrong, ValueError): return {}
def sha256(data): return hashlib.sha256(data).digest()
def node(left, right): return sha256(b"\1" + left + right)
def root_through(found, index, size, path):  # the root that an inclusion proof leads to; None if it cannot be one
    at, last = index, size - 1
    for sibling in path if 0 <= index < size else ():
        if last == 0 or len(sibling) != 32: return None
        if at & 1 or at == last:
            found = node(sibling, found)
            while not at & 1 and at: at, last = at >> 1, last >> 1
        else: found = node(found, sibling)
        at, last = at >> 1, last >> 1
    return found if last == 0 else None
def root_of(level):  # the root of a tree, given all of its leaves
    while len(level) > 1:
        level = [node(*level[at : at + 2]) if at + 1 < len(level) else level[at] for at in range(0, len(level), 2)]
    return level[0] if level else sha256(b"")
# Records (Avro 1.12; the layout of an entry is in docs/evidence.md)
def named_types(schema):
    parts = schema if isinstance(schema, list) else list(schema.values()) if isinstance(schema, dict) else []
    found = {schema["name"]: schema} if isinstance(schema, dict) and schema.get("type") in ("record", "enum") else {}
    for part in parts: found.update(named_types(part))
    return found
class Reader:
    """Decodes Avro by a schema; times become text, and what states nothing is left out."""
    def __init__(self, data, named):
        self.data, self.at, self.named, self.read = data, 0, named, []
    def take(self, size):
        need(0 <= size <= len(self.data) - self.at, "a record ends too early")
        self.at += size
        return self.data[self.at - size : self.at]
    def long(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value, shift = value | (byte & 127) << shift, shift + 7
            need(shift <= 70, "a record has a number that is too long")
            if byte < 128: return value >> 1 ^ -(value & 1)
    def text(self): return self.take(self.long()).decode()
    def blocks(self):
        while True:
            count = self.long()
            if not count: return
            count = -count + 0 * self.long() if count < 0 else count  # the size in bytes follows
            need(count <= len(self.data), "a record has a list that is too long")
            yield from range(count)
    def value(self, schema):
        schema = self.named.get(schema, {"type": schema}) if isinstance(schema, str) else schema
        if isinstance(schema, list): return self.value(dict(enumerate(schema))[self.long()])
        kind = schema["type"]
        if isinstance(kind, (dict, list)): return self.value(kind)
        if kind == "record":
            said = {one["name"]: self.value(one["type"]) for one in schema["fields"]}
            self.read.append(schema["name"])
            return {name: value for name, value in said.items() if value is not None and value not in ([], {})}
        if kind == "enum": return dict(enumerate(schema["symbols"]))[self.long()]
        if kind == "array": return [self.value(schema["items"]) for _ in self.blocks()]
        if kind == "map": return {self.text(): self.value(schema["values"]) for _ in self.blocks()}
        if schema.get("logicalType") == "timestamp-micros":
            return (EPOCH + timedelta(microseconds=self.long())).isoformat(timespec="microseconds")[:-6] + "Z"
        plain = {"null": lambda: None, "string": self.text, "long": self.long, "boolean": lambda: self.take(1) == b"\1"}
        return plain[kind]()
def event_of(value, schemas):  # decode the event in a record; None if it is not one that this program knows
    if value[:2] != b"\xc3\x01" or value[2:10].hex() not in schemas: return None
    reader = Reader(value[10:], schemas[value[2:10].hex()])
    said = reader.value("DecisionEvent")
    first_word, *rest = re.findall("[A-Z][a-z]+", reader.read[-2])  # the body ends last but one
    if said["type"] != first_word.lower() + "." + "_".join(rest).lower() or reader.at != len(reader.data): return None
    event = dict(said, **said.pop("body"))
    if said["type"] == "revocation.ordered":  # 2.11: a default states nothing
        event = {name: one for name, one in event.items() if (name, one) not in (("mode", "revoke"), ("cascade", True))}
    return event
def micros(text): return (datetime.fromisoformat(text.replace("Z", "+00:00")) - EPOCH) // timedelta(microseconds=1)
def canonical(value):  # RFC 8785 for what delegraph writes, in which no number has a fraction
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(TEXT(key) + ":" + canonical(value[key]) for key in keys) + "}"
    if isinstance(value, list): return "[" + ",".join(map(canonical, value)) + "]"
    return TEXT(value)
def digest_of(value): return hashlib.sha256(canonical(value).encode()).hexdigest()
# The rule of authority, written a second time
def several(value): return [] if value is None else value if isinstance(value, list) else [value]
def first(events, field):  # the first stated value of a field (3.4)
    return next((event[field] for event in events if field in event), None)
def allowed(event, topic, trust):  # whether the source may say this (2.12)
    if re.fullmatch(ORDERS, event["type"]) and topic != "orders": return False
    grant = {"types": ["*"], "ids": [""]} if trust is None else trust.get(event["source"], {"types": [], "ids": []})
    own = [one for field in OWN.get(event["type"], "").split() for one in several(event.get(field))]
    own += [event["target"]["id"]] if event["type"] == "revocation.ordered" else []
    fits = event["type"] in grant["types"] or "*" in grant["types"]
    return fits and all(one.startswith(tuple(grant["ids"])) for one in own)
class World:
    """What facts say together: (event, recorded_at, topic), without those recorded later than ``known_at``."""
    def __init__(self, facts, trust, known_at):
        found, self.by, self.party, self.orders, self.changes, self.registered = {}, {}, {}, [], [], []
        for event, recorded_at, topic in facts:
            if recorded_at <= known_at and allowed(event, topic, trust):
                place = (micros(event["occurred_at"]), event["source"], event["event_id"], digest_of(event))  # 3.4
                found[place] = (event, min(found.get(place, (0, recorded_at))[1], recorded_at))  # 2.10, 11.1
        lifts, orders = [], []
        for place, (event, recorded_at) in sorted(found.items()):
            kind = event["type"].split(".")[0]  # what it is about
            self.by.setdefault((kind, event.get(kind)), []).append(event)
            given = min(place[0], recorded_at)  # 5.1
            takes = micros(event["effective_at"]) if "effective_at" in event else given  # 5.2
            lifts += [(event, given, max(given, takes))] if event["type"] == "revocation.lifted" else []
            orders += [(event, given, takes, place)] if event["type"] == "revocation.ordered" else []
            self.changes += [(given, place, event)] if kind == "case" else []
            if event["type"] == "principal.registered":  # 4.3
                party = {event["principal"], *event.get("aliases", [])}
                party = party.union(*(self.party.get(one, set()) for one in party))
                self.party.update(dict.fromkeys(party, party))
                self.registered.append(event)
        for event, given, takes, place in orders:
            ends = [
                end for lift, lifted, end in lifts  # 5.7, 2.13
                if lift["revocation"] == event["revocation"] and given <= lifted
                and (trust is None or event["target"]["id"].startswith(tuple(trust[lift["source"]]["ids"])))
            ]
            if takes < min(ends, default=takes + 1):  # 5.8
                self.orders.append((takes, event["revocation"], place, event, min(ends, default=None)))
    def about(self, element): return self.by.get(element, [])  # the events that grant or mention it
    def same(self, one, other): return None not in (one, other) and (one == other or other in self.party.get(one, ()))
    def kind(self, id_):  # the kind of a principal (2.4)
        party = self.party.get(id_, {id_})
        declared = [kind for one in (id_, *sorted(party)) for prefix, kind in KINDS if one.startswith(prefix)]
        registered = [event for event in self.registered if event["principal"] in party]
        return declared[0] if declared else first(registered, "kind") or "unknown"
    def parents(self, element, roles):  # what an element was derived from in some roles, and its parents
        events = self.about(element)
        sources = [one for event in events for one in event.get("derived_from", [])]
        found = [("token", one["token"]) for one in sources if one["role"] in roles]
        return found + [("delegation", one) for event in events for one in event.get("parents", [])]
    def needs(self, element):  # what an element depends on directly (4.1)
        grants = [event for event in self.about(element) if element[0] == "token" and "delegation" in event]
        found = self.parents(element, ("subject", "actor", "refresh", "replaced"))
        return found + [("delegation", event["delegation"]) for event in grants]
    def above(self, element):  # what an element depends on at any depth, itself first
        found, waiting = {element: None}, [element]
        while waiting:
            needs = self.needs(waiting.pop())
            waiting += [each for each in needs if each not in found]
            found.update(dict.fromkeys(needs))
        return list(found)
    def issued(self, of): return min(micros(one.get("issued_at", one["occurred_at"])) for one in self.about(of))
    def hit(self, order, element):  # whether an order hits an element (5.3, 5.4)
        event, lifted_at = order[3:]
        kind, id_ = event["target"]["kind"], event["target"]["id"]
        if (kind, id_) == element: return True
        fields = PARTIES if kind in ("principal", "workload") else (kind,) if kind in ("session", "client") else ()
        named = [one[field] for one in self.about(element) for field in fields if field in one]
        if not any(one == id_ or (fields == PARTIES and self.same(one, id_)) for one in named): return False
        before = [micros(event["issued_before"])] if "issued_before" in event else []
        before += [lifted_at] if lifted_at is not None and "mode" not in event else []
        return all(self.issued(element) < one for one in before)
    def state(self, element, at):  # the state of an element (section 6), and the id of the order that made it so
        events, above = self.about(element), self.above(element)
        end = max((micros(event["expires_at"]) for event in events if "expires_at" in event), default=1 << 62)
        counting = [  # 6.8
            order for order in self.orders
            if order[0] <= at and order[0] < end
            and ("mode" not in order[3] or order[4] is None or at < order[4])
            and any(self.hit(order, one) for one in (above if order[3].get("cascade", True) else above[:1]))
        ]
        own = {id(one) for one in counting if (one[3]["target"]["kind"], one[3]["target"]["id"]) == element}
        counting.sort(key=lambda order: (id(order) not in own, order[:3]))
        revoking, suspending = ([one for one in counting if ("mode" in one[3]) is wanted] for wanted in (False, True))
        if revoking: return ("revoked" if id(revoking[0]) in own else "cascaded"), revoking[0][1]
        if at >= end or suspending: return ("expired", None) if at >= end else ("suspended", suspending[0][1])
        if not events: return "unknown", None
        starts = [self.issued(element)] + [micros(one) for one in several(first(events, "not_before"))]
        return ("not_yet_valid" if at < max(starts) else "active"), None
    def state_of_name(self, kind, id_, at):  # of a principal, session or client (6.12), and the order behind it
        party = kind in NAMES[:2]
        found = [  # whether it suspends, and then as orders are ranked
            ("mode" in event, takes, revocation) for takes, revocation, _, event, lifted_at in self.orders
            if takes <= at and (lifted_at is None or at < lifted_at) and "issued_before" not in event
            and (event["target"]["kind"] in NAMES[:2] if party else event["target"]["kind"] == kind)
            and (event["target"]["id"] == id_ or (party and self.same(event["target"]["id"], id_)))
        ]
        return ("suspended" if min(found)[0] else "revoked", min(found)[2]) if found else ("active", None)
    def path(self, element):  # the path of an element, root first (7.1); empty if it was not granted
        path = [element] if self.about(element) else []
        while path:
            ours, theirs = ("subject", "subject") if path[0][0] == "token" else ("delegator", "delegatee")
            party = first(self.about(path[0]), ours)
            ups = self.parents(path[0], ("subject", "refresh", "replaced"))
            ups = [
                (not self.same(party, first(self.about(up), theirs)), self.issued(up), up[1], up)
                for up in ups if self.about(up) and up not in path
            ]
            if not ups: break
            path.insert(0, min(ups)[3])
        return path
    def wielder(self, token):  # who wields a token (7.2)
        sources = [one for event in self.about(token) for one in event.get("derived_from", [])]
        others = [("token", one["token"]) for one in sources if one["role"] == "actor"]
        others = sorted((self.issued(one), one) for one in others if self.about(one))
        with_ = self.about(others[0][1]) if others else []
        return several(first(self.about(token), "actor") or first(with_, "actor") or first(with_, "subject"))
    def chain(self, element):  # the principals of the chain, its tokens and its delegations (7.2 to 7.4)
        path = self.path(element)
        tokens, grants, at = [one for one in path if one[0] == "token"], [one for one in path if one[0] != "token"], 0
        wielders, hops = [self.wielder(token) for token in tokens], []
        if tokens:
            subject = first(self.about(tokens[0]), "subject")
            hops = [subject, *several(first(self.about(tokens[0]), "prior_actors")), *sum(wielders, [])]
            for place, token in enumerate(tokens):
                named = [("delegation", event.get("delegation")) for event in self.about(token)]
                granted = [one for one in named if self.about(one)]
                at, grants = (place, self.path(granted[0])) if granted else (at, grants)
        said = [first(self.about(grant), field) for grant in grants for field in ("delegator", "delegatee")]
        if tokens and grants:
            said += sum(wielders[at:], [])
            ahead = [place for place, one in enumerate(hops) if self.same(one, said[0])]
            alone = self.kind(said[0]) == "human" or any(self.same(one, subject) for one in said)
            said = (hops[: ahead[0]] if ahead else [] if alone else [subject]) + said
        return self.collapsed(said or hops), [one[1] for one in tokens], [one[1] for one in grants]
    def collapsed(self, hops): return [one for at, one in enumerate(hops) if not at or not self.same(hops[at - 1], one)]
def who(world, then, action, at):  # (7.7 to 7.11, 8.1); `then`: as known when it was recorded
    told = world.about(("action", action))
    need(told, "no record in the bundle states the action %s", action)
    decided = world.about(("decision", first(told, "decision")))
    named = [(kind, first(events, kind)) for events in (told, decided) for kind in ("token", "delegation")]
    named = [one for one in named if one[1] is not None]
    granted = [one for one in named if world.about(one)]
    authority = (granted or named or [None])[0]
    hops, tokens, delegations = world.chain(authority) if granted else ([], [], [])
    for field in () if granted else ("on_behalf_of", "prior_actors"):
        hops = hops + several(first(told, field) or first(decided, field))
    actor = several(first(told, "actor") or first(decided, "actor"))
    hops += [one for one in actor if not granted or not any(world.same(one, hop) for hop in hops)]
    hops = world.collapsed(hops)
    gaps = {one for one in named + (world.above(authority) if authority else []) if not world.about(one)}
    gaps |= {("principal", hops[0])} if hops and not granted else set()
    done = min(micros(event["occurred_at"]) for event in told)
    asked = ((then, done), (world, done), (world, at))
    return {
        "root": (hops + [None])[0], "human": (hops[0] if hops and world.kind(hops[0]) == "human" else None),
        "principals": hops, "agents": [one for one in hops if world.kind(one) == "agent"],
        "tokens": tokens, "delegations": delegations, "authority": authority and ":".join(authority),
        "states": [list(one.state(authority, when)) if authority else ["unknown", None] for one, when in asked],
        "gaps": sorted(map(list, gaps)),
    }
def said_by(answer):  # what an answer to ``who`` says of the same
    states = [answer["authority"][name] for name in ("then_as_known_then", "then_as_known_now", "now")]
    return dict(
        {name: answer[name] for name in ("root", "human", "agents", "tokens", "delegations")},
        states=[[one["state"], one["because"] and one["because"]["revocation"]] for one in states],
        gaps=sorted([gap["kind"], gap["id"]] for gap in answer["gaps"]), authority=answer["authority"]["element"],
        principals=[hop["principal"] for hop in answer["chain"]])
def agree(derived, claimed):
    for name, one in derived.items():
        need(one == claimed[name], "the answer says %s, and the records say %s", {name: claimed[name]}, {name: one})
def check_case(world, case, at, facts):  # derive a case, and what it states of its items (docs/cases.md)
    records, items, titles, status, holder = {}, {}, [], None, None
    for event, moment, _ in sorted(facts, key=lambda fact: -fact[1]):
        records[digest_of(event)] = (event, moment)
    for one in case["events"]:
        known = records.get(one["digest"]) == (one["event"], micros(one["recorded_at"]))
        need(known, "the event %s of the case is not among the records", one["digest"])
    changes = sorted(change for change in world.changes if change[2]["case"] == case["case"])
    for given, _, event in changes:
        kind, added = event["change"], [given, event["by"], event.get("note")]
        for key in [(one["kind"], one["id"]) for one in event.get("items", [])]:
            if kind in ("opened", "added"): items.setdefault(key, added)
            if kind == "removed": items.pop(key, None)
        titles += [event.get("title")] if kind == "opened" else []
        status = kind if kind in ("closed", "reopened") else status
        if kind == "opened": holder = event.get("assignee", holder)
        if kind == "assigned": holder = event.get("assignee")
    derived = {
        "title": (titles + [None])[0], "status": "closed" if status == "closed" else "open", "assignee": holder,
        "version": hashlib.sha256("".join(sorted(place[3] for _, place, _ in changes)).encode()).hexdigest()[:16],
        "changes": [[event["change"], event["by"], given] for given, _, event in changes],
        "items": [[*key, *added] for key, added in items.items()],
    }
    said = [[one["kind"], one["id"], micros(one["added_at"]), one["added_by"], one["note"]] for one in case["items"]]
    changes = [[one["change"], one["by"], micros(one["given_at"])] for one in case["changes"]]
    agree(derived, dict(case, items=said, changes=changes))
    for item in case["items"]:
        key, named, hops = (item["kind"], item["id"]), [], []
        if world.about(key) and key[0] in (*ELEMENTS, "action"):
            hops = world.chain(key)[0] if key[0] in ELEMENTS else who(world, world, key[1], at)["principals"]
        for one in item["statements"]:
            named += [[one["of"], one["place"], one["principal"]]] if one["says"] == "named" else []
            need(follows(world, one, at), "the case says %s, and the records do not", one)
        agree({"chain": [[":".join(key), *hop] for hop in enumerate(hops)]}, {"chain": named})
def follows(world, one, at):  # whether a statement of a case follows; findings are only claimed
    kind, id_ = one["of"].split(":", 1)
    if one["says"] == "stated": return first(world.about((kind, id_)), one["field"]) == one["value"]
    if one["says"] == "depends": return tuple(one["on"].split(":", 1)) in world.needs((kind, id_))
    if one["says"] == "state":
        state = world.state((kind, id_), at) if kind in ELEMENTS else world.state_of_name(kind, id_, at)
        return micros(one["at"]) == at and state == (one["state"], one.get("revocation"))
    fault = {"rule": one.get("rule"), "of": one.get("subject"), "about": one.get("about")}
    if one["says"] == "found": return id_ == "F-" + digest_of(fault)[:20]
    return one["says"] == "named" or all(world.about(("action", action)) for action in one["actions"])
# The bundle
def records_of(tree, keys, witnesses, enough):  # (value, recorded_at, topic), a sentence, the head
    text, known = signers(tree["checkpoint"], keys)
    origin, size, root = text.split("\n")[:3]
    need(known, "the checkpoint of %s is not signed by a key that you trust", origin)
    cosigned = len(signers(tree["checkpoint"], witnesses)[1])
    need(cosigned >= enough, "the checkpoint of %s has %d of the %d witnesses asked for", origin, cosigned, enough)
    size, root, found, leaves, last, withheld = int(size), unbase64(root, "a root"), [], [], -1, 0
    for record in tree["records"]:
        entry, index = unbase64(record["entry"], "an entry"), record["index"]
        need(len(entry) == 54 and entry[0] == 1, "an entry of %s is not one of version 1", origin)
        _, number, _, _, recorded_at, digest = struct.unpack(">BQBIq32s", entry)
        topic = dict(enumerate(TOPICS)).get(number >> 60, "no topic")
        name = "%s/%d/%d" % (topic, number >> 40 & (1 << 20) - 1, number & (1 << 40) - 1)
        need(origin.endswith("/" + name.rpartition("/")[0]), "the record %s is not of the tree %s", name, origin)
        need(index > last and (index == last + 1 or not tree["complete"]), "a record before %s is missing", name)
        value = None if record["value"] is None else unbase64(record["value"], "a value")
        need(value is None or digest == sha256(value), "the value of %s is not the one that was signed", name)
        last, withheld = index, withheld + (value is None)
        leaves.append(sha256(b"\0" + entry))
        path = () if tree["complete"] else [unbase64(one, "a proof") for one in record["path"]]
        under = tree["complete"] or root_through(leaves[-1], index, size, path) == root
        need(under, "%s is not under the checkpoint", name)
        found.append((value, recorded_at, topic))
    under = not tree["complete"] or root_of(leaves) == root
    need(under, "the records of %s are not all of those under its checkpoint", origin)
    how = ("all of them" if tree["complete"] else "each proved") + (", %d withheld" % withheld if withheld else "")
    return found, "%s: %d of %d records, %s" % (origin, len(found), size, how), ({origin: size}, known)
def verify(raw, keys, witnesses, enough):  # the signer, what is proved, the bundle, whether it has all orders
    envelope = json.loads(raw)
    payload = base64.b64decode(envelope["payload"], validate=True)
    need(envelope["payloadType"] == PAYLOAD, "the envelope is not one of in-toto")
    message = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)
    signatures = [unbase64(one["sig"], "the signature of the bundle") for one in envelope["signatures"][:16]]
    signed = [key for key in keys if any(signed_by(key[3], one, message) for one in signatures)]
    need(signed, "the bundle is not signed by a key that you trust, or it was changed")
    statement = json.loads(payload)
    bundle, trust = statement["predicate"], statement["predicate"]["trust"]
    answer, at, facts, proved, heads, complete = bundle["answer"], micros(bundle["at"]), [], [], [], []
    known = statement["predicateType"] == PREDICATE and bundle["kind"] in ("who", "receipt", "case")
    need(known, "the bundle is of another kind or version than this program knows")
    need(bundle["rule"]["version"] == RULE, "the answer is by another version of the rule of authority than %d", RULE)
    need(statement["subject"][0]["digest"]["sha256"] == digest_of(answer), "the answer is not the one that was signed")
    need(bundle["trust_digest"] == ("none" if trust is None else digest_of(trust)), "the trust file was changed")
    for fingerprint, text in bundle["schemas"].items():
        need(SCHEMAS.get(fingerprint) == hashlib.sha256(text.encode()).hexdigest(), "a schema is not known here")
    schemas = {fingerprint: named_types(json.loads(text)) for fingerprint, text in bundle["schemas"].items()}
    for tree in bundle["trees"]:
        records, said, head = records_of(tree, keys, witnesses, enough)
        proved, heads = [*proved, said], [*heads, head]
        events = [(event_of(value or b"", schemas), moment, topic) for value, moment, topic in records]
        known = tree["complete"] and all(event for event, _, _ in events)  # a record that is withheld may be an order
        complete += [known for _, _, topic in records[:1] if topic == "orders"]
        facts += [one for one in events if one[0] is not None]
    text, known = signers(bundle["combined"], keys)  # which partitions the log had then
    origin, _, *lines = text.rstrip("\n").split("\n")
    listed = {origin + "/" + tree: int(size) for tree, size, _ in map(str.split, lines)}
    there = dict(one for sizes, _ in heads for one in sizes.items())
    need(known and listed.items() >= there.items(), "the combined checkpoint is not of these trees, or not signed")
    complete.append(all(tree in there for tree in listed if "/orders/" in tree))
    rotated, retired = [one for one in facts if one[0]["type"] == "checkpoint.key_rotated"], {}
    for event, _, topic in sorted(rotated, key=lambda one: -one[1]):  # the earliest rotation of a key counts
        retired.update(retired_by(event["note"], origin) if allowed(event, topic, trust) else {})
    need(set(signed) - retired.keys(), "the bundle is signed by a key of %s that had been replaced before", origin)
    for sizes, by in [*heads, (listed, known)]:
        held = [all(size <= retired.get(key, sizes).get(tree, 0) for tree, size in sizes.items()) for key in by]
        need(any(held), "the checkpoint of %s is signed by a key that had been replaced before", " and ".join(sizes))
    world = World(facts, trust, 1 << 62)
    if bundle["kind"] == "who":
        action = answer["action"]
        told = [one[1] for one in facts if one[0].get("action") == action and allowed(one[0], one[2], trust)]
        agree(who(world, World(facts, trust, min(told, default=0)), action, at), said_by(answer))
    elif bundle["kind"] == "case": check_case(world, answer, at, facts)
    else:
        world.orders = [order for order in world.orders if order[1] == bundle["revocation"]]
        for line in answer:
            key, state = line["kind"] + ":" + line["id"], world.state((line["kind"], line["id"]), at)[0]
            need(state == line["state"], "%s is %s by the records, and the receipt says %s", key, state, line["state"])
    return signed[0][0], proved, bundle, bool(complete) and all(complete)
def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--key", action="append", required=True, help="a key of the log that you trust")
    parser.add_argument("--witness", action="append", default=[], help="a key of a witness that you trust")
    parser.add_argument("--need", type=int, default=0, help="how many of them must have cosigned each checkpoint")
    said = parser.parse_args(arguments)
    try:
        fits = os.path.getsize(said.bundle) <= MOST_BYTES  # a device has no size: it is read up to there
        with open(said.bundle, "rb") as file: raw = file.read(MOST_BYTES + 1 if fits else 0)
        need(fits and len(raw) <= MOST_BYTES, "the bundle is larger than %d bytes: it was not read", MOST_BYTES)
        keys, witnesses = ([parse_key(one) for one in each] for each in (said.key, said.witness))
        signer, proved, bundle, complete = verify(raw, keys, witnesses, said.need)
    except Wrong as fault: return print("WRONG: %s." % re.sub(r"[\0-\x1f\x7f-\x9f\ud800-\udfff]", "?", str(fault))) or 1
    except OSError as fault: return print("NOT READ: %s." % fault.strerror) or 2
    except Exception:  # whatever the file contains: never a traceback, and never "verified"
        return print("NOT A BUNDLE: it does not have the form of one, or it was damaged.") or 2
    print("""VERIFIED, if you trust the key of %s.\nProved:
  - The bundle is as it was signed, and every record in it is under a signed checkpoint of the log:
    %s
  - The answer follows from them by version %d of the rule of authority.%s
Claimed only:\n  - What sources wrote into their records, and when it happened.
  - That no other record under the checkpoints matters%s.
  - Findings, names and what else the answer says. The trust file: %s.
Cannot be known:\n  - What was never recorded, and what was recorded after the checkpoints.""" % (
        signer, "\n    ".join(proved), RULE,
        "\n  - No order in the log under that checkpoint says otherwise." if complete else "",
        ", orders aside" if complete else "", bundle["trust_digest"]))
    return 0
if __name__ == "__main__": sys.exit(main())
