"""Benches: one command each, ratios and CPU time rather than wall-clock, so that a busy machine changes little."""
