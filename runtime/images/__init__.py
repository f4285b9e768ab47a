"""Pictures as bytes, and what they say about themselves."""
