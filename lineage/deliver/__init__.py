"""Telling receivers what orders did to elements. Nothing here is needed for an order to be in force."""
