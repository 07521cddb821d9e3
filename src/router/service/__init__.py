"""What the router does, in terms of its domain and ports."""
