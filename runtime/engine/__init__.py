"""Running a plan: what is ready, what is known already, what runs next."""
