"""Pages, cursors and sorting of long lists."""
