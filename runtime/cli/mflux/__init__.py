"""The command ``mflux-generate-redux-advanced``: mflux's command line in, the native graph out.

There is no second pipeline. Arguments and recorded metadata become `settings.Settings`, those a
`recipe.Recipe`, that a workflow (`workflow.workflow_of`), and the workflow runs in a session like any
other. Pictures get the names that mflux gives them afterwards, from the run's events (`pictures`).
Nothing here imports mlx or mflux before a stage computes.
"""
