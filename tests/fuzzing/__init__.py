"""Wrong and hostile inputs by the thousand, each of which a seed and a number bring back."""
