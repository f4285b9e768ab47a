"""Workflows and the nodes in them: declare, build, read, validate and draw them. No model code."""

from pydantic import Field

from run_graph.graph.builder import Graph
from run_graph.graph.context import Context, Environment
from run_graph.graph.effects import Effect
from run_graph.graph.faults import Fault, Problem, WorkflowError
from run_graph.graph.formats.api import load_workflow, parse_workflow
from run_graph.graph.links import Link
from run_graph.graph.node import Lazy, Node, Outputs
from run_graph.graph.registry import Registry, installed_nodes
from run_graph.graph.sockets import SocketValue
from run_graph.graph.validation import validate
from run_graph.graph.workflow import NodeSpec, Workflow

__all__ = [
    "Context",
    "Effect",
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

if __name__ != "run_graph.graph":
    raise ImportError("the package is called run_graph: import run_graph.graph instead of graph")
