"""A model of what Gopher costs its server, fitted to measured runs and tried against others: docs/scaling.md."""
