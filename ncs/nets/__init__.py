"""The parts that every model is built of: field embeddings, feature crosses, fully connected layers."""
