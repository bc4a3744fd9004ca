"""The code behind the cards: encoders, objectives and target makers."""
