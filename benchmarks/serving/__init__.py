"""The parts of the gateway's benchmarks: a fast upstream, a load generator, a bare relay, and the peers."""
