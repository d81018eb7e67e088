"""How good a model is: measures, baselines, people, intervals over clips, charts and the report."""
