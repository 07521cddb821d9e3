"""One module a command; `main` loads the one that was asked for."""
