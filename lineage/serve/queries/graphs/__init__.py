"""Graphs as documents, and the dossier that contains one."""
