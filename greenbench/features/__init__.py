"""Features: what models read in place of the waveform, computed once, cached or computed as they are needed."""
