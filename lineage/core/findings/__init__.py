"""What is wrong, told without being asked: the rules of the catalogue, and how they are evaluated. Pure."""
