"""From a file's bytes to chunks with true offsets."""
