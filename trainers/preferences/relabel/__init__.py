"""Changes to the labels of preference pairs, by their strength."""
