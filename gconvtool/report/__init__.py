"""One result, many faces: versioned documents and terminal pages."""
