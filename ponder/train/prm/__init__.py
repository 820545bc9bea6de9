"""Training of reward models: replies of a model, what each of their steps is worth, and a head that learns it."""
