"""Training of routers: tables of outcomes or preferences in, files of `ponder.routers` out, with their curves."""
