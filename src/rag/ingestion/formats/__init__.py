"""One module a format: bytes in, text and its blocks out. They run in a worker process, and may be hurt there."""
