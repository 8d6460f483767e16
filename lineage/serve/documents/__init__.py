"""JSON documents made from core values, and the wording of refusals."""
