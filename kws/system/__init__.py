"""What every part needs of the machine: files, processes, progress, packages."""
