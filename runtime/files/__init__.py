"""Files in and out: finding inputs, naming outputs, writing them whole."""
