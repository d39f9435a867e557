"""Epochs, steps, validation, callbacks: the training loop."""
