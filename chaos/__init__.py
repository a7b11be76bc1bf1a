"""Faults with receipts, load, laws and the rehearsal that proves the promise."""
