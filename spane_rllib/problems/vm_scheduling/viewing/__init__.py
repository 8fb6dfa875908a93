"""Looking at recorded schedules: the page's modules, and frames of an animation."""
