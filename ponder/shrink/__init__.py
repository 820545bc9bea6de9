"""Models made smaller or moved: export to the format that llama.cpp runs."""
