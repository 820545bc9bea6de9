"""Training from scratch: a tokenizer, a Llama of a few hundred thousand weights, and lab questions without end."""
