"""Audio on disk to batches: manifests and readers, decoded waveforms, features, the plan of an epoch, the loader."""
