"""Supervised fine-tuning: settings, loop, stage."""
