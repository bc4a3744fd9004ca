"""Audio files: what they hold, whether they are whole, and their samples; workers that read many at once."""
