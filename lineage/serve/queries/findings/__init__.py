"""Findings: from the index or evaluated, one by one and as posture."""
