"""Reading and writing files, whole or from strangers; knows nothing of the project."""
