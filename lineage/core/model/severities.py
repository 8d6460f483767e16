"""The severities of findings: the five levels and numbers of OCSF's ``severity_id``."""

from enum import IntEnum


class Severity(IntEnum):
    """The severities, from informational to critical."""

    INFORMATIONAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5

    @property
    def word(self) -> str:
        """The severity as answers show it."""
        return self.name.lower()


SEVERITIES: dict[str, Severity] = {severity.word: severity for severity in reversed(Severity)}
"""Every severity by its word, the worst first."""
