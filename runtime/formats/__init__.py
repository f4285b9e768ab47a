"""Where a workflow comes from: JSON, a picture, or mflux's settings."""
