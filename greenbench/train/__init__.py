"""One pretraining loop for all models, with its optimizer, precision and checkpoints."""
