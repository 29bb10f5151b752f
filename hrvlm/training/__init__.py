"""Lightning modules: contrastive pretraining and robust fine-tuning."""
