"""What yields batches: the protocol, and everything that looks at what the user passed."""
