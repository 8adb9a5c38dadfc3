"""What is wrong with a data set, before a training finds out."""
