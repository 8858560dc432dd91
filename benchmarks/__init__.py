"""Speed of nncore beside that of its peers, and beside what the machine can do. See README.md."""
