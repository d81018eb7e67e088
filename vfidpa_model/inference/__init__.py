"""Using a trained model: checkpoints, the Assessor, exported backends."""
