"""Consequences of the rule for one order: reach, plan, receipt, closure verdict and state changes."""
