"""The inference engine of the local stack: which one, its environment, its model, its command line."""
