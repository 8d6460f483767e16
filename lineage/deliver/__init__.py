"""Delivery of state changes to receivers. A revocation is in force whether or not it has been delivered."""
