"""HTML pages that need nothing beside them: the frame, pictures with regions painted over, names, chips."""
