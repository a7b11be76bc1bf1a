"""The command line of the engineer on call."""
