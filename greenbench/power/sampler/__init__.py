"""The process that reads the sensors: started by a parent, writes the journal and the live cell, ends with it."""
