"""Train AU models: synthetic faces, data sets, models, losses, metrics, distillation."""
