"""Conversion of rows to token tensors: tokenizers, encoding, preference pairs, seeded order, row accounting."""
