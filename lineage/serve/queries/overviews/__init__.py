"""The store as a whole: what needs attention, and who acts in whose name."""
