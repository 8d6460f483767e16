"""The rule of authority: which elements are dead, the chain behind an action, and what does not fit."""
