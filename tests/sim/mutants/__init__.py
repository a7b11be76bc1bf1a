"""Rules broken on purpose, one at a time, to see that the simulated worlds notice: the proof that green means much.

A mutant lives here only. It is active while a schedule runs, and the very schedule that kills it must pass without it.
"""
