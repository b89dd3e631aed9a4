"""Services of the machine that every part uses: files, processes, progress, packages."""
