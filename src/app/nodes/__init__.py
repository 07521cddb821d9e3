"""The steps of a turn, one a file: each takes the state, asks its ports, and returns what it adds to the state."""
