"""Data sets: typed minibatches on disk, how they are made, checked and drawn."""
