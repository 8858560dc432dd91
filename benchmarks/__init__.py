"""Speed of nncore compared with other libraries and with the limits of the machine. See README.md."""
