"""`python -m cli` is `atrium`."""

from cli.main import main

main()
