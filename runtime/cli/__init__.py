"""The two commands: their options, what they print, and their exit codes."""
