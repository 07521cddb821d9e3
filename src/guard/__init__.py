"""What is looked for in prompts, answers, passages and logs, however it is spelled and wherever it is cut.

Pure: no I/O, no clock.
"""
