"""Cases: what they contain, computed from the facts about them. Pure."""
