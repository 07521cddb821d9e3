"""Text in, verdict out: what a tenant's rules say of a text, however it is spelled and wherever it is cut. Pure."""
