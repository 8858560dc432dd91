"""The playground: the library live, in a browser page and in notebooks."""
