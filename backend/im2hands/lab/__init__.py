"""The workshop: synthesis, data sets, training, evaluation. The product never imports it."""
