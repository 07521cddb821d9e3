"""Text in, verdict out: what is looked for in prompts, answers, passages and logs. Pure: no I/O, no clock."""
