"""From a run's file to what the report shows."""
