"""What a workflow is: node classes, sockets, workflow files, validation, drawing. No model code."""

from pydantic import Field

from graph.builder import Graph
from graph.context import Context, Environment
from graph.faults import Fault, Problem, WorkflowError
from graph.links import Link
from graph.node import Lazy, Node, Outputs
from graph.reading import load_workflow, parse_workflow
from graph.registry import Registry, installed_nodes
from graph.sockets import SocketValue
from graph.validation import validate
from graph.workflow import NodeSpec, Workflow

__all__ = [
    "Context",
    "Environment",
    "Fault",
    "Field",
    "Graph",
    "Lazy",
    "Link",
    "Node",
    "NodeSpec",
    "Outputs",
    "Problem",
    "Registry",
    "SocketValue",
    "Workflow",
    "WorkflowError",
    "installed_nodes",
    "load_workflow",
    "parse_workflow",
    "validate",
]
