"""The gateway: an OpenAI-compatible server that shortens reasoning live, in front of any model."""
