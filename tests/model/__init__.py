"""The protocol as a TLA+ model, and the mutants that prove that its laws can fail."""
