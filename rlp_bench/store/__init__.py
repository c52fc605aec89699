"""The content-addressed store of sealed artifacts, its garbage collection and verification."""
