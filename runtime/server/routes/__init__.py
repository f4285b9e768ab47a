"""What the server answers, by topic. Each module has a function ``routes``."""
