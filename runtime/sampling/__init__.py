"""From noise to latents: samplers, schedules, batches."""
