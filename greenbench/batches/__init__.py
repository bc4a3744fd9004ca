"""Batches: the plan of an epoch, crops of equal length, and the loader that fills them."""
