"""Faults with receipts, load, probes, the laws of a history, the rehearsal and its report."""
