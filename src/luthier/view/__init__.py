"""`luthier view`: all runs below a folder in a browser, on this machine alone."""
