"""The command ``mflux-generate-redux-advanced``: mflux's command line as a graph of our own nodes.

There is no second pipeline. `arguments` parses the command line into `flags`. `options` makes them, and
`runtime.formats.mflux.recorded` makes recorded metadata, into settings
(`runtime.formats.mflux.settings.Settings`). These become a recipe (`runtime.formats.mflux.recipe.Recipe`),
and that a workflow (`runtime.formats.mflux.workflow.workflow_of`): the `invocation`. `run` runs it in a
session like any other. The pictures are then given mflux's names, from the events of the run (`pictures`).
Nothing here imports mlx or mflux before a stage computes.
"""
