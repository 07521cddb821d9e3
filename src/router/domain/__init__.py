"""Pure policy: values in, decision out."""
