"""The transparency log: signed checkpoints of the trees, their witnesses, and how others read and check them."""
