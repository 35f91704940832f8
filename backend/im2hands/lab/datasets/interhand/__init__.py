"""InterHand2.6M: its files, meshes of its MANO fits, and the prepared layout that the published training code reads."""
