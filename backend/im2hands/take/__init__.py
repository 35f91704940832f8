"""The take on disk: the contract with Blender and every other tool."""
