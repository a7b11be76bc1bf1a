"""What holds for the repository as a whole: floors, staircase, locks."""
