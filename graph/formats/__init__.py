"""Workflow files as JSON: reading what users and other programs write."""
