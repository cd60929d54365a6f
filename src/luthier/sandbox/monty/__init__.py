"""Judging in monty, an interpreter of a subset of Python written in Rust, where the kernel offers no walls: macOS, Windows, closed containers."""
