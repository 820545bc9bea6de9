"""Making a model that thinks less: data, recipes, and small models to try them on."""
