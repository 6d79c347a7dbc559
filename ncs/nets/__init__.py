"""The building blocks of models: field embeddings, feature crosses, fully connected layers."""
