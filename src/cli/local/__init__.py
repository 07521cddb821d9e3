"""The local stack: what its processes are, how they are started, watched and ended."""
