"""Answers: one service, and the faces that show what it says."""
