"""How a workflow is run: the engine, the command line, and the models."""
