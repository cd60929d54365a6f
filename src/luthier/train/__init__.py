"""Changes weights: supervised fine-tuning with LoRA, and the flat noise that any trainer can take."""
