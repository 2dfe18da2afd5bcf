"""When to change models in the middle of a conversation: rules beside each other, on generated and on recorded ones."""
