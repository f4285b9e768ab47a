"""Input and output files: finding inputs, naming outputs, writing atomically."""
