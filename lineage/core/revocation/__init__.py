"""What follows from the rule for one order: reach, plan, receipt, verdict and state changes."""
