"""What scripts call: import a take."""
from .scene.importer import TakeImporter
def import_take(folder, scene=None, set_scene=True):
    i=TakeImporter(folder,scene,set_scene); c=i.finish(); print(i.problems); return c
