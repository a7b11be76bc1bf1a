"""Tools of the developer: generated code, the staircase."""
