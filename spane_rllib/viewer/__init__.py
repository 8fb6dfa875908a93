"""Looking at recorded schedules: one self-contained page, or an animation."""
