"""The frameworks: one file each, behind one small protocol."""
