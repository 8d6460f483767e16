"""What became of the records of the log: projected, quarantined, in conflict, recorded since."""
