"""What a data set is to show, and its rendering."""
