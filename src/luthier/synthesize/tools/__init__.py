"""Function-calling data (ToolACE, arXiv 2409.00920): a pool of real tools, dialogues that call them, checks that hold them to account."""
