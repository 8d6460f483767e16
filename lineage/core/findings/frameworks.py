"""Frameworks to which rules map, with their versions, and the ids and titles of their entries.

The mapping of rules to entries is a judgement; ids and titles are quoted. Ids change between versions, so each
reference has the version of its framework.
"""

from typing import Final, NamedTuple


class Reference(NamedTuple):
    """One entry of a framework."""

    framework: str
    version: str
    id: str
    title: str


AGENTIC: Final = "OWASP Top 10 for Agentic Applications"
NON_HUMAN: Final = "OWASP Non-Human Identities Top 10"
MAESTRO: Final = "CSA MAESTRO"
ATLAS: Final = "MITRE ATLAS"
AI_RMF: Final = "NIST AI RMF"
# The frameworks that a posture can be restricted to, by short name.
SHORT_NAMES: Final = {"ASI": AGENTIC, "NHI": NON_HUMAN, "RMF": AI_RMF}

_AGENTIC_TITLES: Final = {
    "ASI01": "Agent Goal Hijack",
    "ASI02": "Tool Misuse and Exploitation",
    "ASI03": "Identity and Privilege Abuse",
    "ASI04": "Agentic Supply Chain Vulnerabilities",
    "ASI06": "Memory & Context Poisoning",
    "ASI07": "Insecure Inter-Agent Communication",
    "ASI08": "Cascading Failures",
    "ASI09": "Human-Agent Trust Exploitation",
    "ASI10": "Rogue Agents",
}
_NON_HUMAN_TITLES: Final = {
    "NHI1": "Improper Offboarding",
    "NHI2": "Secret Leakage",
    "NHI3": "Vulnerable Third-Party NHI",
    "NHI4": "Insecure Authentication",
    "NHI5": "Overprivileged NHI",
    "NHI7": "Long-Lived Secrets",
    "NHI8": "Environment Isolation",
    "NHI9": "NHI Reuse",
    "NHI10": "Human Use of NHI",
}
# MAESTRO names its threats by layer and gives them no ids.
_MAESTRO_LAYERS: Final = {
    "Privilege Escalation": "Cross-Layer",
    "Lateral Movement": "Cross-Layer",
    "Goal Misalignment Cascades": "Cross-Layer",
    "Agent Identity Attack": "L7",
    "Agent Impersonation": "L7",
    "Agent Tool Misuse": "L7",
    "Agent Goal Manipulation": "L7",
    "Repudiation": "L7",
    "Compromised Agent Registry": "L7",
    "Resource Hijacking": "L4",
    "Evasion of Detection": "L5",
    "Poisoning Observability Data": "L5",
}
_ATLAS_TITLES: Final = {
    "T0012": "Valid Accounts",
    "T0034.002": "Agentic Resource Consumption",
    "T0051.001": "LLM Prompt Injection: Indirect",
    "T0053": "AI Agent Tool Invocation",
    "T0055": "Unsecured Credentials",
    "T0073": "Impersonation",
    "T0080": "AI Agent Context Poisoning",
    "T0086": "Exfiltration via AI Agent Tool Invocation",
    "T0091": "Use Alternate Authentication Material",
    "T0091.000": "Application Access Token",
    "T0103": "Deploy AI Agent",
    "M0024": "AI Telemetry Logging",
    "M0026": "Privileged AI Agent Permissions Configuration",
    "M0027": "Single-User AI Agent Permissions Configuration",
    "M0028": "AI Agent Tools Permissions Configuration",
    "M0029": "Human In-the-Loop for AI Agent Actions",
    "M0030": "Restrict AI Agent Tool Invocation on Untrusted Data",
}
_RMF_TITLES: Final = {
    "GOVERN 1.6": "mechanisms to inventory AI systems",
    "GOVERN 1.7": "decommissioning",
    "GOVERN 2.1": "roles, responsibilities and lines of communication documented",
    "GOVERN 3.2": "roles for human-AI configurations and oversight",
    "GOVERN 6.1": "third-party risks",
    "MAP 1.1": "intended purposes documented",
    "MAP 3.3": "targeted application scope documented",
    "MAP 3.5": "human oversight defined",
    "MEASURE 2.4": "behaviour monitored in production",
    "MEASURE 2.7": "security and resilience evaluated",
    "MEASURE 2.8": "transparency and accountability risks examined",
    "MANAGE 2.3": "respond to previously unknown risks",
    "MANAGE 2.4": "mechanisms to supersede, disengage or deactivate",
    "MANAGE 4.1": "post-deployment monitoring",
    "MANAGE 4.3": "incidents communicated",
}

REFERENCES: Final[dict[str, Reference]] = (
    {code: Reference(AGENTIC, "2026", code, title) for code, title in _AGENTIC_TITLES.items()}
    | {code: Reference(NON_HUMAN, "2025", f"{code}:2025", title) for code, title in _NON_HUMAN_TITLES.items()}
    | {f"M {title}": Reference(MAESTRO, "2025-02", layer, title) for title, layer in _MAESTRO_LAYERS.items()}
    | {code: Reference(ATLAS, "5.6.0", f"AML.{code}", title) for code, title in _ATLAS_TITLES.items()}
    | {code: Reference(AI_RMF, "1.0", code, title) for code, title in _RMF_TITLES.items()}
)
"""Every entry that a rule can map to, by a short code."""
