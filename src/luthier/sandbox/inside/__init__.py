"""What runs inside the sandbox: the zygote, and for each job a monitor, a driver and a candidate.

Another interpreter executes these files, far from the house: they import the standard library and each other, nothing of `luthier`.
"""
