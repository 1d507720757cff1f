"""The settings of portal configurations, a form for each section, with a live preview beside it."""
