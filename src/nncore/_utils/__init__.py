"""What every part uses: checked fields, checks of data, files, figures, hints."""
