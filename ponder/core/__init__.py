"""The contracts that everything else stands on; standard library only."""
