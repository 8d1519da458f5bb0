"""MMEngine-level pieces shared by segmentation and classification."""
