"""`python -m rag`: the service on its configured address, until SIGTERM."""

from rag.main import main

if __name__ == "__main__":
    main()
