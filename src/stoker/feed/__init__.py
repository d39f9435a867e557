"""Batches made ahead of need by workers, delivered in order, exactly once, through faults."""
