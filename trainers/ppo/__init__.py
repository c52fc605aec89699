"""Proximal policy optimization: settings, models, sampling, experience, update."""
