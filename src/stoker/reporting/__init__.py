"""What people see of a run: a progress bar, lines, plots."""
