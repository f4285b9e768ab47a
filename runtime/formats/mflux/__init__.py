"""mflux's recorded settings, and the workflow that they mean."""
