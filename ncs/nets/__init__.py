"""The parts that every system is built of: field embeddings, feature crosses, fully connected layers."""
