"""Forward passes over weights in memory: no files, no memory policy."""
