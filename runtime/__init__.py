"""How a workflow is run: the engine, the command line, and the models."""

if __name__ != "run_graph.runtime":
    raise ImportError("the package is called run_graph: import run_graph.runtime instead of runtime")
