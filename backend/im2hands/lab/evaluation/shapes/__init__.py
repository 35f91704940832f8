"""Evaluation of meshes against ground truth in the layout that HALO's and Im2Hands' tools use."""
