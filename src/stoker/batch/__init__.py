"""What one batch is: its form, what a model takes of it, and its weights."""
